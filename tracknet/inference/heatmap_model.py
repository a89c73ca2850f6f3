"""What prediction needs to know of a model, trained here or exported; and where to find one."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch

from tracknet.inference.exported_model import is_exported, load_exported
from tracknet.models.model import TrackNet
from tracknet.models.model_folder import resolve_model_folder
from tracknet.models.persistence import CONFIG_NAME, WEIGHTS_NAME, read_config
from tracknet.utils.errors import UserError
from tracknet.utils.geometry import Size
from tracknet.utils.hub import looks_like_path
from tracknet.utils.settings import SequenceConfig


class HeatmapModel(Protocol):
    """Windows of frames in, a heatmap for some of their frames out.

    Attributes:
        input_size: of the frames.
        sequence: length T, stride and anchor of a window.
        map_frames: the window's frame that each of its M maps is about.
        num_maps: M.
        score_threshold: scores below it mean "no ball".
        config: its `heatmap` says size in cells, sigma and decoder.
    """

    input_size: Size
    sequence: SequenceConfig
    map_frames: tuple[int, ...]
    num_maps: int
    score_threshold: float
    config: Any

    def __call__(self, frames: torch.Tensor) -> torch.Tensor:
        """Frames uint8 RGB `[B, T, 3, H, W]` to logits `[B, M, h, w]`."""
        ...


@runtime_checkable
class SplitModel(Protocol):
    """A model whose work per frame can be done once for all the windows that hold the frame."""

    def encode_frames(self, frames: torch.Tensor) -> torch.Tensor:
        """Frames uint8 `[N, 3, H, W]` to features `[N, C, Hp, Wp]`."""
        ...

    def decode_features(self, features: torch.Tensor, frames: torch.Tensor) -> torch.Tensor:
        """Features `[B, T, C, Hp, Wp]` and frames uint8 `[B, T, 3, H, W]` to logits `[B, M, h, w]`."""
        ...


def load_model(place: str | Path, *, device: str = "auto") -> HeatmapModel:
    """The model that a person names.

    Args:
        place: a run (its best model), a checkpoint, a model folder, the hub name of one, or an exported file
            (`.onnx`, `.pt2`).
        device: of an exported file, which is bound to one.

    Raises:
        UserError: there is none, or it is of another version; with what to name instead.
        RunError: it is damaged.
    """
    path = Path(place).expanduser()
    return load_exported(path, device=device) if is_exported(path) else load_trained(place)


def model_files(place: str | Path) -> tuple[Path, ...]:
    """The files that decide what a model says, named as for `load_model`; raises what that raises."""
    path = Path(place).expanduser()
    if is_exported(path):
        if not path.is_file():
            raise UserError(f"there is no exported model {path}")
        return (path,)
    folder = resolve_model_folder(path) if path.is_dir() else read_config(place)[0]
    return folder / CONFIG_NAME, folder / WEIGHTS_NAME


def load_trained(place: str | Path) -> TrackNet:
    """The model that a person names, with weights that can be changed.

    Args:
        place: as `load_model` takes it, but no exported file.

    Raises:
        UserError: there is none, it is an exported file, or it is of another version; with what to name instead.
        RunError: it is damaged.
    """
    path = Path(place).expanduser()
    if is_exported(path):
        raise UserError(
            f"{place} is an exported file", remedy="give the run or model folder that it was made of"
        )
    if path.is_dir():
        return TrackNet.from_pretrained(resolve_model_folder(path))
    if isinstance(place, Path) and looks_like_path(str(place)):
        raise UserError(
            f"there is no model {place}",
            remedy="give a run (runs/NAME), a checkpoint, a model folder or the hub name OWNER/MODEL of one",
        )
    return TrackNet.from_pretrained(str(place))
