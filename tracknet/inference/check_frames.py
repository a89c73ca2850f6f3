"""Windows of frames to compare an exported model with its original on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch

from tracknet.datasets.index import open_split
from tracknet.datasets.reader import ShardReader
from tracknet.datasets.schema import MANIFEST_NAME
from tracknet.datasets.shard_names import read_manifest
from tracknet.datasets.shard_streams import check_stored_size
from tracknet.datasets.windows import make_windows
from tracknet.models.model import TrackNet
from tracknet.models.model_folder import config_of_run
from tracknet.utils.errors import UserError
from tracknet.utils.geometry import Size
from tracknet.utils.images import resize_frame
from tracknet.utils.naming import counted
from tracknet.utils.urls import is_url
from tracknet.utils.video import Video
from tracknet.utils.video_container import VideoError
from tracknet.utils.video_counts import count_packets

COUNT = 32
"""Windows: a ViT-B takes about two minutes for them on one core, twice."""
_VIDEO_FRAMES = 6000
"""Of a video, as far as windows are spread: 10 s of decoding 720p. A match looks alike after three minutes."""
_DEFAULT_SHARDS = Path("shards")


@dataclass(frozen=True)
class CheckFrames:
    """Windows uint8 `[N, T, 3, H, W]`, where they come from, and whether they are drawn rather than real."""

    windows: torch.Tensor
    origin: str
    drawn: bool = False


def check_frames(model: TrackNet, path: Path | None, place: str | Path | None = None) -> CheckFrames:
    """The frames that a person names; by default those that the model was validated on, else drawn ones.

    Args:
        model: whose size, window and training data are asked for.
        path: a video or a folder of built shards. `None` takes the shards of the model's training, where they are still
            where its run's config.yaml says, or else in `shards`.
        place: where the model came from: a run, or what lies in one.

    Raises:
        UserError: it is neither, is too short, or was built at another size.
    """
    if path is None:
        known = training_shards(model, place)
        if known is None:
            return CheckFrames(drawn_windows(model), "drawn frames", drawn=True)
        try:
            return _of_shards(model, known)
        except (UserError, OSError) as error:  # nobody asked for these
            why = error.what if isinstance(error, UserError) else f"{known} cannot be read: {error.strerror}"
            return CheckFrames(drawn_windows(model), f"drawn frames ({why})", drawn=True)
    if (path / MANIFEST_NAME).is_file():
        return _of_shards(model, path)
    if not path.is_file():
        raise UserError(f"--check {path}: neither a video nor a folder of built shards")
    return _of_video(model, path)


def training_shards(model: TrackNet, place: str | Path | None) -> Path | None:
    """The folder that holds the very build that a model was trained on; `None` where none is known.

    Args:
        model: says the build.
        place: where the model came from: a run, or what lies in one.
    """
    if not (build := model.provenance.get("build_id")):
        return None
    for folder in dict.fromkeys([*_named_by_run(place), _DEFAULT_SHARDS]):
        try:
            if (folder / MANIFEST_NAME).is_file() and read_manifest(folder).build_id == build:
                return folder
        except (UserError, OSError):  # not these, then
            continue
    return None


def _named_by_run(place: str | Path | None) -> list[Path]:
    """The folders of shards that the configuration of a model's run names."""
    config = config_of_run(Path(place)) if place else None
    if config is None:
        return []
    data = config.data
    named = [
        data.shards,
        *(data.files or ()),
        *(one for source in data.sources or () for one in source.shards),
    ]
    places = [Path(one) for one in named if not is_url(one)]
    return [folder for one in places for folder in (one, one.parent)]


def drawn_windows(model: TrackNet, count: int = COUNT) -> torch.Tensor:
    """A bright ball that flies over coarse ground, another in every window: uint8 `[count, T, 3, H, W]`."""
    size = model.input_size
    ys, xs = np.mgrid[0 : size.height, 0 : size.width]
    radius_px = max(size.height / 100.0, 1.0)
    windows = np.empty((count, model.num_frames, size.height, size.width, 3), np.uint8)
    for number in range(count):
        rng = np.random.default_rng(number)
        coarse = rng.integers(30, 150, (size.height // 16 + 2, size.width // 16 + 2, 3), dtype=np.uint8)
        ground = cv2.resize(coarse, tuple(size), interpolation=cv2.INTER_CUBIC).astype(np.float64)
        position = rng.uniform(0.2, 0.8, 2) * size
        velocity = rng.uniform(-0.02, 0.02, 2) * size.width
        for t in range(model.num_frames):
            x, y = position + t * velocity
            alpha = np.exp(-0.5 * ((xs - x) ** 2 + (ys - y) ** 2) / radius_px**2)[..., None]
            windows[number, t] = np.round(ground * (1 - alpha) + np.array([225, 240, 120]) * alpha)
    return _as_tensor(windows)


def _of_shards(model: TrackNet, folder: Path) -> CheckFrames:
    splits = {entry.split for entry in read_manifest(folder).shards}
    split = next((name for name in ("val", "test") if name in splits), "train")
    shards = open_split(folder, split)
    check_stored_size(shards, model.input_size)
    windows, reader = make_windows(shards.table, model.sequence), ShardReader(shards)
    chosen = np.unique(np.linspace(0, len(windows) - 1, COUNT).astype(np.int64))
    frames = [[reader.read(int(row)) for row in rows] for rows in windows.rows(chosen)]
    reader.close()
    return CheckFrames(_as_tensor(np.array(frames)), f"{len(chosen)} windows of {folder} ({split})")


def _of_video(model: TrackNet, path: Path) -> CheckFrames:
    """Windows spread evenly over a video, from its first frame to its last (or the `_VIDEO_FRAMES`th)."""
    sequence = model.sequence
    offsets = np.arange(sequence.length) * sequence.stride
    span = int(offsets[-1]) + 1
    kept: dict[int, npt.NDArray[np.uint8]] = {}
    try:
        # Packets, for the header's number of frames may be anything; fewer of them may decode.
        last = count_packets(path, at_most=_VIDEO_FRAMES) - span
        starts = np.unique(np.linspace(0, max(last, 0), COUNT).astype(np.int64))
        needed = set((starts[:, None] + offsets).ravel().tolist())
        with Video(path) as video:
            for frame in video:
                if frame.index in needed:
                    kept[frame.index] = resize_frame(frame.image(), Size(*model.input_size))
                if len(kept) == len(needed):
                    break
            read = video.frames_read
    except VideoError as error:
        raise UserError(f"--check {path}: {error}") from None
    except OSError as error:
        raise UserError(f"--check {path} cannot be read: {error.strerror or error}") from None
    windows = [
        [kept[start + offset] for offset in offsets.tolist()]
        for start in starts.tolist()
        if start + span <= read
    ]
    if not windows:
        raise UserError(f"--check {path}: {counted(read, 'frame')}, and a window of this model spans {span}")
    return CheckFrames(_as_tensor(np.array(windows)), f"{len(windows)} windows of {path}")


def _as_tensor(windows: npt.NDArray[np.uint8]) -> torch.Tensor:
    """`[N, T, H, W, 3]` to `[N, T, 3, H, W]`, as a model takes it."""
    return torch.from_numpy(windows).permute(0, 1, 4, 2, 3).contiguous()
