"""Finds predictions that are files already: ours, a run's, or those of other programs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tracknet.datasets.index import open_split
from tracknet.datasets.remote_path import RemotePath
from tracknet.training.evaluation_folder import of_build
from tracknet.training.metrics.origin import PredictionOrigin
from tracknet.training.metrics.prediction_csv import read_prediction_folder
from tracknet.training.metrics.prediction_file import PREDICTIONS_NAME, onto, read_predictions
from tracknet.training.metrics.report import Scored
from tracknet.utils.errors import UserError

DEFAULT_SHARDS, DEFAULT_SPLIT = Path("shards"), "val"


def read_source(path: Path, *, shards: Path | RemotePath | None, split: str | None) -> Scored:
    """Predictions by the name of a file or folder.

    Args:
        path: a predictions.parquet, a folder that holds one (an evaluation, or a run that was evaluated), or a
            folder with `GAME_CLIP.csv` per clip. Of a run that was evaluated on several builds the one on `shards`.
        shards: folder of the build that has the labels; `None` takes those that a predictions file was
            written with, and `shards` for CSV files.
        split: of that build; `None` is the predictions file's own, and `val` for CSV files.

    Raises:
        UserError: there are no predictions, or they are of other frames.
    """
    file = _predictions_file(path, split, shards)
    if file is None:
        return _read_csv(path, shards or DEFAULT_SHARDS, split or DEFAULT_SPLIT)
    predictions, origin = read_predictions(file)
    if shards is None:
        if split not in (None, origin.split):
            raise UserError(
                f"{file} holds predictions of the split {origin.split!r}, not {split!r}",
                remedy=f"leave --split out, or evaluate the model on {split}",
            )
        odd = tuple(predictions.oddities(str(file)))
        return Scored(predictions, origin, None, origin.build_id, origin.split, odd)
    build = open_split(shards, split or origin.split)
    predictions, notes = onto(predictions, build.table, str(file))
    notes += predictions.oddities(str(file))
    return Scored(predictions, origin, shards, build.manifest.build_id, build.split, tuple(notes))


def with_threshold(scored: Scored, threshold: float | None) -> Scored:
    """The same predictions with a threshold that a person gave; `None` leaves theirs."""
    if threshold is None:
        return scored
    origin = replace(scored.origin, threshold=threshold, threshold_chosen_on=None)
    return replace(scored, origin=origin)


def _read_csv(folder: Path, shards: Path | RemotePath, split: str) -> Scored:
    build = open_split(shards, split)
    predictions, notes, has_scores = read_prediction_folder(folder, build.table)
    notes += predictions.oddities(str(folder))
    # What was written as a detection is one: the program that wrote it has chosen already.
    origin = PredictionOrigin(
        model=str(folder),
        build_id=build.manifest.build_id,
        split=split,
        threshold=0.0,
        created_by="another program",
    )
    return Scored(
        predictions,
        origin,
        shards,
        build.manifest.build_id,
        split,
        tuple(notes),
        ranks_by_score=has_scores,
    )


def _predictions_file(path: Path, split: str | None, shards: Path | RemotePath | None) -> Path | None:
    """The predictions file meant; `None` where `path` is a folder of CSV files."""
    if path.is_file():
        return path
    usual = path / "evaluation" / (split or DEFAULT_SPLIT)
    # A run may have been evaluated on several builds.
    of_others = sorted(file.parent for file in usual.parent.glob(f"{usual.name}-*/{PREDICTIONS_NAME}"))
    places = [path, usual]
    if of_others and shards is not None:
        places.insert(1, of_build(usual, open_split(shards, usual.name).manifest.build_id))
    for place in places:
        if (place / PREDICTIONS_NAME).is_file():
            return place / PREDICTIONS_NAME
    if len(of_others) == 1:
        return of_others[0] / PREDICTIONS_NAME
    if of_others:
        raise UserError(
            f"{path} was evaluated on {len(of_others)} builds",
            problems=[str(place) for place in of_others],
            remedy="name one of these folders, or the build with --shards",
        )
    if path.is_dir() and any(path.glob("*.csv")):
        return None
    is_run = (path / "config.yaml").is_file()
    raise UserError(
        f"{path} holds no predictions" if path.exists() else f"there is no {path}",
        remedy=f"write them first: python -m tracknet.scripts.evaluate {path} --shards shards --split "
        f"{split or DEFAULT_SPLIT}"
        if is_run
        else f"give a {PREDICTIONS_NAME}, a folder that holds one, or a folder with GAME_CLIP.csv per clip",
    )
