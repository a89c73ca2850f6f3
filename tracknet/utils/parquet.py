"""Reads a Parquet file without starting threads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def read_parquet(content: bytes, columns: Sequence[str] | None = None) -> Any:
    """The table of a Parquet file.

    `pyarrow.parquet.read_table` starts threads of Arrow's, with `use_threads=False` too (then only for reading
    ahead). A command that ends in an error milliseconds later leaves while they are being started, and the
    process has been seen to die with `terminate called without an active exception`. 20,000 rows are read in
    milliseconds anyway.

    Args:
        content: of the file.
        columns: those wanted; one that is not there is left out. `None` is all.

    Returns:
        A `pyarrow.Table`.

    Raises:
        pyarrow.ArrowException, OSError: it is no Parquet file, or damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    # Checked where the file has checksums: of 150 flipped bits of a file of predictions, 88 read without a word.
    file = pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True)
    return file.read(columns=None if columns is None else list(columns), use_threads=False)
