"""One row and seed of an experiment: trained, or gone on with, scored, and its cost counted."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.ablation.commands import call
from benchmarks.ablation.record_file import PROTOCOLS
from benchmarks.ablation.request import Request
from benchmarks.models import window_gflops, window_seconds
from tracknet.datasets.manifest import Manifest
from tracknet.models.model import TrackNet
from tracknet.models.model_folder import resolve_model_folder
from tracknet.models.precision import Precision, resolve_device
from tracknet.utils.cpus import usable_cpus
from tracknet.utils.environment import describe_environment
from tracknet.utils.errors import RunError, UserError
from tracknet.utils.files import write_json
from tracknet.utils.outcome import OUTCOMES
from tracknet.utils.settings import Config

# Of an evaluation's, under its main protocol; with counts by clip rows are compared, wherever the predictions are.
BREAKDOWNS = ("clip", "speed", "visibility")


class TrainingFailedError(RunError):
    """What went wrong before there was a trained model: of every row that is this training."""


def measure(request: Request, shards: Path, work: Path) -> dict[str, Any]:
    """Trains (or goes on), evaluates, and counts one row: plain values.

    Raises:
        UserError: another process is training it; there is a run of other shards under its name; the training or the
            evaluation failed, and its last lines were shown; or what was trained cannot be counted.
    """
    config = request.config()
    run_folder = work / request.name
    log = work / f"{request.name}.log"
    _check_build(run_folder, shards)
    try:
        took_s = _train(request, run_folder, shards, log)
    except RunError as error:
        raise TrainingFailedError(error.what, problems=error.problems, remedy=error.remedy) from error
    device = str(config.training.device)
    how = ["--device", device, "--amp", config.training.amp, "--batch-size", str(config.training.batch_size)]
    how += ["--workers", str(config.data.loader.workers)]
    if request.overlap is not None:
        how += ["--overlap", request.overlap]
    evaluation = run_folder / "evaluation" / request.evaluation
    call(
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
        "breakdowns": {part: [kept_counts(one) for one in report["breakdowns"][part]] for part in BREAKDOWNS},
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


def kept_counts(part: dict[str, Any]) -> dict[str, Any]:
    """What a record keeps of a part of an evaluation's breakdown."""
    return {key: part[key] for key in ("value", "frames", "balls", *OUTCOMES, "f1")}


def _train(request: Request, run_folder: Path, shards: Path, log: Path) -> float:
    """Trains, goes on, or finds it done; the seconds that it has taken in all."""
    if _has_begun(run_folder):
        train = ["--resume", str(run_folder), *request.resume_options()]
    else:
        places = [f"data.shards={shards}", f"training.log_dir={run_folder.parent}"]
        train = ["--name", request.name, *request.train_options(), *places]
    clock = run_folder / "seconds.json"
    before, started = _seconds(clock), time.monotonic()
    try:
        call("tracknet.scripts.train", train, log)
    finally:
        took_s: float = before + time.monotonic() - started
        if _has_begun(run_folder):
            write_json(clock, took_s)
    return took_s


def _seconds(clock: Path) -> float:
    """That the training took until it was cut off; none where nobody wrote them down."""
    try:
        return float(json.loads(clock.read_bytes()))
    except (OSError, ValueError, TypeError):
        return 0.0


def _has_begun(run_folder: Path) -> bool:
    """Whether there is a run to go on with, with a checkpoint or without: not only the lock of one that was killed."""
    return (run_folder / "run.json").is_file()


def _check_build(run_folder: Path, shards: Path) -> None:
    """Refuses a run that is there but was trained on another build than it would go on with and be scored on.

    Raises:
        UserError: naming both builds.
    """
    if not _has_begun(run_folder):
        return
    try:
        facts = json.loads((run_folder / "run.json").read_text(encoding="utf-8"))
        trained_on = facts["dataset"]["build_id"]
    except (OSError, ValueError, LookupError, TypeError):
        trained_on = None
    build_id = Manifest.read(shards).build_id
    if trained_on == build_id:
        return
    was = (
        f"was trained on the build {str(trained_on)[:12]}" if trained_on else "says no build in its run.json"
    )
    raise UserError(
        f"the run {run_folder} {was}; {shards} is the build {build_id[:12]}",
        remedy=f"remove {run_folder}, which is then trained anew, or keep it and name another folder with --work",
    )


def cost(run_folder: Path, config: Config) -> dict[str, Any]:
    """Weights, work and speed of a window, on the device and in the arithmetic of the training."""
    model = TrackNet.from_pretrained(resolve_model_folder(run_folder))
    precision = Precision.resolve(config.training.amp, resolve_device(config.training.device))
    model.to(precision.device)
    if config.training.threads:
        torch.set_num_threads(min(config.training.threads, usable_cpus()))
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "gflops": window_gflops(model),
        # A window is read for every frame, alone.
        "frames_per_s": 1.0 / window_seconds(model, precision),
        "device": str(precision.device),
        "precision": precision.name,
    }
