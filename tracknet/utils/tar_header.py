"""One header block of a tar: what it says, and whether it can be believed."""

from __future__ import annotations

import re
from dataclasses import dataclass

BLOCK_BYTES = 512
USTAR_NAME_BYTES = 100
_PAX_RECORD = re.compile(rb"(\d{1,5}) ([^=\n]+)=")


class BadHeader(Exception):
    """A header that cannot be believed; the message says why."""


@dataclass(frozen=True, slots=True)
class Header:
    """A member's name, its type flag of one byte, and the size of its content."""

    name: str
    kind: bytes
    size: int


def shown(name: str) -> str:
    """A name from a hostile file as a terminal may show it: no control characters, and not without end."""
    text = name if name.isprintable() else repr(name)[1:-1]
    return text if len(text) <= 120 else f"{text[:100]}... ({len(text):,} characters)"


def parse_header(block: bytes) -> Header:
    """Reads a header block of 512 bytes. Raises `BadHeader` where it cannot be believed."""
    if not is_header(block):
        raise BadHeader("its checksum does not fit")
    name = block[:USTAR_NAME_BYTES].partition(b"\0")[0]
    # Only POSIX's own headers have a prefix; GNU's keep times there.
    if block[257:263] == b"ustar\0" and (prefix := block[345:500].partition(b"\0")[0]):
        name = prefix + b"/" + name
    return Header(decode_name(name), block[156:157], _number(block[124:136]))


def is_header(block: bytes) -> bool:
    """Whether a block is a header with the checksum that it states."""
    stated = block[148:156].strip(b" \0")
    if not re.fullmatch(rb"[0-7]{1,8}", stated):
        return False
    return int(stated, 8) == sum(block) - sum(block[148:156]) + 8 * ord(" ")


def _number(text: bytes) -> int:
    if text[0] == 0x80:
        return int.from_bytes(text[1:], "big")
    digits = text.strip(b" \0")
    if not re.fullmatch(rb"[0-7]*", digits):
        raise BadHeader(f"its size is no number: {text!r}")
    return int(digits or b"0", 8)


def decode_name(name: bytes) -> str:
    """A member name as text. Raises `BadHeader` where it is no UTF-8."""
    try:
        return name.decode()
    except UnicodeDecodeError:
        raise BadHeader(f"its name is no UTF-8: {name[:100]!r}") from None


def pax_records(content: bytes) -> dict[str, str]:
    """The records of a PAX header, each `LENGTH KEY=VALUE` and a line feed. Raises `BadHeader` on any other."""
    records: dict[str, str] = {}
    position = 0
    content = content.rstrip(b"\0")
    while position < len(content):
        match = _PAX_RECORD.match(content, position)
        end = position + int(match[1]) if match else 0
        if match is None or not match.end() < end <= len(content) or content[end - 1] != ord("\n"):
            raise BadHeader("an extended header is garbled")
        records[decode_name(match[2])] = content[match.end() : end - 1].decode(errors="replace")
        position = end
    return records


def bad_name(name: str) -> str | None:
    """Why a member's name is refused: it leads out of any folder it could be put in; `None` for a good one."""
    if not name or not name.isprintable():
        return "its name is empty or has control characters"
    if name.startswith("/") or re.match(r"[A-Za-z]:|\\", name):
        return "its name is an absolute path"
    if ".." in re.split(r"[/\\]", name):
        return "its name leads out of its folder (..)"
    return None
