"""What the stream benchmark reads: photo-like frames as raw files, as our shards, and as rivals store windows."""

from __future__ import annotations

import io
import itertools
import json
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pipelines import build_shards, synthesize
from pipelines.sources import read_source
from tracknet.datasets.index import open_split
from tracknet.datasets.reader import Frame, ShardReader
from tracknet.datasets.shard_set import ShardSet
from tracknet.datasets.stream import WindowStream
from tracknet.datasets.table import FrameTable
from tracknet.utils.geometry import Size

_HEADER = "file name,visibility,x-coordinate,y-coordinate,status\n"
_CLIP_FRAMES = 250


def raw_frames(work: Path, shared: Path, frames: int) -> tuple[Path, str]:
    """About so many frames of 1280x720 in the TrackNet layout, and what they are."""
    root = work / f"raw-{frames}"
    note = root / "what.txt"
    if note.exists():
        return root, note.read_text(encoding="utf-8")
    root.mkdir(parents=True, exist_ok=True)
    # One clip of every venue, then the next of each, so that frames differ as in a data set.
    venues = [
        sorted(folder.glob("*.mp4")) for folder in sorted((shared / "data" / "badminton").glob("*/video"))
    ]
    in_turn = [video for turn in itertools.zip_longest(*venues) for video in turn if video is not None]
    written = 0
    for number, video in enumerate(in_turn, 1):
        if written < frames:
            written += _clip_of_video(video, root / "game1" / f"Clip{number}", frames - written)
    what = f"{written} frames of broadcast badminton, 1280x720, JPEG quality 95"
    if not written:
        clips, length = max(2, frames // 100), 100
        synthesize.run(
            ["--out", str(root), "--games", "2", "--clips", str(-(-clips // 2)), "--frames", str(length)]
        )
        what = f"about {frames} rendered frames (no shared data)"
    note.write_text(what, encoding="utf-8")
    return root, what


def _clip_of_video(video: Path, folder: Path, most: int) -> int:
    capture = cv2.VideoCapture(str(video))
    folder.mkdir(parents=True)
    rows: list[str] = []
    while len(rows) < min(most, _CLIP_FRAMES):
        there, frame = capture.read()
        if not there:
            break
        name = f"{len(rows):04d}.jpg"
        cv2.imwrite(str(folder / name), frame, [cv2.IMWRITE_JPEG_QUALITY, 95])
        # A made-up path of a ball: what is measured does not depend on where it is, only that it is drawn.
        rows.append(f"{name},1,{300 + 2 * len(rows)},{200 + len(rows)},0\n")
    (folder / "Label.csv").write_text(_HEADER + "".join(rows), encoding="utf-8")
    return len(rows)


def our_shards(work: Path, root: Path, size: Size) -> ShardSet:
    """Shards of the raw frames."""
    out = work / f"{root.name}-{size.width}x{size.height}"
    arguments = [
        "--root",
        str(root),
        "--out",
        str(out),
        "--workers",
        "0",
        "--num-shards",
        "8",
        "--val-games",
        "none",
    ]
    code = build_shards.run([*arguments, f"data.resize=[{size.width},{size.height}]"])
    assert code == 0
    return open_split(out, "train")


def raw_paths(root: Path) -> list[Path]:
    """The raw files in the order of the shards' rows."""
    return [frame.path for clip in read_source(root).clips for frame in clip.frames]


def jpegs(shards: ShardSet) -> list[bytes]:
    """The stored bytes of every frame."""
    tars = [(shards.folder / name).read_bytes() for name in shards.shard_names]
    places = zip(shards.shard_id.tolist(), shards.offset.tolist(), shards.size.tolist(), strict=True)
    return [tars[shard][offset : offset + size] for shard, offset, size in places]


def shuffled(content: list[bytes]) -> list[bytes]:
    """The same in another order, so that any part of it takes the decoder as long as the whole: the first 600 frames
    of 1,500 take it 1.3 % less.
    """
    return [content[index] for index in np.random.default_rng(0).permutation(len(content))]


def tiled(table: FrameTable, times: int) -> FrameTable:
    """The table so many times over, each copy's clips apart from the others'."""
    columns = {
        name: np.concatenate([getattr(table, name)] * times)
        for name in ("frame", "xy_px", "visibility", "status", "source_size")
    }
    copies = [table.clip_id + copy * len(table.clips) for copy in range(times)]
    clips, keys = list(table.clips) * times, list(table.keys) * times
    return replace(table, keys=keys, clips=clips, clip_id=np.concatenate(copies), **columns)


class TiledReader:
    """Reads the frames of a tiled table."""

    def __init__(self, shards: ShardSet) -> None:
        self._reader = ShardReader(shards)

    def read(self, row: int) -> Frame:
        return self._reader.read(row % len(self._reader.shards))

    def origin(self, row: int) -> str:
        return self._reader.origin(row % len(self._reader.shards))


def shuffled_windows(stream: WindowStream, count: int) -> list[list[int]]:
    """The rows of the first `count` windows, shuffled once: how one stores windows for a sequential reader."""
    rows = stream.windows.rows(np.arange(count)) % count
    shuffled: list[list[int]] = rows[np.random.default_rng(0).permutation(count)].tolist()
    return shuffled


def webdataset_windows(
    work: Path, shards: ShardSet, content: list[bytes], windows: list[list[int]]
) -> list[str]:
    """Tars in which each window has its T frames beside each other: every frame is stored T times."""
    length = len(windows[0])
    folder = work / f"wds-{shards.folder.name}-T{length}"
    done = folder / "done"
    if not done.exists():
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(8):
            with tarfile.open(folder / f"w-{number:03d}.tar", "w") as tar:
                for index, rows in enumerate(windows[number::8]):
                    members = {f"{k}.jpg": content[row] for k, row in enumerate(rows)}
                    members["json"] = json.dumps({"rows": rows}).encode()
                    for name, data in members.items():
                        info = tarfile.TarInfo(f"{number:03d}_{index:06d}.{name}")
                        info.size = len(data)
                        tar.addfile(info, io.BytesIO(data))
        done.touch()
    return sorted(str(path) for path in folder.glob("*.tar"))


def litdata_windows(work: Path, shards: ShardSet, content: list[bytes], windows: list[list[int]]) -> str:
    """The same as LitData's chunks. Raises ImportError where it is not installed."""
    import litdata  # noqa: F401
    from litdata.streaming.writer import BinaryWriter

    folder = work / f"litdata-{shards.folder.name}-T{len(windows[0])}"
    if not (folder / "index.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        writer = BinaryWriter(str(folder), chunk_bytes="64MB")
        for index, rows in enumerate(windows):
            writer.add_item(index, {str(k): content[row] for k, row in enumerate(rows)})
        writer.done()
        writer.merge()
    return str(folder)


def mosaic_windows(work: Path, shards: ShardSet, content: list[bytes], windows: list[list[int]]) -> str:
    """The same as MosaicML Streaming's shards. Raises ImportError where it is not installed."""
    from streaming import MDSWriter

    folder = work / f"mds-{shards.folder.name}-T{len(windows[0])}"
    if not (folder / "index.json").exists():
        columns: dict[str, Any] = {str(k): "bytes" for k in range(len(windows[0]))}
        with MDSWriter(out=str(folder), columns=columns) as out:
            for rows in windows:
                out.write({str(k): content[row] for k, row in enumerate(rows)})
    return str(folder)
