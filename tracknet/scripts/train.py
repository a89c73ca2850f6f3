"""`python -m tracknet.scripts.train --data tracknet --model vit_heatmap --training default [key=value ...]`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracknet.utils.config import load_config
from tracknet.utils.errors import EXIT_DONE, UserError, cli_main

if TYPE_CHECKING:
    from tracknet.training.setup import Setup
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
        help="shard files, globs, brace patterns or a folder (default: data.shards), and overrides of settings",
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
    return parser.parse_intermixed_args(list(argv))


def run(argv: Sequence[str]) -> int:
    """Trains, resumes or tries out, as the arguments ask."""
    args = parse(argv)
    overrides = [item for item in args.inputs if "=" in item]
    shards = [item for item in args.inputs if "=" not in item]
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
    if args.dry_run:
        print("\n".join(dry_run(config, setup)))
        print("dry run: nothing was written")
        return EXIT_DONE
    folder = RunFolder.create(config, name, _facts(config, setup))
    return _fit(config, setup, folder)


def _resume(path: Path, shards: list[str], overrides: list[str], args: argparse.Namespace) -> int:
    from tracknet.training.checkpoint import check_resumable, load_checkpoint
    from tracknet.training.run_folder import RunFolder
    from tracknet.training.setup import prepare

    if args.dry_run or args.name:
        raise UserError(
            "--resume goes with neither --dry-run nor --name", remedy="the run has its name already"
        )
    folder, config = RunFolder.open(path, overrides)
    if shards:
        config = _with_shards(config, shards)
    weights, state, tensors = load_checkpoint(folder.checkpoints)
    setup = prepare(config, weights=weights)
    check_resumable(state, setup.shards.manifest.build_id, setup.train.stream.describe_plan())
    folder.forget_after(state.step)
    return _fit(config, setup, folder, state, tensors)


def _fit(config: Config, setup: Setup, folder: Any, state: Any = None, tensors: Any = None) -> int:
    from tracknet.training.trainer import Trainer
    from tracknet.utils.progress import format_duration

    trainer = Trainer(
        config, setup.model, setup.shards, setup.train, setup.val, setup.precision, folder, say=_say
    )
    if state is not None:
        trainer.restore(state, tensors)
    total = sum(p.numel() for p in setup.model.parameters())
    _say(
        f"{folder.path}: {total / 1e6:.1f} M parameters on {setup.precision.device} in {setup.precision.name}, "
        f"{len(setup.shards):,} training frames, {trainer.total_steps} steps of {config.training.batch_size} windows"
        + (f"; going on after step {state.step}" if state is not None else "")
    )
    if trainer.state.step >= trainer.total_steps:
        _say("this run is complete; raise training.epochs or training.max_steps to train on")
        return EXIT_DONE
    import time

    started = time.monotonic()
    trainer.fit()
    best = "best" if trainer.state.best is not None else "last"
    _say(
        f"done in {format_duration(time.monotonic() - started)}: {folder.checkpoints / best}\n"
        f"next: python -m tracknet.scripts.evaluate {folder.path} --shards {setup.shards.folder} --split val"
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
            "folder": str(setup.shards.folder),
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
