"""One writer at a time for the files of a source's predictions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tracknet.inference.outputs import Job
from tracknet.utils.errors import RunError
from tracknet.utils.file_lock import NO_LOCKS, locked
from tracknet.utils.lock_record import owner_of


@contextmanager
def only_writer(job: Job, out: Path) -> Iterator[None]:
    """Holds the source's place in a folder, for as long as its files are being made.

    The rest of the folder stays free: two commands may predict different videos into it.

    Raises:
        RunError: somebody else holds it.
        OSError: the folder cannot be written to. A disk that knows no locks goes unlocked.
    """

    def refuse(record: dict[str, Any]) -> None:
        raise RunError(
            f"{job.spec}: {owner_of(record)} is writing {job.name} into {out} at this moment",
            remedy="wait for it, or name another folder with --out",
        )

    with ExitStack() as held:
        try:
            held.enter_context(locked(job.lock(out), refuse, remove=True))
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
        yield
