"""What a lock says of its holder, and whether that one is still alive."""

from __future__ import annotations

import json
import multiprocessing
import os
import platform
import time
import uuid
from datetime import datetime
from pathlib import Path
from typing import Any


def new_record() -> dict[str, Any]:
    """What a lock says of its holder."""
    return {
        "token": uuid.uuid4().hex,
        "pid": os.getpid(),
        "main_pid": _main_pid(),
        "host": platform.node(),
        "pids": _pid_namespace(),
        "since_s": time.time(),
        "beat_s": time.time(),
    }


def read_record(data: bytes | None) -> dict[str, Any]:
    """A lock's content; empty where there is none or it is damaged."""
    try:
        record = json.loads(data or b"")
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}


def owner_of(record: dict[str, Any]) -> str:
    """The holder of a lock as a person would look for it."""
    host = record.get("host")
    return f"process {record.get('pid', 'unknown')}{'' if host == platform.node() else f' on {host}'}"


def is_of_this_run(record: dict[str, Any]) -> bool:
    """Whether the holder is this process, the one that started it as its worker, or another worker of that one."""
    return (record.get("host"), record.get("pids"), record.get("main_pid")) == (
        platform.node(),
        _pid_namespace(),
        _main_pid(),
    )


def _main_pid() -> int:
    parent = multiprocessing.parent_process()
    return os.getpid() if parent is None or parent.pid is None else parent.pid


def since(record: dict[str, Any]) -> str:
    """When the holder took the lock, as `2026-11-23 04:11` of this machine's clock."""
    try:
        return datetime.fromtimestamp(float(record["since_s"])).strftime("%Y-%m-%d %H:%M")
    except (KeyError, TypeError, ValueError, OverflowError, OSError):
        return "an unknown time"


def is_dead(record: dict[str, Any]) -> bool:
    """Whether the holder was a process of this machine that is gone; `False` where that cannot be known."""
    if (record.get("host"), record.get("pids")) != (platform.node(), _pid_namespace()):
        return False
    try:
        pid = int(record["pid"])
        os.kill(pid, 0)
        # One that has ended is there in name until its parent has asked how.
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:1]
        return state in (["Z"], ["X"])
    except ProcessLookupError:
        return True
    except (OSError, KeyError, TypeError, ValueError):
        return False


def _pid_namespace() -> str:
    """Containers of one host name may number their processes apart."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""
