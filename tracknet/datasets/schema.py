"""The contract between the builder and everything that reads shards: codes, names, columns, versions.

A sample is one frame, two adjacent tar members `KEY.jpg` and `KEY.json`. `index.parquet` holds one row per
frame (`INDEX_COLUMNS`) and has authority over the labels; `manifest.json` is `manifest.Manifest`. Imports
neither torch nor pyarrow at module level, because the builder's `--help` reads this file too.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING

from tracknet.utils.geometry import Size

if TYPE_CHECKING:
    import pyarrow

FORMAT = "tracknet-shards"
FORMAT_VERSION = 1
INDEX_NAME = "index.parquet"
MANIFEST_NAME = "manifest.json"
NOTES_NAME = ".build"
OWNER_NAME = f"{NOTES_NAME}/config.json"
"""The builder's notes, in a folder where a build was started."""
SPLITS = ("train", "val", "test")


class Visibility(IntEnum):
    """The dataset's codes. Only `ABSENT` has no coordinates."""

    ABSENT = 0
    CLEAR = 1
    HARD = 2
    OCCLUDED = 3


class Status(IntEnum):
    """What the ball does on a frame."""

    FLYING = 0
    HIT = 1
    BOUNCE = 2


@dataclass(frozen=True, slots=True)
class FrameLabel:
    """One frame of a clip and what is known of its ball.

    Attributes:
        path: the frame's image file, or the video of which it is frame `number`, counted from 0.
        number: the frame's number in its clip (`0042.jpg` is 42).
        visibility: a `Visibility` code.
        xy_px: the ball's (x, y) in frame pixels, pixel centres at integers; `None` exactly when absent.
        status: a `Status` code; `None` when absent, or when the labels do not tell (those of videos do not).
        row: line of the label file, the header's being 1; `None` where labels come from elsewhere.
    """

    path: Path
    number: int
    visibility: Visibility
    xy_px: tuple[float, float] | None
    status: Status | None
    row: int | None = None


@dataclass(frozen=True, slots=True)
class LabelledClip:
    """One uninterrupted recording: its frames in ascending order of number."""

    game: str
    clip: str
    label_file: Path
    frame_size: Size
    frames: tuple[FrameLabel, ...]

    @property
    def name(self) -> str:
        """`game1/Clip3`, as messages name it."""
        return f"{self.game}/{self.clip}"


def frame_key(game: str, clip: str, number: int) -> str:
    """`game1_Clip3_0042`: the sample's key. Without dots, at which WebDataset would split it."""
    return f"{game}_{clip}_{number:04d}".replace(".", "-")


def sample_json(
    *,
    game: str,
    clip: str,
    frame: int,
    xy_px: tuple[float, float] | None,
    visibility: int,
    status: int | None,
    source_size: Size,
) -> bytes:
    """The bytes of a sample's `KEY.json`: compact, sorted keys, so that equal content is equal bytes."""
    record = {
        "clip": clip,
        "frame": frame,
        "game": game,
        "source_size": list(source_size),
        "status": status,
        "visibility": visibility,
        "xy_px": None if xy_px is None else list(xy_px),
    }
    return json.dumps(record, sort_keys=True, separators=(",", ":")).encode()


# Column -> (Arrow type, may be null). One row per frame, sorted by split, game, clip, frame.
INDEX_COLUMNS: dict[str, tuple[str, bool]] = {
    "key": ("string", False),
    "split": ("string", False),
    "game": ("string", False),
    "clip": ("string", False),
    "frame": ("int32", False),
    "segment": ("int32", False),  # number of the segment within its clip
    "shard": ("string", False),  # file name, relative to the index
    "offset": ("int64", False),  # of the JPEG's first byte within the shard
    "size": ("int32", False),  # of the JPEG, bytes
    "crc32c": ("uint32", False),  # of the JPEG
    "x_px": ("float64", True),  # frame pixels
    "y_px": ("float64", True),
    "visibility": ("int8", False),
    "status": ("int8", True),
    "width": ("int32", False),  # stored image
    "height": ("int32", False),
    "source_width": ("int32", False),  # frame space
    "source_height": ("int32", False),
    "source": ("string", False),  # path relative to the build's root, with forward slashes
    "source_sha256": ("string", False),
}


def index_schema() -> pyarrow.Schema:
    """The Arrow schema of `index.parquet`."""
    import pyarrow as pa

    return pa.schema(
        [pa.field(name, getattr(pa, kind)(), nullable=null) for name, (kind, null) in INDEX_COLUMNS.items()]
    )
