"""Trains the rows of an experiment on the same shards with the same steps, scores them, and writes the table.

    python -m benchmarks.ablation tennis_wasb --root data/tracknet            builds shards, trains, scores, writes
    python -m benchmarks.ablation badminton --shards shards --rows detail_small wasb --steps 1000 --seeds 0 1 2
    python -m benchmarks.ablation badminton --size toy                        a rehearsal of every row, in minutes

One JSON file per row and seed lies in benchmarks/results/ablation/EXPERIMENT; what is there is not trained again, and
a training that was cut off goes on. The table beside them is written anew after every row. Runs, shards and
predictions lie in the work folder. A row's threshold and checkpoint are chosen on the validation games; where these are
what is scored, all rows are optimistic by the same rule, and the table says so.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.ablation.experiment import read_experiment
from benchmarks.ablation.measure import TrainingFailedError, measure
from benchmarks.ablation.options import parse
from benchmarks.ablation.plan import requests, unused
from benchmarks.ablation.record_file import read_record
from benchmarks.ablation.records import asked_of, file_of, is_there
from benchmarks.ablation.replaced import refuse_replacing
from benchmarks.ablation.request import Request
from benchmarks.ablation.results import Results
from benchmarks.ablation.shards import Shards, rendered
from benchmarks.ablation.sizes import check_models
from benchmarks.ablation.table import table
from benchmarks.report_file import write_report
from tracknet.utils.errors import UserError, cli_main
from tracknet.utils.files import write_json

_RESULTS = Path(__file__).resolve().parents[1] / "results" / "ablation"


def run(argv: Sequence[str]) -> int:
    """Trains and scores what is missing; 1 where a row failed."""
    args = parse(argv, description=__doc__)
    experiment, rows = read_experiment(args.experiment)
    toy = args.size == "toy"
    weights = dict(pair.split("=", 1) for pair in args.weights)
    wanted = requests(
        experiment,
        rows,
        only=args.rows,
        seeds=args.seeds,
        steps=args.steps,
        overrides=args.overrides,
        weights=weights,
        input_size=args.input_size,
        toy=toy,
    )
    for name in () if toy else unused(weights, wanted):
        print(f"note: --weights {name}: no chosen row has that backbone", file=sys.stderr, flush=True)
    check_models(wanted)
    work, results = _folders(args, toy=toy)
    if not toy:
        keys = [item.partition("=")[0] for item in args.overrides]
        keys += ["data.resize", "model.heatmap.size"] if args.input_size else []
        refuse_replacing(wanted, results, steps=args.steps, keys=keys)
    shards = Shards(args.shards, rendered(work) if toy else args.root, work)

    def write_table() -> None:
        found = Results.read(experiment, rows, results, toy=toy)
        if found.all or found.faults or (results / "table.md").exists():
            write_report(results / "table.md", table(experiment, rows, found, rehearsal=toy).splitlines())

    # Records may have been removed, or config files changed, since it was written.
    write_table()
    failed: list[str] = []
    untrained: dict[str, str] = {}
    for request in wanted:
        file = results / file_of(request.row, request.seed)
        title = f"{request.row}, seed {request.seed}"
        if is_there(file, request):
            print(f"{title}: {file} is there", flush=True)
            _tell_of_another_build(file, request, shards)
            continue
        try:
            if request.name in untrained:
                raise UserError(f"it is the training of {untrained[request.name]}, which failed")
            record = measure(request, shards.folder_of(request), work)
        except UserError as error:
            print(f"{title}: FAILED: {error}", file=sys.stderr, flush=True)
            failed.append(f"{request.row} (seed {request.seed})")
            if isinstance(error, TrainingFailedError):
                untrained.setdefault(request.name, title)
        else:
            write_json(file, {"row": request.row, "seed": request.seed, "asked": asked_of(request), **record})
        write_table()
    file = results / "table.md"
    print(file.read_text(encoding="utf-8") if file.is_file() else "nothing was measured")
    if failed:
        print(f"failed: {', '.join(failed)}; the same command tries them again", file=sys.stderr)
    return 1 if failed else 0


def _tell_of_another_build(file: Path, request: Request, shards: Shards) -> None:
    """A record stays where the data have changed: measuring it again takes hours, and is for the person to say."""
    at_hand, build_id = shards.build_at_hand(request), read_record(file)["build_id"]
    if at_hand is not None and at_hand[1] != build_id:
        print(
            f"note: {file} is of the build {build_id[:12]}, and {at_hand[0]} is {at_hand[1][:12]}: its figures are of "
            "other frames or labels; remove it to measure the row again",
            file=sys.stderr,
            flush=True,
        )


def _folders(args: argparse.Namespace, *, toy: bool) -> tuple[Path, Path]:
    """Of the work and of the results, both there."""
    name = Path(args.experiment).stem + ("-toy" if toy else f"-{args.input_size}" if args.input_size else "")
    work = args.work or Path("runs") / f"ablation-{name}"
    # A rehearsal's figures are not kept among the results.
    results = args.out or (work / "results" if toy else _RESULTS / name)
    for folder in (work, results):
        folder.mkdir(parents=True, exist_ok=True)
    return work, results


if __name__ == "__main__":
    sys.exit(cli_main(run))
