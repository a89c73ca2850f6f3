"""The command line of `train`: what it can be asked, and the configuration that is asked for."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tracknet.utils.errors import UserError
from tracknet.utils.naming import program
from tracknet.utils.urls import is_url

if TYPE_CHECKING:
    from tracknet.utils.settings import Config


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The command line; of the positional arguments, `inputs`, those with `=` are `overrides`, the others `shards`.

    Raises:
        UserError: the name is none of a folder.
    """
    parser = argparse.ArgumentParser(
        prog=program("train"),
        description="Train a heatmap model on precomputed shards.",
        epilog="examples:\n"
        "  python -m tracknet.train shards/train-{000..031}.tar training.batch_size=16\n"
        "  python -m tracknet.scripts.train --data tracknet --model vit_tiny --training cpu --dry-run\n"
        "  python -m tracknet.scripts.train --resume runs/NAME\n"
        "  torchrun --nproc-per-node 2 -m tracknet.train shards   (several processes; see docs/distributed.md)",
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
        "--resume",
        metavar="RUN",
        type=Path,
        help="go on with a run where its last checkpoint is, or begin it where it has none yet",
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
    # The query of a URL has an equals sign too.
    args.overrides = [item for item in args.inputs if "=" in item and not is_url(item)]
    args.shards = [item for item in args.inputs if item not in args.overrides]
    return args


def requested_config(args: argparse.Namespace) -> Config:
    """The configuration that is asked for: of named files and overrides, or of the run to go on with.

    Args:
        args: of `parse`.

    Raises:
        UserError: there is no such file, run or setting, or the shards are named in two ways.
    """
    # Not at the top, here and below: --help must not wait for NumPy.
    from tracknet.utils.config import load_config, sets_key

    overrides: list[str] = args.overrides
    composed = overrides
    if sets_key(overrides, "data.sources") and not sets_key(overrides, "data.files"):
        # First, so that files of a resumed run, or of a YAML file, are not refused beside what was named now.
        composed = ["data.files=null", *overrides]
    if args.resume is None:
        config = load_config(data=args.data, model=args.model, training=args.training, overrides=composed)
        return _with_shards(config, args.shards, overrides)
    if args.dry_run or args.name:
        raise UserError(
            "--resume goes with neither --dry-run nor --name", remedy="the run has its name already"
        )
    from tracknet.training.run_folder import RunFolder

    _, config = RunFolder.open(args.resume, composed)
    config = _with_shards(config, args.shards, overrides)
    RunFolder.refuse_incomplete(config, args.resume)
    return config


def _with_shards(config: Config, shards: Sequence[str], overrides: Sequence[str]) -> Config:
    """The configuration that reads what was named now; files of a resumed run, or of a YAML file, give way.

    Raises:
        UserError: the shards are named in two ways, of which one would not be read.
    """
    from tracknet.utils.config import sets_key

    data = config.data
    named = {
        "the shards on the command line": shards,
        **{key: sets_key(overrides, key) for key in ("data.files", "data.shards", "data.sources")},
    }
    if data.sources is not None:
        named["data.sources"] = True
    ways = [way for way, is_named in named.items() if is_named]
    if len(ways) > 1:
        raise UserError(
            f"shards are named twice: {' and '.join(ways)}",
            remedy="leave out all but one"
            + (" (data.sources=null leaves out the sources)" if data.sources is not None else ""),
        )
    if shards:
        return replace(config, data=replace(data, files=tuple(shards)))
    return replace(config, data=replace(data, files=None)) if ways == ["data.shards"] else config
