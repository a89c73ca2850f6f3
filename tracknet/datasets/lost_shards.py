"""What is known of shards that could not be had: who waited for one need not try in vain what another tried."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from pathlib import Path

from tracknet.datasets.faults import ShardFault
from tracknet.datasets.remote_file import Patience, RemoteFile
from tracknet.utils.errors import RunError
from tracknet.utils.files import write_json

# A shard that cannot be had is not asked for again for so many times as long as that took to learn, so that those
# who skip its frames wait for no more than a twentieth of their time; and for ten minutes at most.
_LOST_FOR = 20
_LOST_AT_MOST_S = 600.0


class LostShards:
    """Beside where a shard would lie, `SHA256.WHOM.lost`: until when it is given up, and what was wrong.

    WHOM stands for address and patience: another address may have the shard, and a longer patience get it. What was
    learned before this object was made is not believed: who trains again has perhaps mended the server. The workers
    of a training have copies of one object, so that each believes the others.
    """

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._since_s = time.time()

    def check(self, file: RemoteFile, path: Path) -> None:
        """Raises ShardFault, as it was raised then, where the shard that would lie at `path` is given up for now."""
        with contextlib.suppress(FileNotFoundError, ValueError, KeyError, TypeError):
            record = json.loads(self._record_of(file, path).read_text())
            learned_s, for_s = float(record["learned_s"]), float(record["for_s"])
            if self._since_s <= learned_s <= time.time() < learned_s + for_s:
                raise ShardFault(str(record["what"]), remedy=record["remedy"], cause=str(file))

    def note(self, file: RemoteFile, path: Path, error: RunError, took_s: float) -> None:
        """It cannot be had, which took so long to learn."""
        record = {
            "what": error.what,
            "remedy": error.remedy,
            "learned_s": time.time(),
            "for_s": min(_LOST_FOR * took_s, _LOST_AT_MOST_S),
        }
        # A disk that is full by now ends the training with the fault itself.
        with contextlib.suppress(OSError):
            write_json(self._record_of(file, path), record)

    def forget(self, file: RemoteFile, path: Path) -> None:
        """It is there after all."""
        self._record_of(file, path).unlink(missing_ok=True)

    def _record_of(self, file: RemoteFile, path: Path) -> Path:
        # A hash, for a URL may hold a secret.
        whom = hashlib.sha256(f"{file.url} {self._patience}".encode()).hexdigest()[:16]
        return path.with_suffix(f".{whom}.lost")


def remove_old_records(folder: Path) -> None:
    """Removes notes that no longer hold from the folder of a cache."""
    believed_from_s = time.time() - _LOST_AT_MOST_S
    for path in folder.glob("??/*.lost"):
        with contextlib.suppress(OSError):
            if path.stat().st_mtime < believed_from_s:
                path.unlink()
