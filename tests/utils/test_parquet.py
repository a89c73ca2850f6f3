"""Parquet files are read by the thread that asks for them."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tracknet.utils.parquet import read_parquet

COUNTED = """
import os, sys
import pyarrow, pyarrow.parquet
from pathlib import Path
from tracknet.utils.parquet import read_parquet
threads = lambda: len(os.listdir("/proc/self/task"))
before = threads()
table = read_parquet(Path(sys.argv[1]).read_bytes())
print(threads() - before, table.num_rows)
"""


def test_columns_by_name_and_damage():
    buffer = io.BytesIO()
    pq.write_table(pa.table({"a": [1, 2], "b": ["x", None]}), buffer)
    assert read_parquet(buffer.getvalue()).to_pydict() == {"a": [1, 2], "b": ["x", None]}
    assert read_parquet(buffer.getvalue(), ("b", "nothing")).column_names == ["b"]
    with pytest.raises(pa.ArrowException):
        read_parquet(buffer.getvalue()[:-9])


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are counted by Linux's /proc")
def test_reading_starts_no_threads(tmp_path: Path):
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({name: list(range(1000)) for name in "abcdefgh"}), path)
    command = [sys.executable, "-c", COUNTED, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "1000"]
