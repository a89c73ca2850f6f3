"""The folder of an evaluation: which it is, and how its files change all at once.

    RUN/evaluation/val/             the split of the build that was evaluated first
    RUN/evaluation/val-9c7dd9b8/    the same split of another build, by the first 8 digits of its id

    evaluation/comparison/          of two prediction files; the next pair goes to comparison-2, and so on

An evaluation that was asked for without a folder never takes the place of one of other data, nor a comparison
that of another pair; neither takes the place of the other, whatever folder is named.
"""

from __future__ import annotations

import fcntl
import itertools
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracknet.training.metrics.prediction_file import PREDICTIONS_NAME
from tracknet.utils.errors import UserError
from tracknet.utils.files import sync_folder
from tracknet.utils.scratch import scratch_folder

METRICS_NAME, PAGE_NAME, OVERLAYS_NAME = "metrics.json", "report.html", "overlays.png"
_ID_DIGITS = 8
_NEW_PREFIX = ".new-"


def of_build(place: Path, build_id: str) -> Path:
    """`RUN/evaluation/val` with the build in its name."""
    return place.with_name(f"{place.name}-{build_id[:_ID_DIGITS]}")


def place_for(place: Path, build_id: str, model: str | None = None) -> Path:
    """Where an evaluation goes that was given no folder, so that none of other data or another model is lost.

    Args:
        place: the usual folder.
        build_id: of the data to be evaluated; empty where not known.
        model: what is evaluated, as metrics.json names it; `None` where the folder belongs to one run, whose
            newer model takes the place of the older.

    Returns:
        `place` where it is free or holds an evaluation of the same; else the folder named by the build.

    Raises:
        UserError: that one holds another evaluation, too.
    """
    places = [place, *([of_build(place, build_id)] if build_id else [])]
    for candidate in places:
        held = _held(candidate)
        if held is None:
            return candidate
        if held.evaluation and held.evaluation[0] == build_id and model in (None, held.evaluation[1]):
            return candidate
    raise UserError(
        "the usual folders for this evaluation hold others, which it would replace",
        problems=[f"{candidate}: {held.words}" for candidate in places if (held := _held(candidate))],
        remedy=f"name another folder: --out {place}-2",
    )


def place_for_pair(place: Path, pair: tuple[str, str], build_id: str, split: str) -> Path:
    """Where a comparison goes that was given no folder, so that none of another pair or of other frames is lost.

    Args:
        place: the usual folder.
        pair: what is compared, as metrics.json names it.
        build_id: of the frames.
        split: of the frames.

    Returns:
        `place`, or the first of `place-2`, `place-3`, ... that is free or holds the same comparison.
    """
    asked = (*pair, build_id, split)
    for number in itertools.count(1):
        candidate = place if number == 1 else place.with_name(f"{place.name}-{number}")
        held = _held(candidate)
        if held is None or held.comparison == asked:
            return candidate
    raise AssertionError


def check_kind(out: Path, *, is_comparison: bool) -> None:
    """That a folder holds nothing but what an evaluation or a comparison may take the place of: one of its kind.

    Of an evaluation some files would stay beside the comparison's figures, and the rest be lost.

    Raises:
        UserError: it holds one of the other kind, or a metrics.json of which cannot be told what it is.
    """
    held = _held(out)
    if held is None or (held.comparison if is_comparison else held.evaluation):
        return
    what = "an evaluation" if held.evaluation else held.words
    raise UserError(
        f"{out} holds {what}, which {'a comparison' if is_comparison else 'an evaluation'} would replace",
        remedy=f"name another folder: --out {out}-{'compared' if is_comparison else 'evaluated'}",
    )


@dataclass(frozen=True, slots=True)
class _Held:
    """What a folder holds.

    Attributes:
        words: what it is.
        evaluation: build and model, of an evaluation.
        comparison: A, B, build and split, of a comparison.
    """

    words: str
    evaluation: tuple[str, str] | None = None
    comparison: tuple[Any, ...] | None = None


def _held(place: Path) -> _Held | None:
    """What metrics.json tells of a folder; neither kind where it cannot be read, `None` where the folder is free."""
    try:
        report = json.loads((place / METRICS_NAME).read_text("utf-8"))
        compared = report.get("compare")
    except FileNotFoundError:
        if not (place / PREDICTIONS_NAME).exists():
            return None
        return _Held("predictions without figures", evaluation=("", ""))
    except (ValueError, AttributeError):
        return _Held("a metrics.json that cannot be read")
    if isinstance(compared, dict):
        pair = tuple(compared.get(name) for name in ("a", "b", "build_id", "split"))
        return _Held(f"the comparison of {pair[0]} and {pair[1]}", comparison=pair)
    build_id, model = str(report.get("build_id") or ""), str(report.get("model") or "")
    words = f"{model or 'an evaluation'} on build {build_id[:_ID_DIGITS] or 'not known'}"
    return _Held(words, evaluation=(build_id, model))


@dataclass(slots=True)
class Replacement:
    """Files on their way to their places.

    Attributes:
        part: the hidden folder to write them into.
        out: the folder that they go to; once they are there, that where they are.
    """

    part: Path
    out: Path


@contextmanager
def replaced_files(out: Path, place: Callable[[], Path] | None = None) -> Iterator[Replacement]:
    """A hidden folder to write an evaluation's files into; when the block ends well they take their places.

    Until then the evaluation that is there stays whole; then all its files go, also those that are not made
    anew. metrics.json goes first and comes last: where it is, the rest belongs to it. Each process has a folder
    of its own, so that of two evaluations into one folder both are made whole; the files of the last stay.

    Args:
        out: the folder, which exists.
        place: says which folder they may take. Asked once more when they are about to: minutes lie between the
            choice of `out` and that moment, in which another process may have left there what is not theirs.

    Raises:
        UserError: `place` does.
    """
    with scratch_folder(_NEW_PREFIX, out) as part:
        new = Replacement(part, out)
        yield new
        files = sorted(part.iterdir(), key=lambda file: file.name == METRICS_NAME)
        with _alone_where(out, place) as new.out:
            for name in (METRICS_NAME, PAGE_NAME, OVERLAYS_NAME):
                (new.out / name).unlink(missing_ok=True)
            sync_folder(new.out)
            for file in files:
                file.replace(new.out / file.name)
            sync_folder(new.out)


@contextmanager
def _alone_where(out: Path, place: Callable[[], Path] | None) -> Iterator[Path]:
    """Alone in the folder that `place` names while no other process is in it; in `out` where there is no `place`."""
    while True:
        with _alone_in(out):
            now = place() if place else out
            if now == out:
                yield out
                return
        out = now
        out.mkdir(parents=True, exist_ok=True)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Waits while another process is in here, so that the files of two evaluations do not mix."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError):  # a disk that knows no locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
