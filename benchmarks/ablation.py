"""Trains the rows of an experiment on the same shards with the same steps, scores them, and writes the table.

    python -m benchmarks.ablation tennis_wasb --root data/tracknet            builds shards, trains, scores, writes
    python -m benchmarks.ablation badminton --shards shards --rows detail_small wasb --steps 1000 --seeds 0 1 2
    python -m benchmarks.ablation badminton --size toy                        a rehearsal of every row, in minutes

One JSON file per row and seed lies in benchmarks/results/ablation/EXPERIMENT; what is there is not trained again, and
a training that was cut off goes on. The table beside them is written anew after every row. Runs, shards and
predictions lie in the work folder; differences between rows, which are taken of predictions, are kept in the JSON
files. What a row asks for, its own threshold and checkpoint included, is chosen on the
validation games; where these are what is scored, all rows are optimistic by the same rule, and the table says so.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.ablation_experiment import read_experiment
from benchmarks.ablation_plan import Request, requests
from benchmarks.ablation_records import NoResultError, read_record
from benchmarks.ablation_results import Results
from benchmarks.ablation_sizes import check_models
from benchmarks.ablation_table import table
from benchmarks.models import window_gflops, window_seconds
from benchmarks.report_file import write_report
from pipelines.plan import split_games
from tracknet.datasets.schema import Manifest
from tracknet.models.model import TrackNet
from tracknet.models.model_folder import resolve_model_folder
from tracknet.models.precision import Precision, resolve_device
from tracknet.training.metrics.counts import OUTCOMES
from tracknet.training.run_folder import RunFolder
from tracknet.utils.environment import describe_environment
from tracknet.utils.errors import RunError, UserError, cli_main
from tracknet.utils.files import write_json
from tracknet.utils.geometry import Size
from tracknet.utils.settings import Config

PROTOCOLS = ("wasb", "tracknetv2", "design")
# Of an evaluation's, under its main protocol; with counts by clip rows are compared, wherever the predictions are.
BREAKDOWNS = ("clip", "speed", "visibility")
_RESULTS = Path(__file__).resolve().parent / "results" / "ablation"
# Settings under data that a build of shards knows nothing of.
_OF_READING = tuple(
    f"data.{name}" for name in ("shards", "sequence", "filter", "augment", "loader", "features", "cache")
)
# Options that take words up to the next option, and would take an override among them.
_TAKES_WORDS = ("--rows", "--seeds", "--weights")
_SETTING = re.compile(r"(data|model|training)[.=]")

# What the builder was asked for -> why it failed, or `None` where it did not.
Builds = dict[tuple[str, ...], RunError | None]


class _TrainingError(RunError):
    """What went wrong before there was a trained model: of every row that is this training."""


def run(argv: Sequence[str]) -> int:
    """Trains and scores what is missing; 1 where a row failed."""
    args = parse(argv)
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
    check_models(wanted)
    name = Path(args.experiment).stem + ("-toy" if toy else f"-{args.input_size}" if args.input_size else "")
    work, results = args.work or Path("runs") / f"ablation-{name}", args.out or _RESULTS / name
    if toy and args.out is None:
        # A rehearsal's figures are not kept among the results.
        results = work / "results"
    for folder in (work, results):
        folder.mkdir(parents=True, exist_ok=True)
    root = _rendered(work) if toy else args.root
    builds: Builds = {}
    failed: list[str] = []
    untrained: dict[str, str] = {}
    for request in wanted:
        file = results / f"{request.row}-s{request.seed}.json"
        asked = asked_of(request)
        if is_there(file, asked):
            print(f"{request.row}, seed {request.seed}: {file} is there", flush=True)
        else:
            try:
                if request.name in untrained:
                    raise UserError(f"it is the training of {untrained[request.name]}, which failed")
                record = measure(request, shards_for(request, args.shards, root, work, builds), work)
            except UserError as error:
                title = f"{request.row}, seed {request.seed}"
                print(f"{title}: FAILED: {error}", file=sys.stderr, flush=True)
                failed.append(f"{request.row} (seed {request.seed})")
                if isinstance(error, _TrainingError):
                    untrained.setdefault(request.name, title)
                continue
            write_json(file, {"row": request.row, "seed": request.seed, "asked": asked, **record})
        text = table(experiment, rows, Results.read(experiment, rows, results, toy=toy), rehearsal=toy)
        write_report(results / "table.md", text.splitlines())
    file = results / "table.md"
    print(file.read_text(encoding="utf-8") if file.is_file() else "nothing was measured")
    if failed:
        print(f"failed: {', '.join(failed)}; the same command tries them again", file=sys.stderr)
    return 1 if failed else 0


def asked_of(request: Request) -> dict[str, Any]:
    """What a record says it was asked for; with it a later call knows it again."""
    asked = {
        "options": request.options(),
        "split": request.split,
        "fingerprint": request.fingerprint,
        "configuration": request.configuration,
    }
    return asked if request.overlap is None else {**asked, "overlap": request.overlap}


def is_there(file: Path, asked: dict[str, Any]) -> bool:
    """Whether a file holds what is asked for; one that cannot be read does not, and is told of."""
    try:
        # An older record does not say its configuration, which its fingerprint is of too.
        return bool({"configuration": asked["configuration"], **read_record(file)["asked"]} == asked)
    except NoResultError as error:
        if file.exists():
            print(f"{file} {error}: measured again", file=sys.stderr, flush=True)
        return False


def measure(request: Request, shards: Path, work: Path) -> dict[str, Any]:
    """Trains (or goes on), evaluates, and counts one row: plain values.

    Raises:
        UserError: another process is training it; the training or the evaluation failed, and its last lines were
            shown; or what was trained cannot be counted.
    """
    config = request.config()
    run_folder = work / request.name
    log = work / f"{request.name}.log"
    try:
        took_s = _train(request, run_folder, shards, log)
    except RunError as error:
        raise _TrainingError(error.what, problems=error.problems, remedy=error.remedy) from error
    device = str(config.training.device)
    how = ["--device", device, "--amp", config.training.amp, "--batch-size", str(config.training.batch_size)]
    how += ["--workers", str(config.data.loader.workers)]
    if request.overlap is not None:
        how += ["--overlap", request.overlap]
    evaluation = run_folder / "evaluation" / request.evaluation
    _call(
        "tracknet.scripts.evaluate",
        [
            str(run_folder),
            "--shards",
            str(shards),
            "--split",
            request.split,
            # By itself it would go beside one of another build, and that one would be read here.
            "--out",
            str(evaluation),
            "--no-report",
            "--pictures",
            "0",
            *how,
        ],
        log,
    )
    report = json.loads((evaluation / "metrics.json").read_text())
    kept = ("f1", "precision", "recall", "accuracy", "ap")
    protocols = {
        name: {
            **{figure: report["protocols"][name][figure] for figure in kept},
            "intervals": {figure: report["protocols"][name]["intervals"][figure] for figure in ("f1", "ap")},
        }
        for name in PROTOCOLS
    }
    best_pck = {name: figures.get("pck@5px") for name, figures in report["decoders"].items()}
    return {
        "run": request.name,
        "protocols": protocols,
        "false_alarms": report["false_alarms"],
        "pck_5px_by_decoder": best_pck,
        "breakdowns": {part: [counted(one) for one in report["breakdowns"][part]] for part in BREAKDOWNS},
        "frames": report["frames"],
        "clips": report["clips"],
        "caution": report["bootstrap"]["caution"],
        "optimistic_because": report["optimistic_because"],
        "build_id": report["build_id"],
        "threshold": report["threshold"],
        "train_s": took_s,
        "windows_a_step": request.windows_a_step,
        "overlap": report["overlap"],
        "evaluation": request.evaluation,
        **cost(run_folder, config),
        "environment": describe_environment(),
    }


def counted(part: dict[str, Any]) -> dict[str, Any]:
    """What a record keeps of a part of an evaluation's breakdown."""
    return {key: part[key] for key in ("value", "frames", "balls", *OUTCOMES, "f1")}


def _train(request: Request, run_folder: Path, shards: Path, log: Path) -> float:
    """Trains, goes on, or finds it done; the seconds that it has taken in all."""
    _set_aside_if_cut_off(run_folder)
    if run_folder.exists():
        train = ["--resume", str(run_folder)]
    else:
        places = [f"data.shards={shards}", f"training.log_dir={run_folder.parent}"]
        train = ["--name", request.name, *request.options(), *places]
    clock = run_folder / "seconds.json"
    before, started = json.loads(clock.read_text()) if clock.is_file() else 0.0, time.monotonic()
    try:
        _call("tracknet.scripts.train", train, log)
    finally:
        took_s: float = before + time.monotonic() - started
        if run_folder.is_dir():
            write_json(clock, took_s)
    return took_s


def _set_aside_if_cut_off(run_folder: Path) -> None:
    """Renames a run without a checkpoint, in which nothing is worth keeping.

    Raises:
        UserError: it was not cut off: another process is training there.
    """
    last = run_folder / "checkpoints" / "last"
    if not run_folder.exists() or last.exists():
        return
    with RunFolder(run_folder).lock(lambda note: print(note, file=sys.stderr, flush=True)):
        # The process that held the lock a moment ago may have written one.
        if not last.exists():
            run_folder.rename(run_folder.with_name(f"{run_folder.name}.begun-{int(time.time())}"))


def cost(run_folder: Path, config: Config) -> dict[str, Any]:
    """Weights, work and speed of a window, on the device and in the arithmetic of the training."""
    model = TrackNet.from_pretrained(resolve_model_folder(run_folder))
    precision = Precision.resolve(config.training.amp, resolve_device(config.training.device))
    model.to(precision.device)
    if config.training.threads:
        torch.set_num_threads(config.training.threads)
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "gflops": window_gflops(model),
        # A window is read for every frame, alone.
        "frames_per_s": 1.0 / window_seconds(model, precision),
        "device": str(precision.device),
        "precision": precision.name,
    }


def shards_for(
    request: Request, given: Path | None, root: Path | None, work: Path, builds: Builds | None = None
) -> Path:
    """The folder of shards of the row's size: the one that was given, or one that is built in the work folder.

    Args:
        request: of the row.
        given: a build; taken where it is of the row's size.
        root: of the raw data.
        work: folder to build in.
        builds: what this run has built already, and what it could not; is added to.

    Raises:
        UserError: the one given holds other games in some split than the row asks for; there is none of the size,
            and no raw data to build one from; or the build failed.
    """
    builds = {} if builds is None else builds
    size = request.config().data.resize
    assert size is not None, "experiments say data.resize"
    if given is not None:
        manifest = Manifest.read(given)
        if manifest.image_size == size:
            _check_games(request, given, manifest)
            return given
    if root is None:
        raise UserError(
            f"the row {request.row} needs shards of {size}",
            remedy="say where the raw data are with --root, or name shards of that size with --shards",
        )
    out = work / f"shards-{size}"
    baked = dict(
        item.split("=", 1)
        for item in request.overrides
        if item.startswith("data.") and not item.startswith(_OF_READING)
    )
    data = [f"{key}={value}" for key, value in sorted(baked.items())]
    asked = ("--root", str(root), "--out", str(out), "--data", request.data, *data)
    if asked not in builds:
        try:
            _call("pipelines.build_shards", asked, None)
            builds[asked] = None
        except RunError as error:
            builds[asked] = error
            raise
    elif builds[asked] is not None:
        raise UserError(f"its shards of {size} could not be built, as an earlier row was told")
    return out


def _check_games(request: Request, folder: Path, manifest: Manifest) -> None:
    """Refuses shards whose games are split otherwise than the table will say."""
    data = request.config().data
    every = [game for games in manifest.games.values() for game in games]
    wanted = split_games(every, data.val_games, data.test_games)
    problems = [
        f"{split}: {', '.join(manifest.games.get(split, [])) or 'none'} where the row asks for "
        f"{', '.join(wanted.get(split, [])) or 'none'}"
        for split in ("train", "val", "test")
        if sorted(manifest.games.get(split, [])) != sorted(wanted.get(split, []))
    ]
    if problems:
        raise UserError(
            f"{folder} holds other games than the row {request.row} asks for",
            problems=problems,
            remedy="leave --shards away and name the raw data with --root, or build shards of these games",
        )


def _rendered(work: Path) -> Path:
    root = work / "rendered"
    small = ["--games", "3", "--frames", "12", "--size", "320x180", "--workers", "1"]
    _call("pipelines.synthesize", ["--out", str(root), *small], None)
    return root


def _call(module: str, arguments: Sequence[str], log: Path | None) -> None:
    """Runs one of the project's commands; a log is added to, and its end shown where the command fails.

    Raises:
        RunError: it failed.
    """
    command = [sys.executable, "-m", module, *arguments]
    print("+ " + " ".join(command[1:]), flush=True)
    if log is None:
        done = subprocess.run(command, check=False, stdout=subprocess.DEVNULL)
    else:
        with log.open("a", encoding="utf-8") as file:
            done = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        if log is not None:
            print("\n".join(log.read_text(encoding="utf-8").splitlines()[-12:]), file=sys.stderr)
        where = "its last words are above" + ("" if log is None else f", all of them in {log}")
        raise RunError(f"{module} ended with code {done.returncode}; {where}")


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("experiment", help="a name in configs/experiments, or a .yaml file")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="of every row")
    parser.add_argument("--root", type=Path, help="folder of the raw data, where shards are to be built")
    parser.add_argument("--shards", type=Path, help="a build, for the rows of its size")
    parser.add_argument("--rows", nargs="+", metavar="NAME", help="only these")
    parser.add_argument("--seeds", nargs="+", type=int, metavar="N", help="instead of the experiment's")
    parser.add_argument("--steps", type=int, help="of every row, instead of the file's; of a rehearsal 2")
    parser.add_argument(
        "--input-size",
        nargs=2,
        type=int,
        metavar=("W", "H"),
        help="of every row, heatmaps in proportion, results in a folder of their own; multiples of 16 (a row in "
        "patches of 14 takes the nearest that is whole)",
    )
    parser.add_argument(
        "--size", choices=["full", "toy"], default="full", help="toy: a rehearsal on rendered frames"
    )
    parser.add_argument(
        "--weights",
        nargs="+",
        default=[],
        metavar="NAME=FOLDER",
        help="where a backbone of the hub lies here",
    )
    parser.add_argument("--work", type=Path, help="runs and shards; default: runs/ablation-EXPERIMENT")
    parser.add_argument("--out", type=Path, help="default: benchmarks/results/ablation/EXPERIMENT")
    parser.add_argument("--traceback", action="store_true", help="show Python's traceback of an error")
    kept, overrides = _apart(argv)
    args = parser.parse_intermixed_args(kept)
    args.overrides += overrides
    problems = [f"--weights takes NAME=FOLDER, got {pair}" for pair in args.weights if "=" not in pair]
    if args.steps is not None and args.steps < 1:
        problems.append(f"--steps must be at least 1, got {args.steps}")
    if args.input_size is not None:
        problems += _size_problems(args)
        args.input_size = Size(*args.input_size)
    if problems:
        raise UserError("the request has impossible values", problems=problems)
    return args


def _size_problems(args: argparse.Namespace) -> Iterator[str]:
    if any(side < 16 or side % 16 for side in args.input_size):
        width, height = (max(1, round(side / 16)) * 16 for side in args.input_size)
        yield f"--input-size takes multiples of 16, got {args.input_size[0]} {args.input_size[1]}: say {width} {height}"
    if args.size == "toy":
        yield "--input-size: a rehearsal has a size of its own; leave out one of the two"
    for key in ("data.resize", "model.heatmap.size"):
        if any(item.startswith(f"{key}=") for item in args.overrides):
            yield f"--input-size sets {key}: leave out that override"


def _apart(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """The command line without the overrides that an option of several words would take, and these."""
    kept: list[str] = []
    overrides: list[str] = []
    option = ""
    for word in argv:
        if word.startswith("-"):
            option = word
        takes = [name for name in _TAKES_WORDS if option.startswith("--") and name.startswith(option)]
        is_override = "=" in word and word != option and bool(takes)
        if is_override and "--weights" in takes:
            is_override = _SETTING.match(word) is not None
        (overrides if is_override else kept).append(word)
    return kept, overrides


if __name__ == "__main__":
    sys.exit(cli_main(run))
