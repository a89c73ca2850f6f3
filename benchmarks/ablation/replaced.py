"""Records that a command would write over with figures of another request, told before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.ablation.record_file import NoResultError, read_record
from benchmarks.ablation.records import (
    STORED_FEATURES,
    as_recorded,
    changed,
    command_line_keys,
    file_of,
    is_there,
    steps_of,
)
from benchmarks.ablation.request import FEATURES, Request
from tracknet.utils.errors import UserError


def refuse_replacing(
    wanted: Sequence[Request], results: Path, *, steps: int | None, keys: Sequence[str]
) -> None:
    """Refuses a command line that makes less of a row than its record is of, or another thing; also one without a
    setting that the record's own command line had.

    What has changed in the experiment's own file is measured anew, unless that takes fewer steps.

    Args:
        wanted: what is asked for.
        results: folder of the records.
        steps: of the command line.
        keys: dotted, of all else that the command line sets.

    Raises:
        UserError: naming every such record, with what it is of and what is asked for.
    """
    problems = []
    for request in wanted:
        file = results / file_of(request.row, request.seed)
        try:
            record = read_record(file)
            there, own = steps_of(record), as_recorded(record)
        except NoResultError:
            continue
        if is_there(file, request):
            continue
        asked = request.config().training.max_steps
        if there != asked and (steps is not None or there > (asked or 0)):
            problems.append(f"{file.name}: {there} steps, where {asked} are asked for")
        if own is None:
            continue
        theirs, mine = (
            ", ".join(sorted(item for item in some if _is_of(item, [*keys, *command_line_keys(record)])))
            for some in (changed(own, request), changed(request, own))
        )
        if theirs:
            problems.append(f"{file.name}: {theirs}, where {mine} is asked for")
    if problems:
        raise UserError(
            f"records in {results} would be lost to another request",
            problems=problems,
            remedy="name another folder with --out, or remove these records",
        )


def _is_of(item: str, keys: Sequence[str]) -> bool:
    """Whether the dotted key of what has changed is one of several, or of a group among them."""
    key = FEATURES if item.endswith(STORED_FEATURES) else item.partition("=")[0]
    return any(key == one or key.startswith(f"{one}.") for one in keys)
