"""Which shards are meant: paths, URLs, folders, a manifest, globs, `{000..031}` or the written `<000..031>`."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence
from pathlib import Path

import braceexpand

from tracknet.datasets.manifest import THE_BUILD_COMMAND, Manifest
from tracknet.datasets.remote_path import RemotePath
from tracknet.datasets.schema import MANIFEST_NAME
from tracknet.datasets.shard_cache import ShardCache
from tracknet.utils.errors import UserError, shorten
from tracknet.utils.settings import CacheConfig
from tracknet.utils.urls import is_url


def input_place(spec: str | Path, cache: ShardCache | None = None) -> Path | RemotePath:
    """What a path or a URL names; shards behind a URL go through `cache`, or the usual one where none is given."""
    if isinstance(spec, Path) or not is_url(spec):
        return Path(spec)
    return RemotePath(spec, cache or ShardCache.of(CacheConfig()))


def read_manifest(folder: Path | RemotePath, build_command: str = THE_BUILD_COMMAND) -> Manifest:
    """The manifest of a build, here or behind a URL.

    Args:
        folder: of the build.
        build_command: what a person is told to run where it is here, and damaged.

    Raises:
        NoBuild: there is none. UserError: see `Manifest.read`.
        RunError: it does not come.
    """
    if isinstance(folder, RemotePath):
        return folder.read_manifest()
    return Manifest.read(folder, build_command)


def expand_shards(
    specs: Sequence[str], cache: ShardCache | None = None, *, lost_too: bool = False
) -> list[Path | RemotePath]:
    """Shard files by name. A folder, or a URL that names no `.tar`, means all training shards in it.

    Behind a URL a glob stands for what the manifest there lists, so that no server needs to list anything.

    Args:
        specs: what was named.
        cache: for shards behind URLs; the usual one where not given.
        lost_too: take local shards that are not there, where the manifest lists them.

    Raises:
        UserError: a name stands for no file. All such names are listed.
        RunError: a manifest behind a URL cannot be had.
    """
    paths: list[Path | RemotePath] = []
    problems: list[str] = []
    for spec in specs:
        place = input_place(spec, cache)
        if (folder := _folder_meant(place)) is not None:
            paths += [folder / entry.name for entry in read_manifest(folder).shards_of("train")]
            continue
        braced = re.sub(r"<(\d+\.\.\d+)>", r"{\1}", spec)
        try:
            names = list(braceexpand.braceexpand(braced))
        except ValueError:
            problems.append(f"{place}: a brace is not closed, as in train-{{000..031}}.tar")
            continue
        for name in names:
            path = input_place(name, cache)
            matches: Sequence[Path | RemotePath]
            if isinstance(path, RemotePath):
                matches = _matches_there(path)
            elif any(char in path.name for char in "*?["):
                found = {match for match in path.parent.glob(path.name) if match.is_file()}
                matches = sorted(found.union(_listed(path) if lost_too else ()))
            elif path.is_file() or (lost_too and _listed(path)):
                matches = [path]
            else:
                problems.append(f"{path}: no such file")
                continue
            if not matches:
                problems.append(f"{path}: matches no file")
            paths += matches
    if problems:
        raise UserError(
            f"{len(problems)} of the shards named are not there",
            problems=shorten(problems),
            remedy=_shards_beside(specs),
        )
    return list(dict.fromkeys(paths))


def _listed(path: Path) -> list[Path]:
    """What the manifest beside a local name or glob lists of it; nothing where there is none."""
    if not (path.parent / MANIFEST_NAME).is_file():
        return []
    entries = read_manifest(path.parent).shards
    return [path.parent / entry.name for entry in entries if fnmatch.fnmatchcase(entry.name, path.name)]


def _folder_meant(place: Path | RemotePath) -> Path | RemotePath | None:
    if place.name == MANIFEST_NAME:
        return place.parent
    if isinstance(place, Path):
        return place if place.is_dir() else None
    return None if place.name.endswith((".tar", "}")) else place


def _matches_there(path: RemotePath) -> list[RemotePath]:
    """Of a glob all that the manifest beside it lists; a plain name as it is. (`?` begins a query.)"""
    if not any(char in path.name for char in "*["):
        return [path]
    entries = path.parent.read_manifest().shards
    return [path.parent / entry.name for entry in entries if fnmatch.fnmatchcase(entry.name, path.name)]


def _shards_beside(specs: Sequence[str]) -> str:
    """What to name instead: the training shards in the folder that was meant, if it has any."""
    if is_url(specs[0]):
        return "name shards that the manifest there lists, or the folder's URL for all"
    folder = Path(specs[0]).parent
    there = sorted(folder.glob("train-*.tar"))
    if there:
        span = f"{there[0].name} to {there[-1].name}"
        return f"{folder} has {len(there)} training shards, {span}; {folder} stands for all"
    return "build them: `python -m pipelines.build_shards --root data/tracknet`, or name the folder where they are"
