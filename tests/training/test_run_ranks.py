"""What runs the ranks of other tests: it ends, whatever a rank does."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.training.conftest import RunRanks


def test_a_rank_that_does_not_return_fails_the_test_with_what_all_printed(
    run_ranks: RunRanks, tmp_path: Path
) -> None:
    def hang(rank: int) -> int:
        print(f"this is {rank}, {os.getpid()}")
        if rank == 1:
            time.sleep(600)
        return 3

    with pytest.raises(pytest.fail.Exception, match=r"after 2 s these ranks have ended: \[3, None\]") as told:
        run_ranks(hang, limit_s=2.0)
    for rank in (0, 1):
        said = (tmp_path / f"rank_{rank}.out").read_text()
        assert f"this is {rank}, " in said and said in str(told.value)
    with pytest.raises(ProcessLookupError):
        os.kill(int(said.split()[-1]), 0)


def test_codes_come_in_the_order_of_ranks(run_ranks: RunRanks) -> None:
    assert run_ranks(lambda rank: 5 - rank, 3) == [5, 4, 3]
