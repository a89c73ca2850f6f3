"""Writes down the candidates that a model finds in a split, for `trajectory.py`, which scores what becomes of them.

    python -m benchmarks.trajectory_candidates MODEL --shards shards [--split val] [--clips game1/Clip1 ...] --out FILE

Candidates are the five highest peaks of each frame's heatmap, as `predict` finds them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from tracknet.datasets.index import open_split
from tracknet.datasets.loader import StreamLoader
from tracknet.datasets.shard_streams import evaluation_stream
from tracknet.models.model import TrackNet
from tracknet.models.model_folder import resolve_model_folder
from tracknet.models.precision import Precision, resolve_device
from tracknet.training.evaluation import evaluation_spec, predict_split
from tracknet.training.model_evaluation import only_clips
from tracknet.utils.geometry import cells_to_frames
from tracknet.utils.peaks import find_peaks
from tracknet.utils.progress import Progress
from tracknet.utils.settings import LoaderConfig

CANDIDATES = 5


def main() -> None:
    """Runs the model and writes the file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--shards", type=Path, default=Path("shards"))
    parser.add_argument("--split", default="val")
    parser.add_argument("--clips", nargs="+", help="these clips only")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    model = TrackNet.from_pretrained(resolve_model_folder(args.model))
    shards = open_split(args.shards, args.split)
    shards = only_clips(shards, args.clips) if args.clips else shards
    heatmap, table = model.config.heatmap, shards.table
    xy_px = np.full((len(table), CANDIDATES, 2), np.nan)
    scores = np.zeros((len(table), CANDIDATES))
    loader = StreamLoader(
        evaluation_stream(shards, evaluation_spec(model), batch_size=8), LoaderConfig(workers=0)
    )
    with Progress("candidates", len(table), "frames") as progress:

        def keep(rows: npt.NDArray[np.int64], logits: torch.Tensor) -> None:
            cells, scores[rows] = find_peaks(logits, CANDIDATES, heatmap.sigma, heatmap.decode)
            xy_px[rows] = cells_to_frames(cells.numpy(), heatmap.size, table.source_size[rows])
            progress.advance(len(rows))

        precision = Precision.resolve("off", resolve_device("cpu"))
        predict_split(model, loader, precision, decoders=[], on_maps=keep)
    loader.close()
    np.savez_compressed(
        args.out,
        candidates_xy=xy_px,
        scores=scores,
        keys=np.array(table.keys),
        clips=np.array(table.clips),
        clip_id=table.clip_id,
        frame=table.frame,
        xy_px=table.xy_px,
        visibility=table.visibility,
        source_size=table.source_size,
        threshold=model.score_threshold,
        model=f"{args.model}, {model.provenance.get('run', '')} step {model.provenance.get('step', '?')}",
        split=args.split,
    )


if __name__ == "__main__":
    main()
