"""The output folder of a build: whose it is, what of it is finished, and what is left over in it.

OUT/train-000.tar ...  val-000.tar ...  index.parquet  manifest.json
OUT/.build/config.json        what is being built here, and from which root
OUT/.build/train-000.json     a finished shard: its task's fingerprints, hash and index rows
OUT/.build/lock               held while a build runs
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from pipelines.shard_writer import ShardResult
from pipelines.store import Lease, open_store
from tracknet.datasets.label_faults import LabelFault
from tracknet.datasets.manifest import ShardEntry
from tracknet.datasets.schema import INDEX_NAME, MANIFEST_NAME, NOTES_NAME, OWNER_NAME, SPLITS
from tracknet.utils.errors import Interrupted, UserError
from tracknet.utils.naming import listed

SHARD_NAME = re.compile(rf"({'|'.join(SPLITS)})-\d{{3,}}\.tar")
_NOTES_AT_ONCE = 256


class Task(Protocol):
    """What the folder is told of a shard that is to be written."""

    @property
    def name(self) -> str:
        """Of the shard."""
        ...

    @property
    def keep_going(self) -> bool:
        """Whether frames may be left out."""
        ...

    @property
    def frames(self) -> Sequence[Any]:
        """What goes into it."""
        ...

    def fingerprint(self) -> str:
        """Changes with everything that the shard's bytes depend on."""
        ...

    def frames_fingerprint(self) -> str:
        """The fingerprint without the labels."""
        ...


@dataclass(frozen=True, slots=True)
class FinishedShard:
    """A shard that needs no work: its manifest entry, its index rows, and the frames left out of it."""

    entry: ShardEntry
    rows: tuple[dict[str, Any], ...]
    left_out: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NotedShard:
    """A shard that is there, and what it was written from (`Task.fingerprint`, `frames_fingerprint`)."""

    fingerprint: str
    frames_fingerprint: str
    shard: FinishedShard


class BuildFolder:
    """Reads and changes one output folder, here or behind an fsspec URL; use it inside `lock`."""

    def __init__(self, place: Path | str, *, asked_by: Callable[[str, Any], str] | None = None) -> None:
        """Describes the folder.

        Args:
            place: a folder, or an fsspec URL.
            asked_by: how the command line asks for a value of the notes; that of `build_shards` where not given.

        """
        self.store = open_store(place)
        self._asked_by = asked_by or _argument

    def lock(self) -> AbstractContextManager[Lease]:
        """Makes the folder and keeps other builds out of it; ends with the process, however that ends."""
        return self.store.lock()

    def check(self, config: dict[str, Any]) -> None:
        """Refuses a folder that another build owns; changes nothing.

        Raises:
            UserError: it holds shards of another configuration, of another root, or of unknown origin.

        """
        there = _parse(self._read(OWNER_NAME))
        if there is None:
            self._refuse_foreign()
        else:
            self._refuse_other(there, config)

    def claim(self, config: dict[str, Any]) -> None:
        """Notes whose folder this is now, and removes what a killed build left half-written."""
        if _parse(self._read(OWNER_NAME)) != config:
            self.store.put(OWNER_NAME, _to_bytes(config))
        self.store.remove_leftovers()

    def exists(self) -> bool:
        """Whether there are notes of a build."""
        return self._read(OWNER_NAME) is not None

    def shard_names(self) -> set[str]:
        """The shards that lie there, whatever they are."""
        return {name for name in self.store.sizes() if SHARD_NAME.fullmatch(name)}

    def noted(self, names: Collection[str]) -> dict[str, NotedShard]:
        """The finished shards, by name, that are still there, whatever they were written from.

        Reads their notes, and of the shards themselves only the size.
        """
        return dict(self._noted(names))

    def finished(self, tasks: Collection[Task]) -> dict[str, FinishedShard]:
        """The shards, by name, that were written from the very same input and are still there."""
        by_name = {task.name: task for task in tasks}
        return {
            name: noted.shard
            for name, noted in self._noted(by_name)
            if noted.fingerprint == by_name[name].fingerprint()
            and (by_name[name].keep_going or not noted.shard.left_out)
        }

    def begin(self, tasks: Collection[Task]) -> None:
        """Declares that these shards are about to change: from here on there is no dataset, until `publish`.

        The notes go first: a tar that is replaced before its new note is written must not pass for the old.
        """
        self.store.delete([MANIFEST_NAME])
        notes = self.store.sizes(NOTES_NAME)
        names = [_note_name(task.name) for task in tasks]
        self.store.delete([name for name in names if Path(name).name in notes])

    def record(
        self, results: Iterable[tuple[Task, ShardResult]], done: dict[str, FinishedShard], shards: int
    ) -> list[LabelFault]:
        """Notes the shards as they are finished, in `done` too; returns the faults of those that could not be.

        Raises:
            Interrupted: by Ctrl-C; says how many of so many `shards` are finished.
        """
        faults: list[LabelFault] = []
        try:
            for task, result in results:
                if result.entry is None:
                    faults += result.faults
                else:
                    done[task.name] = self._record(task, result.entry, result)
        except KeyboardInterrupt:
            raise Interrupted(
                f"{len(done)} of {shards} shards are finished and kept in {self.store}; the same command goes on from "
                "there"
            ) from None
        return faults

    def _record(self, task: Task, entry: ShardEntry, result: ShardResult) -> FinishedShard:
        """Notes that a shard is finished."""
        shard = FinishedShard(entry, result.rows, tuple(str(fault) for fault in result.faults))
        prints = {"fingerprint": task.fingerprint(), "frames_fingerprint": task.frames_fingerprint()}
        self.store.put(_note_name(task.name), _to_bytes({**prints, **asdict(shard)}))
        return shard

    def publish(self, names: Collection[str], index: bytes, manifest: str) -> bool:
        """Removes what the build does not consist of and writes index and manifest, the manifest last.

        Returns:
            Whether anything changed.

        """
        stale = [name for name in self.store.sizes() if SHARD_NAME.fullmatch(name) and name not in names]
        there = self.store.read_all([INDEX_NAME, MANIFEST_NAME])
        if not stale and there == {INDEX_NAME: index, MANIFEST_NAME: manifest.encode()}:
            return False
        self.begin([])
        self.store.remove_leftovers()  # of workers that died while the build went on
        if stale:
            self.store.delete([*stale, *map(_note_name, stale)])
        self.store.put(INDEX_NAME, index)
        self.store.put(MANIFEST_NAME, manifest.encode())
        return True

    def _noted(self, names: Collection[str]) -> Iterator[tuple[str, NotedShard]]:
        sizes = self.store.sizes()
        present = [name for name in names if name in sizes]
        for start in range(0, len(present), _NOTES_AT_ONCE):
            batch = present[start : start + _NOTES_AT_ONCE]
            notes = self.store.read_all([_note_name(name) for name in batch])
            for name in batch:
                noted = _noted(_parse(notes.get(_note_name(name))), sizes[name])
                if noted is not None:
                    yield name, noted

    def _read(self, name: str) -> bytes | None:
        return self.store.read_all([name]).get(name)

    def _refuse_foreign(self) -> None:
        names = sorted(
            name
            for name in self.store.sizes()
            if name.endswith(".tar") or name in (INDEX_NAME, MANIFEST_NAME)
        )
        if names:
            raise UserError(
                f"--out {self.store} holds {listed(names, 1)}, and no notes of a build of this software",
                remedy="choose another --out, or replace what is there with --overwrite",
            )

    def _refuse_other(self, there: dict[str, Any], asked: dict[str, Any]) -> None:
        kinds = [owner.get("holds", "frames") for owner in (there, asked)]
        if kinds[0] != kinds[1]:
            raise UserError(
                f"--out {self.store} holds a build of {kinds[0]}, not of {kinds[1]}",
                remedy="choose another --out",
            )
        keys = [key for key in sorted(there.keys() | asked.keys()) if there.get(key) != asked.get(key)]
        differing = [
            f"{key}: {_show(there.get(key))} there, {_show(asked.get(key))} asked for" for key in keys
        ]
        same = [said for key in keys if (said := self._asked_by(key, there.get(key)))]
        if differing:
            # Nothing on a command line may say what differs, such as the sum of a backbone's weights.
            ask = f"ask for what is there ({' '.join(same)}), " if len(same) == len(keys) else ""
            raise UserError(
                f"--out {self.store} holds a build of another configuration",
                problems=differing,
                remedy=f"choose another --out, {ask}or rebuild it with --overwrite (shards that still fit are kept)",
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


def _note_name(shard_name: str) -> str:
    return f"{NOTES_NAME}/{Path(shard_name).stem}.json"


def _noted(note: Mapping[str, Any] | None, size: int) -> NotedShard | None:
    try:
        if note is None:
            return None
        shard = FinishedShard(ShardEntry(**note["entry"]), tuple(note["rows"]), tuple(note["left_out"]))
        found = NotedShard(note["fingerprint"], note.get("frames_fingerprint", ""), shard)
    except (KeyError, TypeError):
        return None
    return found if shard.entry.bytes == size else None


def _parse(data: bytes | None) -> dict[str, Any] | None:
    """A JSON object; `None` where there is none or it is damaged (the builder then does the work again)."""
    try:
        body = json.loads(data or b"")
    except ValueError:
        return None
    return body if isinstance(body, dict) else None
