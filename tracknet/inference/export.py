"""A model to one file, or to a folder to publish, kept only when it was loaded again and found to say the same."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from tracknet.inference.check_frames import CheckFrames
from tracknet.inference.export_check import EXACT, HALF, Agreement, Answer, Tolerance, compare
from tracknet.inference.export_format import SUFFIXES, ExportMetadata
from tracknet.inference.export_graph import WRITERS, ExportGraph
from tracknet.inference.exported_model import load_exported
from tracknet.models import persistence
from tracknet.models.model import TrackNet
from tracknet.utils.errors import RunError, UserError
from tracknet.utils.files import new_folder, sync_folder

FileFormat = Literal["onnx", "torch-export"]


@dataclass(frozen=True)
class Exported:
    """What was kept.

    Attributes:
        path: of the file or folder.
        bytes: of the file, or of the weights in the folder.
        agreement: with the model, over the check's windows.
    """

    path: Path
    bytes: int
    agreement: Agreement


def export_file(
    model: TrackNet,
    out: Path,
    frames: CheckFrames,
    *,
    format: FileFormat = "onnx",
    half: bool = False,
    dynamic_batch: bool = False,
    points: bool = False,
    overwrite: bool = False,
) -> Exported:
    """Writes a model to one file that needs nothing else, and compares the two.

    Args:
        model: in evaluation mode, on the CPU.
        out: ends in the format's suffix, `.onnx` or `.pt2`; its folder is made if absent.
        frames: to compare on.
        format: of the file.
        half: weights in float16: half the size, and another result in the third digit.
        dynamic_batch: takes any number of windows at once instead of one.
        points: gives points and scores beside the logits.
        overwrite: replaces a file that is there.

    Raises:
        UserError: there is such a file, its name does not fit, a package is missing, the model is too large.
        RunError: the file says something else than the model, and was not kept; how far off it is.
    """
    if out.suffix != SUFFIXES[format]:
        raise UserError(f"{out}: the name of a file of --format {format} ends in {SUFFIXES[format]}")
    _refuse_existing(out, overwrite)
    graph = ExportGraph(model, half=half, points=points)
    metadata = ExportMetadata(
        persistence.describe(model), batch=None if dynamic_batch else 1, points=points, half=half
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f".{out.stem}.{os.getpid()}.partial{out.suffix}")
    try:
        WRITERS[format](graph, metadata, partial)
        exported = load_exported(partial, "cpu")

        def answer(windows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            logits, *in_graph = exported.outputs(windows)
            return logits, in_graph[0] if points else exported.decode(logits)[0]

        agreement = _checked(model, answer, frames, out, half)
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)
    sync_folder(out.parent)
    return Exported(out, out.stat().st_size, agreement)


def export_folder(
    model: TrackNet,
    out: Path,
    frames: CheckFrames,
    *,
    card: str,
    half: bool = False,
    overwrite: bool = False,
) -> Exported:
    """Writes a model folder to publish (config, weights, card), and compares it with the model.

    Args:
        model: in evaluation mode, on the CPU.
        out: the folder.
        frames: to compare on.
        card: text of its README.
        half: weights in float16.
        overwrite: replaces a model folder that is there, with all that is in it.

    Raises:
        UserError: there is something of that name.
        RunError: it says something else than the model, and was not kept.
    """
    _refuse_existing(out, overwrite)
    if out.exists() and not (out / persistence.CONFIG_NAME).is_file():
        raise UserError(
            f"{out} is no model folder, and is not replaced by one", remedy="choose another --out"
        )
    with new_folder(out) as part:
        persistence.save(model, part, card=card, half=half)
        loaded = TrackNet.from_pretrained(part)

        def answer(windows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            logits = loaded(windows)
            return logits, loaded.decode(logits)[0]

        agreement = _checked(model, answer, frames, out, half)
    return Exported(out, (out / persistence.WEIGHTS_NAME).stat().st_size, agreement)


def _refuse_existing(out: Path, overwrite: bool) -> None:
    if out.exists() and not overwrite:
        raise UserError(
            f"{out} is there already", remedy="choose another --out, or replace it with --overwrite"
        )


def _checked(model: TrackNet, answer: Answer, frames: CheckFrames, out: Path, half: bool) -> Agreement:
    tolerance: Tolerance = HALF if half else EXACT
    agreement = compare(model, answer, frames.windows, tolerance)
    if problems := agreement.problems(tolerance):
        raise RunError(
            f"{out} was not kept: on {frames.origin} it says something else than the model",
            problems=problems,
            remedy="export without --half" if half else "try another --format, and report this",
        )
    return agreement
