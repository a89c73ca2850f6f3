"""`python -m tracknet.scripts.train --data tracknet --model vit_heatmap --training default [key=value ...]`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from tracknet.datasets.topology import Topology
from tracknet.scripts._train_options import parse, requested_config
from tracknet.utils.errors import EXIT_DONE, cli_main
from tracknet.utils.urls import hide_secrets

if TYPE_CHECKING:
    from tracknet.training.distributed import Ranks
    from tracknet.training.run_folder import RunFolder
    from tracknet.training.setup import Setup
    from tracknet.training.trainer import Trainer
    from tracknet.utils.settings import Config


def run(argv: Sequence[str]) -> int:
    """Trains, resumes or tries out, as the arguments ask; under torchrun as one of its processes."""
    args = parse(argv)
    alone = Topology.of_torchrun().world_size == 1
    if alone:
        # A misspelt key is told before torch is imported, which takes seconds.
        config = requested_config(args)
    from tracknet.training.distributed import Ranks
    from tracknet.utils.config import sets_key
    from tracknet.utils.settings.without_effect import unheard

    with Ranks.join() as ranks:
        if not alone:
            config = ranks.agreed(lambda: requested_config(args))
        for line in unheard(config.model, config.data.sequence.length, partial(sets_key, args.overrides)):
            ranks.say(_say)(f"warning: {line}")
        with ExitStack() as held:
            if args.resume is not None:
                return _resume(args.resume, config, args.inputs, ranks, held)
            return _train(args, config, ranks, held)


def _train(args: argparse.Namespace, config: Config, ranks: Ranks, held: ExitStack) -> int:
    from tracknet.training.dry_run import dry_run
    from tracknet.training.run_folder import RunFolder, default_run_name
    from tracknet.training.same_data import check_same_data

    # Named once: by another process's clock it may be a second later.
    name = args.name or ranks.objects(default_run_name(args.data, args.model, args.training))[0]
    say = ranks.say(_say)

    def build() -> Setup:
        if not args.dry_run:
            RunFolder.refuse_existing(config, name)
            RunFolder.refuse_passwords(config)
        return _prepare_new(config, ranks)

    setup = ranks.agreed(build, main_first=True)
    check_same_data(ranks, setup.shards, setup.train.stream, setup.val.stream if setup.val else None)
    if args.dry_run:
        say("\n".join(dry_run(config, setup)))
        say("dry run: nothing was written")
        return EXIT_DONE
    facts = _facts(config, setup)

    def folder() -> RunFolder:
        run = RunFolder(Path(config.training.log_dir) / name)
        if not ranks.is_main:
            return run
        held.enter_context(run.lock(say))
        return RunFolder.create(config, name, facts)

    return _fit(_trainer(config, setup, ranks.agreed(folder)))


def _resume(path: Path, config: Config, asked: Sequence[str], ranks: Ranks, held: ExitStack) -> int:
    from tracknet.training.checkpoint import TrainingState, check_resumable, has_checkpoint, load_checkpoint
    from tracknet.training.run_folder import RunFolder
    from tracknet.training.same_data import check_same_data
    from tracknet.training.setup import prepare

    run_folder = RunFolder(path)
    # Before the checkpoint is chosen: another training may be about to write one.
    ranks.agreed(lambda: held.enter_context(run_folder.lock(ranks.say(_say))) if ranks.is_main else None)
    history = ranks.agreed(run_folder.history)

    def build() -> tuple[Setup, tuple[TrainingState, dict[str, Any]] | None]:
        if not has_checkpoint(run_folder.checkpoints):
            run_folder.refuse_lost_checkpoints()
            return _prepare_new(config, ranks), None
        weights, state, tensors = load_checkpoint(run_folder.checkpoints)
        return prepare(config, weights=weights, ranks=ranks, say=ranks.say(_say)), (state, tensors)

    setup, saved = ranks.agreed(build, main_first=True)
    check_same_data(ranks, setup.shards, setup.train.stream, setup.val.stream if setup.val else None)
    trainer = _trainer(config, setup, run_folder)

    def restore() -> None:
        if saved is not None:
            check_resumable(saved[0], trainer.state.build_id, trainer.state.plan)
            trainer.restore(*saved)

    ranks.agreed(restore)
    if saved is None:
        trainer.say(f"{path} holds no checkpoint yet: it begins at step 0")
    if trainer.complete:
        idle = f", and nothing was done with {hide_secrets(' '.join(asked))}" if asked else ""
        trainer.say(f"{path} is complete{idle}; raise training.epochs or training.max_steps to train on")
        return EXIT_DONE
    facts, step, validated_step = _facts(config, setup), trainer.state.step, trainer.state.validated_step
    has_begun = False

    def begun() -> None:
        nonlocal has_begun
        ranks.agreed(
            lambda: (
                run_folder.note_resumption(config, step, validated_step, history, facts)
                if ranks.is_main
                else None
            )
        )
        has_begun = True

    try:
        return _fit(trainer, begun)
    finally:
        if asked and not has_begun:
            trainer.say(
                f"note: nothing was trained with {hide_secrets(' '.join(asked))}: {path / 'config.yaml'} is as it was"
            )


def _prepare_new(config: Config, ranks: Ranks) -> Setup:
    """What a training needs that begins at step 0."""
    from tracknet.models.model_folder import resolve_model_folder
    from tracknet.training.setup import prepare

    start = config.training.init_from
    weights = resolve_model_folder(Path(start)) if start else None
    setup = prepare(config, weights=weights, ranks=ranks, say=ranks.say(_say))
    # A threshold belongs to the weights that it was chosen for.
    setup.model.score_threshold = 0.5
    return setup


def _trainer(config: Config, setup: Setup, run_folder: RunFolder) -> Trainer:
    from tracknet.training.trainer import Trainer

    return Trainer(
        config,
        setup.model,
        setup.shards,
        setup.train,
        setup.val,
        setup.precision,
        run_folder,
        ranks=setup.ranks,
        say=_say,
    )


def _fit(trainer: Trainer, begun: Callable[[], None] | None = None) -> int:
    from tracknet.utils.progress import format_duration

    run_folder, config, state = trainer.run, trainer.config, trainer.state
    assert run_folder is not None
    total = sum(p.numel() for p in trainer.model.parameters())
    processes = trainer.ranks.topology.world_size
    say = trainer.say
    say(
        f"{run_folder.path}: {total / 1e6:.1f} M parameters on {trainer.precision.device} in {trainer.precision.name}, "
        f"{len(trainer.shards):,} training frames, {trainer.total_steps} steps of {config.training.batch_size} windows"
        + (f" x {config.training.accumulate}" if config.training.accumulate > 1 else "")
        + (f" over {processes} processes" if processes > 1 else "")
        + (f"; going on after step {state.step}" if state.step else "")
    )
    if trainer.learner.sizes.sizes:
        say(f"sizes: {trainer.learner.sizes.describe()}")
    started = time.monotonic()
    trainer.fit(begun)
    which = "best" if (run_folder.checkpoints / "best").exists() else "last"
    say(
        f"done in {format_duration(time.monotonic() - started)}: {run_folder.checkpoints / which}\n"
        + "\n".join(
            f"next: python -m tracknet.scripts.evaluate {quote(str(run_folder.path))} "
            f"--shards {quote(str(folder))} --split val"
            for folder in trainer.shards.folders()
        )
    )
    return EXIT_DONE


def _facts(config: Config, setup: Setup) -> dict[str, Any]:
    import torch

    from tracknet.utils.environment import describe_environment

    device = setup.precision.device
    return {
        **describe_environment(),
        "seed": config.training.seed,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
        "precision": setup.precision.name,
        "threads": torch.get_num_threads(),
        "processes": setup.ranks.topology.world_size,
        "parameters": sum(p.numel() for p in setup.model.parameters()),
        "dataset": {
            "folders": [str(folder) for folder in setup.shards.folders()],
            "build_id": setup.shards.manifest.build_id,
            "games": setup.shards.manifest.games,
            "train_frames": len(setup.shards),
        },
    }


def _say(line: str) -> None:
    print(line, flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    return cli_main(run, argv)


if __name__ == "__main__":
    sys.exit(main())
