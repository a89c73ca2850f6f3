"""Local copies of remote shards, named by their content and shared by every process of the machine.

CACHE/ab/abcd...tar             a whole shard, proven by its SHA-256, which is its name
CACHE/ab/abcd....BYTES.part     one that is being fetched; an interrupted one is gone on with
CACHE/ab/abcd....lock           held by whoever fetches it
CACHE/ab/abcd....WHOM.lost      could not be had: see `lost_shards`
CACHE/lock                      held while room is made

A shard in use is held open with a shared lock on the file itself, which ends with the process, however that
ends: what a killed process used can be removed, and nothing it left behind stops the next.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tracknet.datasets.cache_waiting import Stopped, locked_for, say, told_apart
from tracknet.datasets.faults import ShardFault
from tracknet.datasets.lost_shards import LostShards, remove_old_records
from tracknet.datasets.remote_file import Patience, RemoteFile, fetch
from tracknet.utils.errors import RunError, UserError
from tracknet.utils.file_lock import NO_LOCKS
from tracknet.utils.files import hash_stream
from tracknet.utils.gigabytes import GB, at_least_gb
from tracknet.utils.settings import CacheConfig

_SECONDS_BETWEEN_LOOKS = 0.1


class CacheError(RunError):
    """The cache itself fails: no shard or frame is to blame, and none may be skipped for it."""


class ShardCache:
    """A folder of shards with a limit. Objects are plain values: send them to any process of the machine."""

    def __init__(self, folder: Path, max_bytes: int, patience: Patience) -> None:
        """Describes the cache; nothing is made before something is fetched.

        Args:
            folder: on local disk; `flock` must work there.
            max_bytes: of all shards together, those being fetched included.
            patience: with the servers.
        """
        self.folder = folder
        self.max_bytes = max_bytes
        self.patience = patience
        self._lost = LostShards(patience)

    @classmethod
    def of(cls, config: CacheConfig) -> ShardCache:
        """The cache that is configured."""
        home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = Path(config.dir).expanduser() if config.dir else Path(home) / "tracknet" / "shards"
        patience = Patience(attempts=config.attempts, timeout_s=config.timeout_s)
        return cls(folder, round(config.max_gb * GB), patience)

    def open(self, file: RemoteFile, check_stop: Callable[[], None] = lambda: None) -> int:
        """A file descriptor of the whole shard, fetched first where it is not there.

        Until it is closed the shard stays.

        Args:
            file: the shard.
            check_stop: called while it is fetched or waited for; may raise.

        Raises:
            ShardFault: it cannot be fetched.
            CacheError: the cache cannot keep it, or there is no room that could be made for it.
        """
        path = self.path_of(file)
        while True:
            with self._named_faults(file):
                if (descriptor := self._take(path)) is not None:
                    return descriptor
            self.ensure(file, check_stop)

    def ensure(self, file: RemoteFile, check_stop: Callable[[], None] = lambda: None) -> None:
        """Fetches a shard that is not there; returns once it is there, fetched by this process or another.

        Args:
            file: the shard.
            check_stop: called while waiting and between requests; may raise.

        Raises:
            ShardFault, CacheError: see `open`.
        """
        path = self.path_of(file)
        with self._named_faults(file):
            self._lost.check(file, path)
            path.parent.mkdir(parents=True, exist_ok=True)
            with locked_for(path.with_suffix(".lock"), f"to fetch {file}", check_stop):
                if path.exists():
                    return
                # Who held the lock may have learned it meanwhile.
                self._lost.check(file, path)
                began_s = time.monotonic()
                try:
                    self._fetch(file, path, check_stop)
                except ShardFault as error:
                    self._lost.note(file, path, error, time.monotonic() - began_s)
                    raise
                self._lost.forget(file, path)

    def mend(self, file: RemoteFile, check_stop: Callable[[], None] = lambda: None) -> None:
        """Fetches a shard anew whose copy has changed here; the old one stays where that fails.

        Args:
            file: a shard that is there, of which a frame was not as built.
            check_stop: called while waiting and between requests; may raise.
        """
        path = self.path_of(file)
        try:
            with (
                self._named_faults(file),
                locked_for(path.with_suffix(".lock"), f"to mend {file}", check_stop),
            ):
                # Another process may have mended it meanwhile.
                with contextlib.suppress(FileNotFoundError), path.open("rb") as copy:
                    if hash_stream(copy) == file.sha256:
                        return
                say(f"the copy of {file} in {self.folder} is damaged; it is fetched anew")
                self._fetch(file, path, check_stop)
        except (ShardFault, CacheError) as error:
            # All of its other frames are still good.
            say(f"the damaged copy stays: {error.what}")

    def _fetch(self, file: RemoteFile, path: Path, check_stop: Callable[[], None]) -> None:
        """Puts the whole shard at `path`, whose lock is held. Raises as `ensure` does."""
        part = path.with_suffix(f".{file.bytes}.part")
        self._make_room(file, part, check_stop)
        try:
            fetch(file, part, self.patience, check_stop=told_apart(check_stop), on_trouble=say)
        except Stopped as stopped:
            raise stopped.error from None
        except RunError as error:
            raise ShardFault(error.what, remedy=error.remedy, cause=str(file)) from error
        # Its name says that it is whole, also after a power cut.
        with part.open("rb") as whole:
            os.fsync(whole.fileno())
        part.replace(path)
        _mark_used(path)

    def holds(self, file: RemoteFile) -> bool:
        """Whether the shard is there, whole."""
        return self.path_of(file).exists()

    def touch(self, file: RemoteFile) -> None:
        """A shard that is there counts as just used, so that others go first."""
        _mark_used(self.path_of(file))

    def path_of(self, file: RemoteFile) -> Path:
        """Where a shard lies once it is there."""
        return self.folder / file.sha256[:2] / f"{file.sha256}.tar"

    @contextlib.contextmanager
    def _named_faults(self, file: RemoteFile) -> Iterator[None]:
        """What the system says of the cache's folder, with what helps there."""
        try:
            yield
        except OSError as error:
            raise CacheError(
                f"{file} cannot be kept in {self.folder}: {error.strerror or error}",
                remedy=_remedy(error.errno, file.bytes),
            ) from None

    def _take(self, path: Path) -> int | None:
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            return None
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        # Between opening and locking it may have been removed; what is read must stay findable for others.
        if os.fstat(descriptor).st_nlink == 0:
            os.close(descriptor)
            return None
        _mark_used(path)
        return descriptor

    def _make_room(self, file: RemoteFile, part: Path, check_stop: Callable[[], None]) -> None:
        """Removes what was used longest ago until the file fits, and claims the room by making its part."""
        if file.bytes > self.max_bytes:
            raise UserError(
                f"{file} has {file.bytes / GB:.2g} GB, data.cache.max_gb allows {self.max_bytes / GB:.2g}",
                remedy=f"set data.cache.max_gb to at least {at_least_gb(2 * file.bytes)}, for this shard and the next",
            )
        remove_old_records(self.folder)
        give_up_at = time.monotonic() + self.patience.timeout_s
        while True:
            with locked_for(self.folder / "lock", f"to make room in {self.folder}", check_stop):
                others = [entry for entry in self._entries() if entry[1] != part]
                used = sum(size for _, _, size in others)
                kept = []
                for _, path, size in sorted(others):
                    if used + file.bytes <= self.max_bytes:
                        break
                    if _remove(path):
                        used -= size
                    else:
                        kept.append(path)
                if used + file.bytes <= self.max_bytes:
                    part.touch()
                    return
            # Reads take milliseconds. What is being fetched can go as soon as it is whole, or its fetching fails.
            if any(path.suffix == ".part" for path in kept):
                give_up_at = time.monotonic() + self.patience.timeout_s
            if time.monotonic() > give_up_at:
                raise CacheError(
                    f"{self.folder}: {used / GB:.3g} GB of shards are in use, {file} needs {file.bytes / GB:.3g} more "
                    f"and data.cache.max_gb allows {self.max_bytes / GB:.3g} in all",
                    remedy=f"set data.cache.max_gb to at least {at_least_gb(used + file.bytes)}, or give another "
                    "data.cache.dir to one of the trainings that share this one",
                )
            check_stop()
            time.sleep(_SECONDS_BETWEEN_LOOKS)

    def _entries(self) -> Iterator[tuple[float, Path, int]]:
        """Time of last use, path and size (of a part: when it will be whole) of all that takes up room."""
        for path in self.folder.glob("??/*"):
            with contextlib.suppress(FileNotFoundError, ValueError):
                status = path.stat()
                if path.suffix == ".tar":
                    yield status.st_mtime, path, status.st_size
                elif path.suffix == ".part":
                    yield status.st_mtime, path, int(path.suffixes[-2][1:])


def _mark_used(path: Path) -> None:
    """Notes the time of the last use, which decides what goes first.

    By our own clock: the system's, without a time stated, stands still for 4 to 10 ms, in which a validation ends and
    an epoch begins.
    """
    now_ns = time.time_ns()
    with contextlib.suppress(OSError):
        try:
            os.utime(path, ns=(now_ns, now_ns))
        except PermissionError:
            os.utime(path)  # another user's file, which we may write to


def _remove(path: Path) -> bool:
    """Removes a shard or part that is not in use; `False` where it is."""
    held = path if path.suffix == ".tar" else path.with_name(f"{path.name.split('.')[0]}.lock")
    try:
        descriptor = os.open(held, os.O_RDONLY)
    except FileNotFoundError:
        path.unlink(missing_ok=True)
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink(missing_ok=True)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def _remedy(number: int | None, needed_bytes: int) -> str:
    """What helps against a fault of the cache's folder."""
    if number in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"free at least {at_least_gb(needed_bytes)} GB there, set data.cache.max_gb to what that disk has room "
            "for, or name a folder on another disk with data.cache.dir"
        )
    if number in (errno.ENOTDIR, errno.EEXIST):
        return "it, or a part of its path, is a file: remove that, or name a folder with data.cache.dir"
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "give yourself permission to write there, or name another folder with data.cache.dir"
    if number in NO_LOCKS:
        return "that disk knows no locks: name a folder on a local disk with data.cache.dir"
    return "check that disk, or name a folder on another one with data.cache.dir"
