"""The checksum of an ONNX file, which has none of its own: of all its bytes, written behind them.

A protobuf message may be followed by further fields of it. So the checksum is an entry of the metadata, which other
programs read as any other, and is found at the file's end before anything in the file is believed.
"""

from __future__ import annotations

import os
from pathlib import Path

from tracknet.utils.checksums import CHECKSUM_KEY, checksum_of_beginning, refuse_if_altered

UNSEALING = (
    f"copy or export it again; where the change was meant, take the entry {CHECKSUM_KEY} out of its metadata "
    "(docs/export.md shows how)"
)
"""What to do about a file that is not as it was when it was sealed."""
_DIGITS = 8
_KEY = CHECKSUM_KEY.encode()
# A StringStringEntryProto: field 1 the key, field 2 the value; each a length and so many bytes.
_ENTRY = b"\x0a" + bytes([len(_KEY)]) + _KEY + b"\x12" + bytes([_DIGITS])
# Field 14 of a ModelProto: an entry of `metadata_props`.
_HEAD = b"\x72" + bytes([len(_ENTRY) + _DIGITS]) + _ENTRY
_SEAL_BYTES = len(_HEAD) + _DIGITS


def seal(path: Path) -> None:
    """Writes the checksum behind a finished file."""
    digits = checksum_of_beginning(path, path.stat().st_size).encode()
    with path.open("ab") as file:
        file.write(_HEAD + digits)


def check_seal(path: Path) -> bool:
    """Whether a file is sealed; files of earlier versions, and of other programs, are not.

    Raises:
        RunError: it is, and is not as it was then.
    """
    length = path.stat().st_size - _SEAL_BYTES
    if length < 0:
        return False
    with path.open("rb") as file:
        file.seek(-_SEAL_BYTES, os.SEEK_END)
        found = file.read()
    if not found.startswith(_HEAD):
        return False
    was = found[len(_HEAD) :].decode(errors="replace")
    refuse_if_altered(path, was, checksum_of_beginning(path, length), remedy=UNSEALING)
    return True
