"""`python -m tracknet.scripts.train --data tracknet --model vit_heatmap --training default [key=value ...]`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from tracknet.utils.config import load_config
from tracknet.utils.errors import EXIT_DONE, UserError, cli_main
from tracknet.utils.urls import is_url

if TYPE_CHECKING:
    from tracknet.training.run_folder import RunFolder
    from tracknet.training.setup import Setup
    from tracknet.training.trainer import Trainer
    from tracknet.utils.settings import Config


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The command line. Positional arguments with `=` are overrides, the others shards."""
    parser = argparse.ArgumentParser(
        prog="tracknet train",
        description="Train a heatmap model on precomputed shards.",
        epilog="examples:\n"
        "  python -m tracknet.train shards/train-{000..031}.tar training.batch_size=16\n"
        "  python -m tracknet.scripts.train --data tracknet --model vit_tiny --training cpu --dry-run\n"
        "  python -m tracknet.scripts.train --resume runs/NAME",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "inputs",
        nargs="*",
        metavar="SHARDS | key=value",
        help="shard files, globs, brace patterns, a folder or URLs (default: data.shards), and overrides of settings",
    )
    parser.add_argument("--data", default="tracknet", help="name in configs/data, or a .yaml file")
    parser.add_argument("--model", default="vit_heatmap", help="name in configs/model, or a .yaml file")
    parser.add_argument("--training", default="default", help="name in configs/training, or a .yaml file")
    parser.add_argument(
        "--name", help="of the run's folder in training.log_dir (default: time and config names)"
    )
    parser.add_argument(
        "--resume", metavar="RUN", type=Path, help="go on with a run where its last checkpoint is"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="build everything, take two steps, write nothing"
    )
    parser.add_argument("--traceback", action="store_true", help="show Python's traceback of an error")
    # Intermixed, so that overrides may stand before and after options.
    args = parser.parse_intermixed_args(list(argv))
    if args.name is not None and (Path(args.name).name != args.name or args.name in ("", ".", "..")):
        raise UserError(
            f"--name {args.name} is no plain folder name",
            remedy="say where runs go with training.log_dir=FOLDER",
        )
    return args


def run(argv: Sequence[str]) -> int:
    """Trains, resumes or tries out, as the arguments ask."""
    args = parse(argv)
    # The query of a URL has an equals sign too.
    overrides = [item for item in args.inputs if "=" in item and not is_url(item)]
    shards = [item for item in args.inputs if item not in overrides]
    if args.resume is not None:
        return _resume(args.resume, shards, overrides, args)
    config = load_config(data=args.data, model=args.model, training=args.training, overrides=overrides)
    if shards:
        config = _with_shards(config, shards)
    from tracknet.training.checkpoint import resolve_model_folder
    from tracknet.training.dry_run import dry_run
    from tracknet.training.run_folder import RunFolder, default_run_name
    from tracknet.training.setup import prepare

    name = args.name or default_run_name(args.data, args.model, args.training)
    if not args.dry_run:
        RunFolder.refuse_existing(config, name)
    start = config.training.init_from
    setup = prepare(config, weights=resolve_model_folder(Path(start)) if start else None)
    # A threshold belongs to the weights that it was chosen for.
    setup.model.score_threshold = 0.5
    if args.dry_run:
        print("\n".join(dry_run(config, setup)))
        print("dry run: nothing was written")
        return EXIT_DONE
    run_folder = RunFolder.create(config, name, _facts(config, setup))
    return _fit(_trainer(config, setup, run_folder))


def _resume(path: Path, shards: list[str], overrides: list[str], args: argparse.Namespace) -> int:
    from tracknet.training.checkpoint import check_resumable, load_checkpoint
    from tracknet.training.run_folder import RunFolder
    from tracknet.training.setup import prepare

    if args.dry_run or args.name:
        raise UserError(
            "--resume goes with neither --dry-run nor --name", remedy="the run has its name already"
        )
    run_folder, config = RunFolder.open(path, overrides)
    if shards:
        config = _with_shards(config, shards)
    weights, state, tensors = load_checkpoint(run_folder.checkpoints)
    setup = prepare(config, weights=weights)
    trainer = _trainer(config, setup, run_folder)
    check_resumable(state, trainer.state.build_id, trainer.state.plan)
    trainer.restore(state, tensors)
    if trainer.complete:
        _say(f"{path} is complete; raise training.epochs or training.max_steps to train on")
        return EXIT_DONE
    run_folder.note_resumption(config, state.step, _facts(config, setup))
    return _fit(trainer)


def _trainer(config: Config, setup: Setup, run_folder: RunFolder) -> Trainer:
    from tracknet.training.trainer import Trainer

    return Trainer(
        config, setup.model, setup.shards, setup.train, setup.val, setup.precision, run_folder, say=_say
    )


def _fit(trainer: Trainer) -> int:
    from tracknet.utils.progress import format_duration

    run_folder, config, state = trainer.run, trainer.config, trainer.state
    assert run_folder is not None
    total = sum(p.numel() for p in trainer.model.parameters())
    _say(
        f"{run_folder.path}: {total / 1e6:.1f} M parameters on {trainer.precision.device} in {trainer.precision.name}, "
        f"{len(trainer.shards):,} training frames, {trainer.total_steps} steps of {config.training.batch_size} windows"
        + (f" x {config.training.accumulate}" if config.training.accumulate > 1 else "")
        + (f"; going on after step {state.step}" if state.step else "")
    )
    started = time.monotonic()
    trainer.fit()
    which = "best" if (run_folder.checkpoints / "best").exists() else "last"
    _say(
        f"done in {format_duration(time.monotonic() - started)}: {run_folder.checkpoints / which}\n"
        + "\n".join(
            f"next: python -m tracknet.scripts.evaluate {quote(str(run_folder.path))} "
            f"--shards {quote(str(folder))} --split val"
            for folder in trainer.shards.folders()
        )
    )
    return EXIT_DONE


def _with_shards(config: Config, shards: Sequence[str]) -> Config:
    return replace(config, data=replace(config.data, files=tuple(shards)))


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


def main() -> int:
    """Entry point."""
    return cli_main(run)


if __name__ == "__main__":
    sys.exit(main())
