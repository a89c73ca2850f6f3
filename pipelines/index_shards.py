"""`python -m pipelines.index_shards FOLDER`: an index and a manifest for tars that were made elsewhere."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tracknet.utils.errors import EXIT_DONE, UserError, cli_main
from tracknet.utils.naming import program

if TYPE_CHECKING:
    from tracknet.datasets.manifest import Manifest


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    return cli_main(run, argv)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program("index-shards"),
        description="Read tars of KEY.jpg (or .jpeg, .png) and KEY.json once, check them, and write the "
        "index.parquet and manifest.json that training needs. The tars stay as they are.",
    )
    parser.add_argument("folder", type=Path, help="with the tars: train-*.tar, val-*.tar, test-*.tar")
    parser.add_argument("--split", choices=["train", "val", "test"], help="of all tars, whatever their names")
    parser.add_argument("--data", default="tracknet", help="name in configs/data, or a .yaml file")
    parser.add_argument("--traceback", action="store_true", help="show Python's traceback of an error")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="such as data.max_megapixels=100")
    return parser


def run(argv: Sequence[str]) -> int:
    """Indexes a folder; returns the exit code."""
    args = _parser().parse_intermixed_args(list(argv))
    from pipelines.foreign import read_foreign, split_of
    from pipelines.publish import index_bytes, make_manifest, sort_rows
    from tracknet.datasets.manifest import is_shard_name
    from tracknet.datasets.schema import INDEX_NAME, MANIFEST_NAME
    from tracknet.utils.config import load_config
    from tracknet.utils.files import replace_file
    from tracknet.utils.geometry import Size
    from tracknet.utils.naming import counted, natural_key
    from tracknet.utils.progress import Progress

    folder = args.folder
    config = load_config(data=args.data, overrides=args.overrides)
    _refuse_a_build(folder)
    tars = sorted(folder.glob("*.tar"), key=lambda path: natural_key(path.name))
    if not tars:
        raise UserError(f"{folder} holds no .tar file", remedy="name the folder of the tars")
    odd = [path.name for path in tars if not (is_shard_name(path.name) and path.is_file())]
    if odd:
        raise UserError(f"{folder} holds what cannot be a shard", problems=odd, remedy="rename or remove it")
    paths = [(path, args.split or split_of(path)) for path in tars]
    size_mb = sum(path.stat().st_size for path in tars) // 1_000_000
    with Progress("indexing", size_mb, "MB") as progress:
        found = read_foreign(
            paths, most_pixels=round(config.data.max_megapixels * 1e6), on_bytes=progress.bytes_counter()
        )
    rows = found.rows = sort_rows(found.rows)
    index = index_bytes(rows)
    manifest = make_manifest(
        config={"made_elsewhere": True},
        image_size=Size(rows[0]["width"], rows[0]["height"]),
        games=found.games,
        shards=found.entries,
        rows=rows,
        index=index,
    )
    (folder / MANIFEST_NAME).unlink(missing_ok=True)
    replace_file(folder / INDEX_NAME, index)
    replace_file(folder / MANIFEST_NAME, manifest.to_json().encode())
    print(
        f"indexed {folder}: {counted(len(rows), 'frame')} of {manifest.image_size} in "
        f"{counted(len(tars), 'tar')} (build {manifest.build_id[:12]})"
    )
    print(_splits(manifest))
    return EXIT_DONE


def _splits(manifest: Manifest) -> str:
    from pipelines.wording import listed_games
    from tracknet.utils.naming import counted

    return "\n".join(
        f"  {split}: {counted(part['frames'], 'frame')}, {counted(part['clips'], 'clip')} "
        f"of {listed_games(manifest.games[split])}"
        for split, part in manifest.totals["splits"].items()
    )


def _refuse_a_build(folder: Path) -> None:
    """An index of our own says more than one made afterwards: sources, hashes, corrected labels."""
    from tracknet.datasets.manifest import Manifest
    from tracknet.datasets.schema import MANIFEST_NAME, NOTES_NAME

    if not folder.is_dir():
        raise UserError(f"{folder} is no folder", remedy="name the folder of the tars")
    made_here = (folder / NOTES_NAME).exists()
    if not made_here and (folder / MANIFEST_NAME).exists():
        made_here = not Manifest.read(folder).config.get("made_elsewhere")
    if made_here:
        raise UserError(
            f"{folder} is a build of pipelines.build_shards, whose index says more than the tars",
            remedy="run its build command again; to index these tars alone, copy them into a folder of their own",
        )


if __name__ == "__main__":
    sys.exit(main())
