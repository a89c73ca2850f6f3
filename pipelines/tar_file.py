"""Tars whose bytes depend on names and content alone: written member by member, read back in one pass."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

import google_crc32c

from tracknet.utils.tar_header import BLOCK_BYTES, USTAR_NAME_BYTES

_READ_BYTES = 1 << 20
# A fresh TarInfo has mtime 0, uid and gid 0, no names and mode 0644: nothing of this machine or hour.
_HEADER = tarfile.TarInfo().tobuf(tarfile.USTAR_FORMAT)
_MODE_UID_GID, _MTIME, _KIND_TO_END = _HEADER[100:124], _HEADER[136:148], _HEADER[156:]


@dataclass(frozen=True, slots=True)
class Member:
    """What was put into a tar: `offset` and `size` of the content in bytes, and its CRC-32C."""

    name: str
    offset: int
    size: int
    crc32c: int


class TarWriter:
    """Appends members to a binary file; about four times as fast as `tarfile`, with the same bytes.

    Attributes:
        members: what was added, in order.
        crc32c: of all bytes written so far.

    """

    def __init__(self, file: BinaryIO) -> None:
        self.members: list[Member] = []
        self.crc32c = 0
        self._file = file
        self._position = 0

    def add(self, name: str, data: bytes) -> Member:
        """Appends one file; its name has at most 100 bytes."""
        member = Member(name, self._position + BLOCK_BYTES, len(data), google_crc32c.value(data))
        self._write(member_header(name, len(data)) + data + bytes(-len(data) % BLOCK_BYTES))
        self.members.append(member)
        return member

    def close(self) -> None:
        """Appends the end: two blocks of zeros, filled up to a whole record. The file stays open."""
        end = self._position + 2 * BLOCK_BYTES
        self._write(bytes(2 * BLOCK_BYTES + -end % tarfile.RECORDSIZE))

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self._position += len(data)
        self.crc32c = google_crc32c.extend(self.crc32c, data)


def member_header(name: str, size: int) -> bytes:
    """The USTAR header of a plain file, as `tarfile.TarInfo(name).tobuf(tarfile.USTAR_FORMAT)` makes it.

    Raises:
        ValueError: the name is longer than 100 bytes, or the file larger than 8 GiB.

    """
    field = name.encode()
    if len(field) > USTAR_NAME_BYTES or size >= 8**11:
        raise ValueError(f"{name} of {size} bytes does not fit a USTAR header")
    before = field.ljust(USTAR_NAME_BYTES, b"\0") + _MODE_UID_GID + b"%011o\0" % size + _MTIME
    checksum = sum(before) + 8 * ord(" ") + sum(_KIND_TO_END)
    return before + b"%06o\0 " % checksum + _KIND_TO_END


def read_back(file: BinaryIO, written: TarWriter) -> tuple[str, str | None]:
    """Reads a written tar once.

    Returns:
        The SHA-256 of its bytes as 64 hex digits, and `None` where they are what was written; else the name of
        the first member that is not (`its end` where all are).

    """
    digest, crc32c = hashlib.sha256(), 0
    while block := file.read(_READ_BYTES):
        digest.update(block)
        crc32c = google_crc32c.extend(crc32c, block)
    fault = None if crc32c == written.crc32c else _first_fault(file, written.members)
    return digest.hexdigest(), fault


def _first_fault(file: BinaryIO, members: Sequence[Member]) -> str:
    for member in members:
        file.seek(member.offset - BLOCK_BYTES)
        header, data = file.read(BLOCK_BYTES), file.read(member.size)
        if header != member_header(member.name, member.size) or google_crc32c.value(data) != member.crc32c:
            return member.name
    return "its end"
