"""CRC-32 of what a file holds: a bit that changed on the way is an error, and not another result without a word."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

from tracknet.utils.errors import RunError

CHECKSUM_KEY = "tracknet_crc32"
"""Of the metadata of files that state their own checksum: 8 hexadecimal digits."""
_BLOCK_BYTES = 1 << 20
# Compressed, encrypted, or of an unknown kind: what a flipped bit in a header makes of an entry.
_DAMAGE = (
    zipfile.BadZipFile,
    OSError,
    UnicodeDecodeError,
    EOFError,
    zlib.error,
    NotImplementedError,
    RuntimeError,
)


def checksum_of_beginning(path: Path, length: int) -> str:
    """CRC-32 of a file's first bytes, as 8 hexadecimal digits."""
    crc = 0
    with path.open("rb") as file:
        while length > 0 and (block := file.read(min(_BLOCK_BYTES, length))):
            crc = zlib.crc32(block, crc)
            length -= len(block)
    return f"{crc:08x}"


def refuse_if_altered(path: Path, was: str, now: str, *, remedy: str) -> None:
    """Raises RunError where a file that was written with the checksum `was` has another one `now`."""
    if now != was:
        raise RunError(
            f"{path} is damaged, or was changed: it has the checksum {now} and was written with {was}",
            remedy=remedy,
        )


def check_archive(path: Path) -> None:
    """Reads every byte of a zip archive, as which torch saves: torch itself passes over the checksums in it.

    Raises:
        ValueError: it is damaged; with what is wrong.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if (wrong := archive.testzip()) is not None:
                raise zipfile.BadZipFile(f"{wrong} is not what was written")
    except _DAMAGE as error:
        raise ValueError(str(error) or type(error).__name__) from error
