"""One small build for all tests of the stream, and the settings that make its samples small."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import strategies as st

from pipelines import build_shards
from pipelines.sources import read_source
from tests.conftest import draw_dataset
from tests.datasets.http_server import Site, serve
from tracknet.datasets import remote_file
from tracknet.datasets.index import open_split
from tracknet.datasets.plan import Plan, PlanConfig
from tracknet.datasets.reader import Frame, FrameSource
from tracknet.datasets.sample_spec import SampleSpec
from tracknet.datasets.schema import LabelledClip
from tracknet.datasets.shard_set import ShardSet
from tracknet.datasets.stream import WindowStream
from tracknet.datasets.table import FrameTable
from tracknet.utils.config import load_config
from tracknet.utils.errors import RunError
from tracknet.utils.geometry import Size
from tracknet.utils.settings import AugmentConfig

torch.set_num_threads(1)

STORED = Size(96, 48)
CELLS = Size(48, 24)
# The lengths of the 95 clips of the published tennis data set: 19,835 frames.
REAL_CLIP_LENGTHS = (
    *(207, 130, 63, 108, 160, 78, 452, 47, 115, 109, 130, 126, 253, 361, 199, 36, 45, 196, 551, 189),
    *(645, 177, 29, 398, 417, 133, 238, 312, 47, 137, 598, 485, 112, 102, 225, 233, 483, 191, 57, 75),
    *(247, 110, 221, 194, 117, 181, 110, 36, 173, 43, 35, 174, 596, 579, 529, 285, 128, 202, 47, 901),
    *(204, 105, 143, 54, 97, 118, 97, 413, 133, 87, 131, 422, 319, 238, 83, 258, 359, 106, 292, 109),
    *(87, 56, 223, 316, 132, 188, 47, 65, 292, 142, 81, 49, 166, 80, 586),
)
# Every geometry and colour that a person may ask for.
AUGMENT_CONFIGS = st.builds(
    AugmentConfig,
    flip_prob=st.floats(0, 1),
    scale=st.floats(0, 0.9),
    shift=st.floats(0, 1),
    rotate_deg=st.floats(0, 180),
    brightness=st.floats(0, 1),
    contrast=st.floats(0, 1),
    saturation=st.floats(0, 1),
    hue_deg=st.floats(0, 180),
    prob=st.floats(0, 1),
    warp_prob=st.floats(0, 1),
)


@dataclass(frozen=True)
class SmallBuild:
    """Raw material and the shards that were built from it. Not to be changed: copy the folder first."""

    root: Path
    folder: Path

    def clips(self, split: str = "train") -> list[LabelledClip]:
        clips = read_source(self.root).clips
        games = self.open(split).manifest.games[split]
        return [clip for clip in clips if clip.game in games]

    def open(self, split: str = "train") -> ShardSet:
        return open_split(self.folder, split)


@pytest.fixture(scope="session")
def small_build(tmp_path_factory: pytest.TempPathFactory) -> SmallBuild:
    """71 training frames in 4 shards and 2 games; 22 validation frames of game3.

    game1 has 11 clips, so that natural and lexical order differ; its second clip lacks frame 3, its third
    has balls of visibility 2 and 3; game2 is of another frame size.
    """
    folder = tmp_path_factory.mktemp("build")
    root = draw_dataset(folder / "raw", games=1, clips=11, frames=6, seed=1)
    draw_dataset(folder / "other", games=3, clips=1, frames=6, size=(200, 120), seed=2)
    shutil.move(folder / "other" / "game2", root / "game2")
    draw_dataset(folder / "held", games=3, clips=2, frames=11, seed=3)
    shutil.move(folder / "held" / "game3", root / "game3")

    second = root / "game1" / "Clip2"
    (second / "0003.jpg").unlink()
    rewrite(second / "Label.csv", lambda line: None if line.startswith("0003") else line)
    third = root / "game1" / "Clip3" / "Label.csv"
    codes = {"0001.jpg": "2", "0002.jpg": "3"}
    rewrite(third, lambda line: line.replace(",1,", f",{codes.get(line[:8], '1')},", 1))

    arguments = ["--root", str(root), "--out", str(folder / "shards"), "--workers", "0", "--num-shards", "4"]
    options = [f"data.resize=[{STORED.width},{STORED.height}]", "data.segment_frames=2", "data.val_games=[3]"]
    assert build_shards.run([*arguments, *options]) == 0
    return SmallBuild(root, folder / "shards")


def rewrite(path: Path, change) -> None:  # type: ignore[no-untyped-def]
    header, *lines = path.read_text().splitlines()
    kept = [new for line in lines if (new := change(line)) is not None]
    path.write_text("\n".join([header, *kept]) + "\n")


@pytest.fixture(scope="session")
def spec() -> SampleSpec:
    """Three frames, one map, augmented, at the small build's size."""
    config = load_config(
        model="vit_tiny",
        overrides=[f"data.resize=[{STORED.width},{STORED.height}]", f"model.heatmap.size={list(CELLS)}"],
    )
    return SampleSpec.for_training(config, STORED)


@pytest.fixture(scope="session")
def plain_spec(spec: SampleSpec) -> SampleSpec:
    """The same without augmentation."""
    return replace(spec, augment=None)


def bounds_of(lengths: Sequence[int]) -> np.ndarray:
    """First and one past the last window of runs of these lengths: int64 `[R, 2]`."""
    ends = np.cumsum(lengths)
    return np.stack([ends - lengths, ends], axis=1).astype(np.int64)


def steps_of(plan: Plan) -> np.ndarray:
    """All batches of a plan: int64 `[S, B]`."""
    return np.stack([plan.batch(step) for step in range(plan.num_steps)])


def table_of(*clips: list[int], size: Size = Size(160, 90)) -> FrameTable:
    """A table of clips with the frame numbers given; the ball of row `r` is at (10 + r, 20), none on row 3."""
    numbers = [number for clip in clips for number in clip]
    xy = np.array([(10.0 + row, 20.0) for row in range(len(numbers))]).reshape(-1, 2)
    visibility = np.ones(len(numbers), np.int8)
    if len(numbers) > 3:
        xy[3], visibility[3] = np.nan, 0
    return FrameTable(
        keys=[f"game1_Clip{i}_{n:04d}" for i, clip in enumerate(clips, 1) for n in clip],
        clips=[("game1", f"Clip{i}") for i in range(1, len(clips) + 1)],
        clip_id=np.repeat(np.arange(len(clips)), [len(c) for c in clips]).astype(np.int32),
        frame=np.array(numbers, np.int32),
        xy_px=xy,
        visibility=visibility,
        status=np.zeros(len(numbers), np.int8),
        source_size=np.tile(np.array(size, np.int32), (len(numbers), 1)),
    )


class CountingSource:
    """Empty pictures; how many were read is what a worker would have decoded."""

    def __init__(self) -> None:
        self.reads = 0
        self._frame = np.zeros((2, 4, 3), np.uint8)

    def read(self, row: int) -> Frame:
        self.reads += 1
        return self._frame


def fake_stream(
    spec: SampleSpec,
    source: FrameSource,
    clips: list[list[int]],
    *,
    batch_size: int,
    lanes: int = 24,
    training: bool = True,
) -> WindowStream:
    spec = replace(spec, input_size=Size(4, 2), heatmap_size=Size(2, 1), augment=None)
    plan = PlanConfig(seed=0, batch_size=batch_size, lanes=lanes, run_length=32) if training else None
    return WindowStream(table_of(*clips), lambda: source, spec, batch_size=batch_size, plan=plan)


def lose_row(stream: WindowStream, lost: int) -> None:
    """From now on a frame of the stream cannot be read."""
    opened = stream.open_source

    class Lacking:
        def __init__(self) -> None:
            self.source = opened()

        def read(self, row: int) -> Frame:
            if row == lost:
                raise RunError(f"row {lost} is damaged")
            return self.source.read(row)

        def origin(self, row: int) -> str:
            return str(row)

    stream.open_source = Lacking


_OPENED: list[str] = []
_watching = False


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    # Modules that are imported when first needed are no file of a data set's.
    if event == "open" and isinstance(arguments[0], str) and not arguments[0].startswith(sys.prefix):
        _OPENED.append(arguments[0])


@pytest.fixture
def opened() -> list[str]:
    """Every file that this process opens, by path; `clear` it before what is watched."""
    global _watching
    if not _watching:
        # An audit hook stays for good; it costs a list entry per file.
        sys.addaudithook(_watch)
        _watching = True
    _OPENED.clear()
    return _OPENED


@pytest.fixture
def site() -> Iterator[Site]:
    """A server without files."""
    with serve() as site:
        yield site


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are fetched by the kilobyte."""
    monkeypatch.setattr(remote_file, "PART_BYTES", 1000)


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """128 training frames in 6 shards, segments of 8; 12 of validation."""
    folder = tmp_path_factory.mktemp("remote")
    root = draw_dataset(folder / "raw", games=2, clips=4, frames=16, seed=4)
    held = draw_dataset(folder / "held", games=3, clips=1, frames=12, seed=5)
    shutil.move(held / "game3", root / "game3")
    arguments = ["--root", str(root), "--out", str(folder / "shards"), "--workers", "0", "--num-shards", "6"]
    options = [f"data.resize=[{STORED.width},{STORED.height}]", "data.segment_frames=8", "data.val_games=[3]"]
    assert build_shards.run([*arguments, *options]) == 0
    return folder / "shards"


@pytest.fixture
def uploaded(site: Site, build: Path) -> None:
    """The build is on the server, below `/shards`."""
    site.files = {f"/shards/{path.name}": path.read_bytes() for path in build.iterdir() if path.is_file()}


@pytest.fixture
def local(build: Path) -> ShardSet:
    return open_split(build, "train")
