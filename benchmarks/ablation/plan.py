"""What an experiment asks for: one request for each row and seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from benchmarks.ablation.experiment import SEED_KEY, STEPS_KEY, Experiment, Row, said_elsewhere
from benchmarks.ablation.request import Request
from benchmarks.ablation.sizes import nearest_whole, size_of, sized
from benchmarks.ablation.toy import toy_overrides
from tracknet.utils.errors import UserError
from tracknet.utils.geometry import Size


def _trained_as(name: str, rows: Mapping[str, Row], experiment: Experiment) -> str:
    """The row whose training a row is: its own name, or that of a base that it only scores otherwise."""
    row = rows[name]
    if row.base is None or row.overlap is None:
        return name
    mine, base = ((one.model, one.overrides, one.steps or experiment.steps) for one in (row, rows[row.base]))
    return _trained_as(row.base, rows, experiment) if mine == base else name


def requests(
    experiment: Experiment,
    rows: Mapping[str, Row],
    *,
    only: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    steps: int | None = None,
    overrides: Sequence[str] = (),
    weights: Mapping[str, str] | None = None,
    input_size: Size | None = None,
    toy: bool = False,
) -> list[Request]:
    """What is to be trained, the first seed of every row first, so that a cut-off table is a whole one.

    Args:
        experiment: as it was read.
        rows: of that experiment, with what they take from their bases.
        only: names of rows; all where `None`.
        seeds: instead of the file's.
        steps: instead of the file's, a row's own among them; at least 1.
        overrides: further ones of every row.
        weights: hub name -> folder that holds that backbone here.
        input_size: instead of the file's, heatmaps in proportion; of a row in patches of 14 pixels the nearest such.
        toy: everything as small as it goes, with random backbones and one seed, two steps where none are given: a
            rehearsal.

    Raises:
        UserError: unknown rows, overrides of the seed or the steps, or rows whose configuration is wrong; all of
            them.
    """
    if problems := said_elsewhere(overrides, "on the command line"):
        raise UserError("the overrides cannot be taken", problems=problems)
    unknown = [name for name in only or () if name not in rows]
    if unknown:
        raise UserError(f"there is no row {', '.join(unknown)}", remedy=f"choose from {', '.join(rows)}")
    made, problems = [], []
    for name, row in rows.items():
        if only and name not in only:
            continue
        for order, seed in enumerate(seeds or ((0,) if toy else row.seeds or experiment.seeds)):
            request = Request(
                name,
                seed,
                experiment.data,
                row.model,
                experiment.training,
                (),
                experiment.split,
                row.overlap,
                _trained_as(name, rows, experiment),
            )
            request = request.more(*experiment.overrides, place=experiment.file)
            request = request.more(*row.overrides, place=f"{experiment.file}: {name}")
            request = request.more(
                f"{STEPS_KEY}={steps if steps is not None else row.steps or experiment.steps}",
                f"{SEED_KEY}={seed}",
                *overrides,
            )
            try:
                size_of(request.config())
                if input_size is not None:
                    config = request.config()
                    request = request.more(*sized(config, nearest_whole(config, input_size)))
                if toy:
                    request = request.more(*toy_overrides(request.config(), steps or 2))
                else:
                    backbone = request.config().model.backbone.name
                    request = replace(request, weights=(weights or {}).get(backbone, ""))
                _check_split(request)
            except UserError as error:
                problems.append(f"{name}: {error}")
                break
            made.append((order, request))
    if problems:
        raise UserError("not every row can be trained", problems=problems)
    return [request for _, request in sorted(made, key=lambda pair: pair[0])]


def unused(weights: Mapping[str, str], wanted: Sequence[Request]) -> list[str]:
    """The hub names among `weights` that no request has a backbone of."""
    taken = {request.config().model.backbone.name for request in wanted}
    return [name for name in weights if name not in taken]


def _check_split(request: Request) -> None:
    """Refuses what can only be scored after a training, and not then either: a split without games."""
    data = request.config().data
    # Without a word on them the last games are the validation's.
    games = {"train": None, "val": data.val_games, "test": data.test_games}[request.split]
    if games is not None and not games:
        raise UserError(
            f"the experiment scores the split {request.split}, and data.{request.split}_games names no game of it",
            remedy=f"name them, such as data.{request.split}_games=[match2,match3], or say another `split`",
        )
