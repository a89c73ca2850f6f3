"""Predictions of other programs: a folder with `GAME_CLIP.csv` per clip, brought into our form.

    Frame,Visibility,X,Y[,Score]                              as TrackNetV2, TrackNetV3 and trackers write
    file name,visibility,x-coordinate,y-coordinate,status     as Label.csv

Frame numbers are those of the data set (`0042.jpg` is 42), X and Y frame pixels, visibility 0 no detection.
Other columns are left alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tracknet.datasets.label_csv import FRAME_NAME
from tracknet.datasets.label_faults import FaultKind, LabelFault, list_faults
from tracknet.datasets.table import FrameTable
from tracknet.training.metrics.prediction_file import check_clips, fit_notes
from tracknet.training.metrics.predictions import Predictions
from tracknet.utils.csv_rows import NoCsvError, finite_number, read_rows
from tracknet.utils.errors import UserError
from tracknet.utils.naming import listed, natural_key

_NAMES = {
    "frame": ("frame", "file name"),
    "visibility": ("visibility", "visibility class", "visible"),
    "x": ("x", "x-coordinate"),
    "y": ("y", "y-coordinate"),
    "score": ("score", "confidence"),
}
_FORMS = "Frame,Visibility,X,Y (and Score), or the columns of Label.csv"


@dataclass(frozen=True, slots=True)
class _Row:
    """One frame's guess: NaN where nothing was detected."""

    frame: int
    x_px: float
    y_px: float
    score: float


def read_prediction_folder(folder: Path, table: FrameTable) -> tuple[Predictions, list[str], bool]:
    """Predictions for every frame of a table, notes on what did not fit, and whether detections have scores.

    A frame without a row counts as one without a detection. Where no score is given a detection scores 1, and
    `blob_score` is the score.

    Args:
        folder: holds a CSV file per clip.
        table: the frames to be scored.

    Raises:
        UserError: clips without a file, files in no known form, rows that make no sense: all of them named.
    """
    files = {path.stem: path for path in sorted(folder.glob("*.csv"))}
    if not files:
        raise UserError(
            f"{folder} holds no CSV file",
            remedy="give a folder with GAME_CLIP.csv per clip, such as game1_Clip3.csv",
        )
    row_of = {
        (int(clip), int(frame)): row
        for row, (clip, frame) in enumerate(zip(table.clip_id, table.frame, strict=True))
    }
    xy_px = np.full((len(table), 2), np.nan)
    score = np.zeros(len(table))
    covered = np.zeros(len(table), bool)
    given, faults = 0, []
    have_scores: set[bool] = set()
    clips_there = set(table.clip_id.tolist())
    for number in sorted(clips_there):
        path = _file_of(files, table, number)
        if path is None:
            continue
        rows, has_score, wrong = _read(path)
        faults += wrong
        given += len(rows)
        have_scores.add(has_score)
        for guess in rows:
            row = row_of.get((number, guess.frame))
            if row is not None:
                xy_px[row] = guess.x_px, guess.y_px
                score[row], covered[row] = guess.score, True
    if faults:
        raise UserError(
            f"the predictions in {folder} have {len(faults):,} faults",
            problems=list_faults(faults),
            remedy=f"write them as {_FORMS}",
        )
    _check_files(folder, files, table, clips_there)
    check_clips(table, covered, str(folder))
    notes = fit_notes(len(table), int(covered.sum()), given, str(folder))
    if False in have_scores:
        some = " for some clips" * (True in have_scores)
        notes.append(
            f"{folder} gives no scores{some}: every detection counts as sure"
            + (
                ""
                if some
                else ", so that the precision-recall curve is a single point and AP says no more than that point"
            )
        )
    found = Predictions(frames=table, xy_px=xy_px, score=score, blob_score=score.copy())
    return found, notes, True in have_scores


def _file_of(files: Mapping[str, Path], table: FrameTable, number: int) -> Path | None:
    """The file of a clip: `GAME_CLIP.csv`, or `CLIP.csv`, as `predict` names it, where no other clip is called so."""
    game, clip = table.clips[number]
    # A key has no dots, and neither have files that are named by keys.
    names = [f"{game}_{clip}", f"{game}_{clip}".replace(".", "-")]
    if sum(other == clip for _, other in table.clips) == 1:
        names.append(clip)
    return next((files[name] for name in names if name in files), None)


def _check_files(folder: Path, files: Mapping[str, Path], table: FrameTable, clips: set[int]) -> None:
    found = {number: _file_of(files, table, number) for number in sorted(clips)}
    missing = ["_".join(table.clips[number]) + ".csv" for number, path in found.items() if path is None]
    if missing:
        others = sorted(
            {path.name for path in files.values()} - {path.name for path in found.values() if path},
            key=natural_key,
        )
        raise UserError(
            f"{folder} has no file for {len(missing)} of {len(found)} clips of this split",
            problems=[listed(missing, 20)],
            remedy="predict these clips too, or name the split that was predicted with --split"
            + (f"; {len(others)} other files are there, such as {others[0]}" if others else ""),
        )


def _read(path: Path) -> tuple[list[_Row], bool, list[LabelFault]]:
    """The rows of a file, whether it gives scores, and what is wrong with it."""
    rows: dict[int, _Row] = {}
    faults: list[LabelFault] = []

    def fault(line: int | None, message: str) -> None:
        kind = FaultKind.FILE if line is None else FaultKind.STRUCTURE
        faults.append(LabelFault(path, line, message, kind))

    try:
        lines = read_rows(path)
    except NoCsvError as error:
        fault(error.line, str(error))
        return [], True, faults
    header = [name.lower() for name in lines[0].cells] if lines else []
    column = {
        what: next((header.index(name) for name in names if name in header), None)
        for what, names in _NAMES.items()
    }
    lacking = [what for what, at in column.items() if at is None and what != "score"]
    if lacking:
        fault(1, f"has no column for {', '.join(lacking)}; it has {','.join(header)!r}")
        return [], True, faults
    at = {what: number for what, number in column.items() if number is not None}
    for line, cells in lines[1:]:
        if not any(cells):
            continue
        try:
            if len(cells) <= max(at.values()):
                raise ValueError(f"has {len(cells)} cells, needs {max(at.values()) + 1}")
            row = _parse({what: cells[number] for what, number in at.items()})
            if row.frame in rows:
                raise ValueError(f"frame {row.frame} has a row already")
        except ValueError as error:
            fault(line, str(error))
        else:
            rows[row.frame] = row
    return list(rows.values()), "score" in at, faults


def _parse(cells: Mapping[str, str]) -> _Row:
    """One row; raises `ValueError` with what is wrong."""
    name = FRAME_NAME.fullmatch(cells["frame"])
    frame = int(name[1]) if name else finite_number(cells["frame"], "frame")
    visibility = finite_number(cells["visibility"], "visibility")
    if frame != int(frame) or frame < 0:
        raise ValueError(f"frame {cells['frame']!r} is no whole number")
    if visibility not in (0, 1, 2, 3):
        raise ValueError(f"visibility {cells['visibility']!r} is none of 0, 1, 2, 3")
    if visibility == 0:
        return _Row(int(frame), math.nan, math.nan, 0.0)
    score = finite_number(cells["score"], "score") if "score" in cells else 1.0
    if score < 0:
        raise ValueError(f"score {score:g} is below 0")
    return _Row(int(frame), finite_number(cells["x"], "x"), finite_number(cells["y"], "y"), score)
