"""Several real processes that train together, forked from the test's own to spare them the imports."""

from __future__ import annotations

import os
import socket
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

RunRanks = Callable[..., "list[int]"]


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture
def run_ranks(tmp_path: Path) -> RunRanks:
    """`run_ranks(work, count=2) -> exit codes`: `work(rank) -> code` in processes as torchrun sets them up.

    What rank r prints lies in `tmp_path/rank_r.out`.
    """

    def start(work: Callable[[int], int], count: int = 2) -> list[int]:
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(count)}
        children = []
        for rank in range(count):
            child = os.fork()
            if child == 0:
                code = 99
                try:
                    out = os.open(tmp_path / f"rank_{rank}.out", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
                    for stream in (1, 2):
                        os.dup2(out, stream)
                    sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
                    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
                    os.environ.update(place, RANK=str(rank), LOCAL_RANK=str(rank))
                    code = work(rank)
                except SystemExit as left:
                    code = int(left.code or 0)
                except BaseException:
                    traceback.print_exc()
                finally:
                    os._exit(code)
            children.append(child)
        return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]

    return start
