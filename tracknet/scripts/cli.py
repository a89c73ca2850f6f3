"""The installed `tracknet` command: the same commands as `python -m ...`, by one name."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from tracknet.utils.errors import EXIT_DONE, UserError, cli_main
from tracknet.utils.naming import did_you_mean

COMMANDS = {
    "synthesize": ("pipelines.synthesize", "render sample data with exactly known ball positions"),
    "build-shards": ("pipelines.build_shards", "turn frames and labels into shards"),
    "build-features": (
        "pipelines.build_features",
        "compute a frozen backbone's tokens of built shards, once",
    ),
    "index-shards": ("pipelines.index_shards", "index tars that were made elsewhere"),
    "inspect": ("tracknet.scripts.inspect", "tell what a build holds, and --verify every byte of it"),
    "train": ("tracknet.scripts.train", "train a model on shards, or --resume a run"),
    "evaluate": ("tracknet.scripts.evaluate", "score a model on a split of the shards"),
    "predict": (
        "tracknet.scripts.predict",
        "find the ball in videos, folders of pictures, cameras and streams",
    ),
    "export": ("tracknet.scripts.export", "turn a model into one file, or into a folder to publish"),
}


def run(argv: list[str]) -> int:
    """What there is to say where none of the commands is named."""
    if not argv or argv[0] in ("-h", "--help"):
        print("usage: tracknet COMMAND [...]     (tracknet COMMAND --help)\n")
        print("\n".join(f"  {name:14}{what}" for name, (_, what) in COMMANDS.items()))
        return EXIT_DONE
    if argv[0] == "--version":
        from tracknet import __version__

        print(__version__)
        return EXIT_DONE
    raise UserError(
        f"there is no command {argv[0]!r}{did_you_mean(argv[0], COMMANDS)}",
        remedy="tracknet --help lists them",
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Hands the arguments to the command that is named first; returns its exit code."""
    args = list(sys.argv[1:] if argv is None else argv)
    name = next((arg for arg in args if not arg.startswith("-")), None)
    if name not in COMMANDS:
        return cli_main(run, args)
    args.remove(name)
    # The command's own entry point knows how its process has to end.
    return int(importlib.import_module(COMMANDS[name][0]).main(args))
