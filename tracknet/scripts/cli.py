"""The installed `tracknet` command: the same commands as `python -m ...`, by one name."""

from __future__ import annotations

import importlib

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
    """Hands the arguments to the command that is named first."""
    if not argv or argv[0] in ("-h", "--help"):
        print("usage: tracknet COMMAND [...]     (tracknet COMMAND --help)\n")
        print("\n".join(f"  {name:14}{what}" for name, (_, what) in COMMANDS.items()))
        return EXIT_DONE
    if argv[0] == "--version":
        from tracknet import __version__

        print(__version__)
        return EXIT_DONE
    name, *rest = argv
    if name not in COMMANDS:
        raise UserError(
            f"there is no command {name!r}{did_you_mean(name, COMMANDS)}", remedy="tracknet --help lists them"
        )
    module = importlib.import_module(COMMANDS[name][0])
    return int(module.run(rest))


def main() -> int:
    """Entry point."""
    return cli_main(run)
