"""Differences of `ablation.py`'s rows from its reference rows, kept in the rows' JSON files.

They are taken of predictions, which lie in the work folder on one machine; the table is written anew on others too.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.ablation_experiment import Experiment
from benchmarks.ablation_records import Measured, NoResultError, read_record
from benchmarks.ablation_results import Results
from tracknet.training.metrics import chosen_protocols
from tracknet.training.metrics.comparison import compare
from tracknet.training.prediction_sources import read_source
from tracknet.utils.errors import UserError
from tracknet.utils.files import write_json

_KEY = "differences"


def kept(base: Measured, one: Measured) -> Mapping[str, Any] | None:
    """What was once found of a row against a reference, where it is of what is there of both today."""
    found: Mapping[str, Any] | None = one.record.get(_KEY, {}).get(base.row)
    return found if found is not None and _of(base).items() <= found.items() else None


def keep_differences(experiment: Experiment, results: Results, work: Path) -> list[str]:
    """Takes the differences that are not kept yet and whose predictions are here, and keeps them.

    Args:
        experiment: for its reference rows.
        results: as they were read; their files get `differences`: reference row -> `seed`, `run` and `f1` of the
            reference, `estimate` and `interval` of F1 under `wasb` (row less reference, of the same seed and clips).
        work: folder of the runs.

    Returns:
        What could not be compared, and why.
    """
    problems = []
    for one in results.all:
        new = {}
        for name in experiment.reference:
            base = results.partner(name, one)
            if base is None or kept(base, one) is not None:
                continue
            folders = [work / of.record["run"] / "evaluation" / of.evaluation for of in (base, one)]
            if not all(folder.is_dir() for folder in folders):
                continue
            try:
                new[name] = {**_of(base), **_difference(folders[0], folders[1])}
            except UserError as error:
                problems.append(f"{one.row}, seed {one.seed}, with {name}: {error}")
        if new:
            # Another ablation may have measured it anew meanwhile, or be about to.
            try:
                now = read_record(one.file)
            except NoResultError:
                continue
            if now == one.record:
                write_json(one.file, {**now, _KEY: {**now.get(_KEY, {}), **new}})
    return problems


def _of(base: Measured) -> dict[str, Any]:
    return {"seed": base.seed, "run": base.record["run"], "f1": base.record["protocols"]["wasb"]["f1"]}


def _difference(base: Path, row: Path) -> dict[str, Any]:
    a, b = (read_source(folder, shards=None, split=None) for folder in (base, row))
    compared = compare(
        a.predictions,
        b.predictions,
        chosen_protocols(["wasb"]),
        names=(str(base), str(row)),
        thresholds=(a.origin.threshold, b.origin.threshold),
    )["protocols"]["wasb"]["f1"]
    return {"estimate": compared["difference"], "interval": compared["interval"]}
