"""Fetches remote shards while a training goes on: those of the present block first, then those of the next."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tracknet.datasets.remote_file import RemoteFile
from tracknet.datasets.shard_cache import CacheError, ShardCache
from tracknet.datasets.shard_set import ShardSet
from tracknet.utils.errors import RunError
from tracknet.utils.gigabytes import GB, at_least_gb

# What it waits for looks ten times a second whether it is to stop; a disk that hangs does not.
_CLOSE_S = 2.0


@dataclass(frozen=True)
class RemoteShards:
    """What of a stream's shards lies behind URLs.

    Attributes:
        cache: where they are kept.
        files: the shards, in the order of the set's own.
    """

    cache: ShardCache
    files: tuple[RemoteFile, ...]

    @classmethod
    def of(cls, shards: ShardSet, *, read: bool = False) -> RemoteShards | None:
        """Those of a set, with `read` those that hold a frame of it; `None` where all are local."""
        return cls(shards.cache, tuple(shards.remote_shards(read=read))) if shards.cache else None

    @property
    def bytes(self) -> int:
        """Of all together."""
        return sum(file.bytes for file in self.files)

    @property
    def fit(self) -> bool:
        """Whether the cache holds all of them at once."""
        return self.bytes <= self.cache.max_bytes


def room_wanted(train: RemoteShards | None, val: RemoteShards | None) -> str | None:
    """What a cache that is too small for a validation costs, for the person; `None` where it is not.

    Args:
        train: what is trained on, if it is remote.
        val: what is evaluated, if it is remote.
    """
    if val is None:
        return None
    room, both = val.cache.max_bytes, val.bytes + (train.bytes if train is not None else 0)
    if not val.fit:
        return (
            f"the {val.bytes / GB:.2f} GB of shards to evaluate do not fit a cache of {room / GB:.2f} GB. Clip after "
            "clip is read, each from many shards, which are fetched again for nearly every clip: set "
            f"data.cache.max_gb to at least {at_least_gb(val.bytes)}, or copy the shards to a disk"
        )
    if train is not None and train.fit and both > room:
        return (
            f"training and validation shards have {both / GB:.2f} GB together, the cache holds {room / GB:.2f}: every "
            f"validation, and the epoch after it, fetch {(both - room) / GB:.2f} GB again; data.cache.max_gb="
            f"{at_least_gb(both)} would hold all"
        )
    return None


class FetchAhead:
    """A thread that keeps the cache ahead of one epoch. A reader that needs a shard earlier fetches it too."""

    def __init__(
        self,
        cache: ShardCache,
        groups: Sequence[Sequence[RemoteFile]],
        place_of: Callable[[int], int],
        start_step: int,
        *,
        skip: bool = False,
    ) -> None:
        """Starts to fetch.

        Args:
            cache: must hold two groups that follow each other, where there are several.
            groups: of shards that are read together, in the order in which they are read.
            place_of: the group, as a place in that order, that a step of the epoch reads.
            start_step: that is served first.
            skip: leave out shards that cannot be had; who reads one learns it there.
        """
        self._cache = cache
        self._groups = groups
        self._place_of = place_of
        self._skip = skip
        self._place = place_of(start_step)
        self._stopped = False
        self._moved = threading.Condition()
        self._error: Exception | None = None
        # Before anyone reads: who comes first to a shard that is missing makes room for it by the same rule.
        self._claim(self._wanted(self._place))
        self._thread = threading.Thread(target=self._run, name="fetch-ahead", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raises RunError where a shard cannot be had; names it."""
        if self._error is not None:
            raise self._error

    def reach(self, step: int) -> None:
        """A step was made: no group before its own is read any more. Raises as `check` does."""
        self.check()
        place = self._place_of(step)
        if place != self._place:
            with self._moved:
                self._place = place
                self._moved.notify()

    def close(self) -> None:
        """Ends the thread, and whatever it waits for."""
        with self._moved:
            self._stopped = True
            self._moved.notify()
        self._thread.join(_CLOSE_S)

    def _run(self) -> None:
        try:
            while True:
                place = self._place
                self._fetch(place)
                with self._moved:
                    self._moved.wait_for(lambda place=place: self._stopped or self._place != place)  # type: ignore[misc]
                self._check_stop()
        except _Stopped:
            pass
        except Exception as error:
            self._error = error

    def _fetch(self, place: int) -> None:
        wanted = self._wanted(place)
        for file in wanted:
            self._check_stop()
            if place != self._place:
                return
            if self._cache.holds(file):
                continue
            self._claim(wanted)
            try:
                self._cache.ensure(file, self._check_stop)
            except CacheError:
                raise
            except RunError:
                if not self._skip:
                    raise

    def _wanted(self, place: int) -> list[RemoteFile]:
        return [file for group in self._groups[place : place + 2] for file in group]

    def _claim(self, files: Sequence[RemoteFile]) -> None:
        """What goes to make room is what was used longest ago, but not what is waited for."""
        for file in files:
            self._cache.touch(file)

    def _check_stop(self) -> None:
        if self._stopped:
            raise _Stopped


class _Stopped(Exception):
    pass
