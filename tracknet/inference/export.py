"""A model to one file, kept only when it was loaded again and found to say the same."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tracknet.inference.check_frames import CheckFrames
from tracknet.inference.export_check import EXACT, HALF, Agreement, compare
from tracknet.inference.export_graph import WRITERS, ExportGraph
from tracknet.inference.exported_model import SUFFIXES, ExportMetadata, load_exported
from tracknet.models.model import TrackNet
from tracknet.models.persistence import describe
from tracknet.utils.errors import RunError, UserError
from tracknet.utils.files import sync_folder

FileFormat = Literal["onnx", "torch-export"]


@dataclass(frozen=True)
class Exported:
    """A file that was kept.

    Attributes:
        path: of the file.
        bytes: its size.
        agreement: with the model, over the check's windows.
    """

    path: Path
    bytes: int
    agreement: Agreement


def export_model(
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
        half: weights in float16: half the size, another result in the third digit.
        dynamic_batch: takes any number of windows at once instead of one.
        points: gives points and scores beside the logits.
        overwrite: replaces a file that is there.

    Raises:
        UserError: there is such a file, its name does not fit, a package is missing, the model is too large.
        RunError: the file says something else than the model, and was not kept; how far off it is.
    """
    if out.suffix != SUFFIXES[format]:
        raise UserError(f"{out}: a file of --format {format} ends in {SUFFIXES[format]}")
    if out.exists() and not overwrite:
        raise UserError(
            f"{out} is there already", remedy="choose another --out, or replace it with --overwrite"
        )
    graph = ExportGraph(model, half=half, points=points)
    metadata = ExportMetadata(describe(model), batch=None if dynamic_batch else 1, points=points, half=half)
    tolerance = HALF if half else EXACT
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f".{out.stem}.{os.getpid()}.partial{out.suffix}")
    try:
        WRITERS[format](graph, metadata, partial)
        agreement = compare(model, load_exported(partial, "cpu"), frames.windows, tolerance)
        if problems := agreement.problems(tolerance):
            raise RunError(
                f"{out} was not kept: on {frames.origin} it says something else than the model",
                problems=problems,
                remedy="export without --half" if half else "try another --format, and report this",
            )
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)
    sync_folder(out.parent)
    return Exported(out, out.stat().st_size, agreement)
