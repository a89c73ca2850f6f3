"""The checksum of a predictions file, over what it says: every row, and every word of its metadata.

Parquet's own checksums are of its data pages and do not cover its footer, where the columns' places and types and
our metadata (the threshold, the model) are kept: of single flipped bits there, some still read, as other values.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

CHECKSUM_KEY = "crc32"


def checksum_of(columns: Mapping[str, Sequence[Any]], metadata: Mapping[str, str]) -> str:
    """CRC-32 in hexadecimal digits: of the values, whatever the file's compression, pages or order of columns.

    Args:
        columns: of each name its N values, all text or all numbers; null and NaN are one.
        metadata: names and texts; the checksum itself is left out.

    Raises:
        TypeError, ValueError: a column mixes text with other values.
    """
    crc = 0
    for name in sorted(columns):
        values = columns[name]
        crc = zlib.crc32(f"{name} {len(values)} ".encode(), crc)
        if any(isinstance(value, str) for value in values):
            # A length before each: ["ab", "c"] is not ["a", "bc"].
            crc = zlib.crc32("".join(f"{len(value)} {value}" for value in values).encode(), crc)
        else:
            # None becomes NaN; whole numbers of 32 bits are exact.
            crc = zlib.crc32(np.array(values, "<f8").tobytes(), crc)
    for name in sorted(set(metadata) - {CHECKSUM_KEY}):
        text = f"{len(name)} {name}{len(metadata[name])} {metadata[name]}"
        crc = zlib.crc32(text.encode(), crc)
    return f"{crc:08x}"
