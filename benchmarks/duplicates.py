"""How far neighbouring frames of builds differ: where to draw the line between a repeat and a new moment.

    python -m benchmarks.duplicates SHARDS [SHARDS ...]

Each build's neighbours are compared as `tracknet.datasets.duplicates` does, and counted by their largest cell
difference, per game.
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from tracknet.datasets.duplicates import shrink_frame
from tracknet.datasets.index import open_split
from tracknet.datasets.manifest import Manifest
from tracknet.datasets.reader import ShardReader

BOUNDS = (0, 1, 2, 3, 4, 5, 7, 10, 15, 255)


def differences(folder: Path) -> dict[str, list[int]]:
    found: dict[str, list[int]] = defaultdict(list)
    for split in Manifest.read(folder).games:
        shards = open_split(folder, split)
        reader, table = ShardReader(shards), shards.table
        for start, end in table.run_bounds().tolist():
            game = table.clips[table.clip_id[start]][0]
            cells = [shrink_frame(reader, row) for row in range(start, end)]
            pairs = pairwise(cells)
            found[game] += [int(np.abs(a - b).max()) for a, b in pairs]
    return found


def main() -> None:
    cv2.setNumThreads(0)
    labels = [str(high) if high - low == 1 else f"{low + 1}-{high}" for low, high in pairwise(BOUNDS)]
    print(f"{'largest cell difference':28}" + "".join(f"{label:>8}" for label in ["0", *labels]))
    for name in sys.argv[1:]:
        for game, values in differences(Path(name)).items():
            counts = Counter(int(np.searchsorted(BOUNDS, value)) for value in values)
            cells = "".join(f"{counts[bucket]:>8}" for bucket in range(len(BOUNDS)))
            print(f"{Path(name).name + ' ' + game:28}{cells}")


if __name__ == "__main__":
    main()
