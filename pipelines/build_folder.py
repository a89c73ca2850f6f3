"""The output folder of a build: whose it is, what of it is finished, and what is left over in it.

OUT/train-000.tar ...  val-000.tar ...  index.parquet  manifest.json
OUT/.build/config.json        what is being built here, and from which root
OUT/.build/train-000.json     a finished shard: its task's fingerprints, hash and index rows
OUT/.build/lock               held while a build runs
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipelines.shard_writer import ShardResult, ShardTask
from tracknet.datasets.schema import INDEX_NAME, MANIFEST_NAME, NOTES_NAME, SPLITS, ShardEntry
from tracknet.utils.errors import UserError
from tracknet.utils.files import replace_file, sync_folder

SHARD_NAME = re.compile(rf"({'|'.join(SPLITS)})-\d{{3,}}\.tar")
_TEMPORARY = re.compile(r"\..+\.tmp-\d+")


@dataclass(frozen=True, slots=True)
class FinishedShard:
    """A shard that needs no work: its manifest entry, its index rows, and the frames left out of it."""

    entry: ShardEntry
    rows: tuple[dict[str, Any], ...]
    left_out: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NotedShard:
    """A shard that is there, and what it was written from (`ShardTask.fingerprint`, `frames_fingerprint`)."""

    fingerprint: str
    frames_fingerprint: str
    shard: FinishedShard


class BuildFolder:
    """Reads and changes one output folder; use it inside `lock`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.notes = path / NOTES_NAME

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Makes the folder and keeps other builds out of it; ends with the process, however that ends."""
        try:
            self.notes.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise UserError(
                f"--out {self.path}: there is a file where the folder should be",
                remedy="choose another --out",
            ) from None
        with (self.notes / "lock").open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                raise UserError(
                    f"--out {self.path}: another build is writing there (process {file.read().strip()})",
                    remedy="wait for it, stop it, or choose another --out",
                ) from None
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield

    def check(self, config: dict[str, Any]) -> None:
        """Refuses a folder that another build owns; changes nothing.

        Raises:
            UserError: it holds shards of another configuration, of another root, or of unknown origin.

        """
        there = _read_json(self.notes / "config.json")
        if there is None:
            self._refuse_foreign()
        else:
            self._refuse_other(there, config)

    def claim(self, config: dict[str, Any]) -> None:
        """Notes whose folder this is now, and removes what a killed build left half-written."""
        path = self.notes / "config.json"
        if _read_json(path) != config:
            replace_file(path, _to_bytes(config))
        for leftover in [*self.path.iterdir(), *self.notes.iterdir()]:
            if _TEMPORARY.fullmatch(leftover.name):
                leftover.unlink()

    def exists(self) -> bool:
        """Whether there is a folder with notes of a build."""
        return self.notes.is_dir()

    def shard_names(self) -> set[str]:
        """The shards that lie there, whatever they are."""
        return {path.name for path in self.path.iterdir() if SHARD_NAME.fullmatch(path.name)}

    def noted(self, name: str) -> NotedShard | None:
        """A finished shard that is still there, whatever it was written from."""
        note = _read_json(self._note(name))
        try:
            if note is None:
                return None
            shard = FinishedShard(ShardEntry(**note["entry"]), tuple(note["rows"]), tuple(note["left_out"]))
            if (self.path / name).stat().st_size != shard.entry.bytes:
                return None
            return NotedShard(note["fingerprint"], note.get("frames_fingerprint", ""), shard)
        except (KeyError, TypeError, FileNotFoundError):
            return None

    def finished(self, task: ShardTask) -> FinishedShard | None:
        """The shard of a task, if it was written from the very same input and is still there."""
        noted = self.noted(task.name)
        if noted is None or noted.fingerprint != task.fingerprint():
            return None
        return None if noted.shard.left_out and not task.keep_going else noted.shard

    def begin(self, tasks: Collection[ShardTask]) -> None:
        """Declares that these shards are about to change: from here on there is no dataset, until `publish`.

        The notes go first: a tar that is replaced before its new note is written must not pass for the old.
        """
        (self.path / MANIFEST_NAME).unlink(missing_ok=True)
        sync_folder(self.path)
        for task in tasks:
            self._note(task.name).unlink(missing_ok=True)
        sync_folder(self.notes)

    def record(self, task: ShardTask, entry: ShardEntry, result: ShardResult) -> FinishedShard:
        """Notes that a shard is finished."""
        shard = FinishedShard(entry, result.rows, tuple(str(fault) for fault in result.faults))
        prints = {"fingerprint": task.fingerprint(), "frames_fingerprint": task.frames_fingerprint()}
        replace_file(self._note(task.name), _to_bytes({**prints, **asdict(shard)}))
        return shard

    def publish(self, names: Collection[str], index: bytes, manifest: str) -> bool:
        """Removes what the build does not consist of and writes index and manifest, the manifest last.

        Returns:
            Whether anything changed.

        """
        stale = [
            path for path in self.path.iterdir() if SHARD_NAME.fullmatch(path.name) and path.name not in names
        ]
        index_path, manifest_path = self.path / INDEX_NAME, self.path / MANIFEST_NAME
        if not stale and _read_bytes(index_path) == index and _read_bytes(manifest_path) == manifest.encode():
            return False
        self.begin([])
        for path in stale:
            path.unlink()
            self._note(path.name).unlink(missing_ok=True)
        replace_file(index_path, index)
        replace_file(manifest_path, manifest.encode())
        return True

    def _note(self, shard_name: str) -> Path:
        return self.notes / f"{Path(shard_name).stem}.json"

    def _refuse_foreign(self) -> None:
        names = sorted(
            path.name
            for path in (self.path.iterdir() if self.path.is_dir() else ())
            if path.suffix == ".tar" or path.name in (INDEX_NAME, MANIFEST_NAME)
        )
        if names:
            raise UserError(
                f"--out {self.path} holds {names[0]}{f' and {len(names) - 1} more' if names[1:] else ''}, "
                "and no notes of a build of this software",
                remedy="choose another --out, or replace what is there with --overwrite",
            )

    def _refuse_other(self, there: dict[str, Any], asked: dict[str, Any]) -> None:
        keys = [key for key in sorted(there.keys() | asked.keys()) if there.get(key) != asked.get(key)]
        differing = [
            f"{key}: {_show(there.get(key))} there, {_show(asked.get(key))} asked for" for key in keys
        ]
        same = [_argument(key, there.get(key)) for key in keys]
        if differing:
            raise UserError(
                f"--out {self.path} holds a build of another configuration",
                problems=differing,
                remedy=f"choose another --out, ask for what is there ({' '.join(same)}), or rebuild it with "
                "--overwrite (shards that still fit are kept)",
            )


def _show(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _argument(key: str, value: Any) -> str:
    """How the command line asks for a value of the notes."""
    if key == "root":
        return f"--root {value}"
    if key in ("val_games", "test_games"):
        return f"--{key.replace('_', '-')} {','.join(value or ()) or 'none'}"
    return f"data.{key}={json.dumps(value, separators=(',', ':'))}"


def _to_bytes(body: Any) -> bytes:
    return (json.dumps(body, sort_keys=True, indent=None) + "\n").encode()


def _read_bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _read_json(path: Path) -> dict[str, Any] | None:
    """A JSON object; `None` where there is none or it is damaged (the builder then does the work again)."""
    try:
        body = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return body if isinstance(body, dict) else None
