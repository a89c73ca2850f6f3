"""What the building process itself spends per frame, beside decoding: memory, seconds and bytes of its files.

    python -m benchmarks.build_at_scale [--frames 1000000]

The frames are made up (clips of 200, labels and hashes random), no picture is read or written. Prints, for
every step of a build that is done in one process, its seconds per million frames and the memory then in use.
"""

from __future__ import annotations

import argparse
import io
import json
import pickle
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from benchmarks.bounds import at_least
from pipelines.plan import make_plan
from pipelines.publish import index_bytes, make_manifest, sort_rows
from pipelines.shard_writer import FrameTask, ShardTask, index_row
from pipelines.tar_file import Member
from tracknet.datasets.manifest import ShardEntry
from tracknet.datasets.schema import FrameLabel, LabelledClip, Status, Visibility
from tracknet.utils.geometry import Size

CLIP_FRAMES, SHARD_FRAMES, CLIPS_OF_A_GAME = 200, 2000, 20
SOURCE, STORED = Size(1280, 720), Size(512, 288)


def memory_bytes() -> int:
    (line,) = (
        line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS")
    )
    return int(line.split()[1]) * 1024


class Table:
    """Prints one line a step."""

    def __init__(self, frames: int) -> None:
        self.frames, self.base = frames, memory_bytes()
        print(f"{'step':<44}{'s per 1M frames':>16}{'bytes in use per frame':>24}")

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        start_s = time.perf_counter()
        yield
        seconds = (time.perf_counter() - start_s) * 1e6 / self.frames
        print(f"{name:<44}{seconds:>16.1f}{(memory_bytes() - self.base) / self.frames:>24.0f}", flush=True)


def make_clips(frames: int, chance: random.Random) -> list[LabelledClip]:
    clips = []
    for number in range(frames // CLIP_FRAMES):
        game, clip = f"game{number // CLIPS_OF_A_GAME}", f"Clip{number % CLIPS_OF_A_GAME}"
        folder = Path("/data") / game / clip
        labels = tuple(
            FrameLabel(
                folder / f"{frame:04d}.jpg",
                frame,
                Visibility.CLEAR,
                (round(chance.random() * 1280, 1), round(chance.random() * 720, 1)),
                Status.FLYING,
                frame + 2,
            )
            for frame in range(CLIP_FRAMES)
        )
        clips.append(LabelledClip(game, clip, folder / "Label.csv", SOURCE, labels))
    return clips


def make_tasks(plan: Any) -> list[ShardTask]:
    return [
        ShardTask(
            name=shard.name,
            split=shard.split,
            root=Path("/data"),
            out=Path("/shards"),
            size=STORED,
            jpeg_quality=95,
            keep_going=False,
            frames=tuple(
                FrameTask(
                    source=f"{segment.game}/{segment.clip}/{frame.path.name}",
                    game=segment.game,
                    clip=segment.clip,
                    segment=segment.number,
                    number=frame.number,
                    frame_size=segment.frame_size,
                    visibility=int(frame.visibility),
                    xy_px=frame.xy_px,
                    status=0,
                    bytes=90_000,
                    mtime_ns=1_700_000_000_000_000_000,
                )
                for segment in shard.segments
                for frame in segment.frames
            ),
        )
        for shard in plan.shards
    ]


def make_rows(task: ShardTask, chance: random.Random) -> list[dict[str, Any]]:
    rows, offset = [], 512
    for frame in task.frames:
        size = chance.randrange(50_000, 70_000)
        member = Member(frame.key, offset, size, chance.getrandbits(32))
        rows.append(index_row(task, frame, member, chance.randbytes(32).hex()))
        offset += (size // 512 + 3) * 512
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=at_least(1), default=1_000_000)
    frames = parser.parse_args().frames
    chance, table = random.Random(0), Table(frames)

    with table.step("labels (made up; a build parses them)"):
        clips = make_clips(frames, chance)
    with table.step("plan"):
        plan = make_plan(
            clips, val_games=None, num_shards=max(1, frames // SHARD_FRAMES), segment_frames=64, seed=0
        )
    with table.step("tasks (a build also asks for each file)"):
        tasks = make_tasks(plan)
    with table.step("fingerprints"):
        for task in tasks:
            task.fingerprint()
    pickled, longest = len(pickle.dumps(tasks[0])) / len(tasks[0].frames), max(len(t.frames) for t in tasks)
    notes = []
    with table.step("rows to notes (made up; workers make them)"):
        for task in tasks:
            notes.append(json.dumps(make_rows(task, chance)))
    note_bytes, entries = sum(map(len, notes)) / frames, len(tasks)
    entry = ShardEntry("train-00000.tar", "train", SHARD_FRAMES, 123_456_789, "0" * 64)
    del clips, plan, tasks
    with table.step("notes to rows, as a rebuild reads them"):
        rows = []
        while notes:
            rows += json.loads(notes.pop())
    with table.step("sort"):
        rows = sort_rows(rows)
    with table.step("index.parquet"):
        index = index_bytes(rows)
    with table.step("manifest.json, with the build id"):
        manifest = make_manifest(
            config={},
            image_size=STORED,
            games={"train": ["game1"], "val": ["game2"]},
            shards=[entry] * entries,
            rows=rows,
            index=index,
        ).to_json()
    del rows
    with table.step("index.parquet read again, as training does"):
        read = pq.read_table(io.BytesIO(index))
    print(
        f"\nindex.parquet    {len(index) / frames:8.1f} bytes per frame ({read.nbytes / frames:.0f} as Arrow)"
    )
    print(f"a note           {note_bytes:8.1f} bytes per frame")
    print(
        f"a pickled task   {pickled:8.1f} bytes per frame, at most {longest * pickled / 1e6:.2f} MB a task here"
    )
    print(f"manifest.json    {len(manifest) / entries:8.1f} bytes per shard")


if __name__ == "__main__":
    main()
