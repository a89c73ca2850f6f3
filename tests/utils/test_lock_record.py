"""Who holds a lock, and whether that one still lives."""

from __future__ import annotations

import os
from datetime import datetime

from tracknet.utils.lock_record import is_dead, new_record, owner_of, since


def test_a_process_that_has_ended_is_dead_before_its_parent_asks() -> None:
    mine = new_record()
    assert not is_dead(mine)
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)  # it has ended, and nobody has asked yet
    assert is_dead({**mine, "pid": child})
    os.waitpid(child, 0)
    assert is_dead({**mine, "pid": child})


def test_what_cannot_be_known_is_not_dead() -> None:
    mine = new_record()
    gone = {**mine, "pid": 2**22 + 1}
    assert is_dead(gone)
    assert not any(
        is_dead(record)
        for record in ({**gone, "host": "other"}, {**gone, "pids": "other"}, {**gone, "pid": "x"}, {})
    )


def test_a_record_as_people_read_it() -> None:
    record = new_record()
    assert owner_of(record) == f"process {os.getpid()}"
    assert owner_of({**record, "host": "far"}) == f"process {os.getpid()} on far"
    assert since({"since_s": datetime(2026, 11, 23, 4, 11, 59).timestamp()}) == "2026-11-23 04:11"
    assert since({}) == since({"since_s": "x"}) == "an unknown time"
