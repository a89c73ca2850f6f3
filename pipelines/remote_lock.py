"""A lock among builders that share nothing but a place to put files.

Such a place has no lock that ends with its holder, so this one is a note that the holder renews. It keeps out
a second builder that starts while the first runs, and one that starts within the same second loses in all but
rare cases. It cannot keep out a builder whose clock is minutes off, and a holder that is cut off from the store
for longer than `STALE_S` loses it; such a holder ends before it writes a manifest, and its tasks stop.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator

from pipelines.store import LOCK_NAME, Store
from tracknet.utils.errors import RunError, UserError
from tracknet.utils.lock_record import is_dead, new_record, owner_of, read_record

BEAT_S = 20.0
STALE_S = 120.0
SETTLE_S = 0.2


@contextlib.contextmanager
def hold(store: Store) -> Iterator[str]:
    """Takes the lock and renews it until the end; yields its token.

    Raises:
        UserError: another builder holds it; says who, since when, and when it counts as dead.

    """
    _refuse_second(store)
    record = new_record()
    token = str(record["token"])
    store.put(LOCK_NAME, json.dumps(record).encode())
    time.sleep(SETTLE_S)  # of two that saw no lock, the last to write has it
    if _token(store) != token:
        _refuse_second(store)
    done = threading.Event()

    def beat() -> None:
        while not done.wait(BEAT_S):
            # A failure is tried again; who loses the lock meanwhile learns it from `Lease.check`.
            with contextlib.suppress(RunError):
                if _token(store) != token:
                    return
                store.put(LOCK_NAME, json.dumps({**record, "beat_s": time.time()}).encode())

    thread = threading.Thread(target=beat, name="lock", daemon=True)
    thread.start()
    try:
        yield token
    finally:
        done.set()
        thread.join()
        with contextlib.suppress(RunError):
            if _token(store) == token:
                store.delete([LOCK_NAME])


def _refuse_second(store: Store) -> None:
    record = read_record(store.read_all([LOCK_NAME]).get(LOCK_NAME))
    if not record or is_dead(record):
        return
    age_s = time.time() - float(record.get("beat_s", 0))
    if age_s < STALE_S:
        raise UserError(
            f"--out {store}: another build is writing there ({owner_of(record)}, seen {max(age_s, 0):.0f} s ago)",
            remedy=f"wait for it, stop it, or choose another --out; if it is dead, its lock ends by itself in "
            f"{STALE_S - max(age_s, 0):.0f} s, or at once when you delete {store}/{LOCK_NAME}",
        )


def _token(store: Store) -> str | None:
    return read_record(store.read_all([LOCK_NAME]).get(LOCK_NAME)).get("token")
