"""Walks an untrusted tar once, front to back: every plain file in it, and every fault, by place and name.

WebDataset and `tarfile` end silently at a damaged header and at a file that is cut between two members, and
they follow what a header claims. This walk holds at most one member in memory, never opens or creates a file,
never unpickles, refuses what it does not know, and goes on behind a fault at the next header that is whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO

from tracknet.utils.tar_header import (
    BLOCK_BYTES,
    BadHeader,
    Header,
    bad_name,
    decode_name,
    is_header,
    parse_header,
    pax_records,
    shown,
)

MOST_MEMBER_BYTES = 64 << 20
"""Larger members are passed over unread; a JPEG of 64 million pixels has about 20 MB."""
MOST_EXTENSION_BYTES = 16 << 10
"""Of a PAX or GNU header: names have 4,096 bytes at most."""
PICKLE_SUFFIXES = (".pkl", ".pickle", ".pyd", ".pth", ".pt", ".joblib", ".npy", ".npz", ".dill", ".mat")
"""Files whose usual readers may run code that is in them; WebDataset's `decode` unpickles the first four."""

_ZEROS = bytes(BLOCK_BYTES)
_PASS_BYTES = 1 << 20
_KINDS = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a character device",
    b"4": "a block device",
    b"6": "a fifo",
    b"K": "a GNU long link name",
    b"S": "a GNU sparse file",
    b"x": "a second extended header",
    b"g": "a second extended header",
    b"L": "a second long name",
}


@dataclass(frozen=True, slots=True)
class TarMember:
    """A plain file: its name without a leading `./`, where its content starts, and the content."""

    name: str
    offset: int
    content: bytes


@dataclass(frozen=True, slots=True)
class TarFault:
    """Something wrong: the offset of the block it was met at, the member's name where there is one, and what."""

    offset: int
    name: str | None
    message: str

    def __str__(self) -> str:
        return f"{self.name or f'at byte {self.offset:,}'}: {self.message}"


@dataclass(frozen=True, slots=True)
class Expected:
    """What an index knows of a member, to go on with where its header is damaged."""

    name: str
    size: int


def walk_tar(
    file: BinaryIO,
    length: int,
    *,
    expected: Mapping[int, Expected] | None = None,
    on_bytes: Callable[[bytes], object] = lambda block: None,
) -> Iterator[TarMember | TarFault]:
    """Plain files and faults of a tar, in the order in which they lie.

    Args:
        file: at its start; only read forwards.
        length: of the file, bytes.
        expected: by the offset of their content, members that an index knows. Where such a member's header is
            damaged, its content is given all the same, after the fault.
        on_bytes: given every byte of the file once, in order (such as a hash's `update`).

    Raises:
        OSError: the file cannot be read.
    """
    return _Walk(_Source(file, length, on_bytes), expected or {}).events()


class _Source:
    """The bytes of the file, once, forwards, with a block's worth of going back."""

    def __init__(self, file: BinaryIO, length: int, on_bytes: Callable[[bytes], object]) -> None:
        self.length = length
        self.position = 0
        self._file = file
        self._on_bytes = on_bytes
        self._again = b""

    @property
    def left(self) -> int:
        return self.length - self.position

    def take(self, count: int) -> bytes:
        """The next bytes; fewer at the end. Never asked for more than the walk has checked `count` to be."""
        head, self._again = self._again[:count], self._again[count:]
        data = self._file.read(count - len(head)) if len(head) < count else b""
        self._on_bytes(data)
        self.position += len(head) + len(data)
        return head + data

    def give_back(self, block: bytes) -> None:
        self._again = block + self._again
        self.position -= len(block)

    def skip(self, count: int) -> bool:
        """Passes over bytes; whether all of them were there."""
        while count:
            block = self.take(min(count, _PASS_BYTES))
            if not block:
                return False
            count -= len(block)
        return True


@dataclass(slots=True)
class _Extension:
    """What PAX and GNU headers say of the member that follows them."""

    name: str | None = None
    kinds: set[bytes] = field(default_factory=set)


class _Walk:
    def __init__(self, source: _Source, expected: Mapping[int, Expected]) -> None:
        self._source = source
        self._expected = expected
        self._has_ended = False  # before bytes that follow the end

    def events(self) -> Iterator[TarMember | TarFault]:
        source, extension = self._source, _Extension()
        while True:
            start = source.position
            block = source.take(BLOCK_BYTES)
            if len(block) < BLOCK_BYTES:
                if block:
                    yield TarFault(start, None, "is cut within a header")
                elif not self._has_ended:
                    yield TarFault(start, None, "ends without the end-of-archive blocks: it is cut")
                return
            if block == _ZEROS and source.position not in self._expected:
                ended, faults = self._end()
                yield from faults
                if ended:
                    return
                continue
            try:
                header = parse_header(block)
                if header.kind in b"xgL" and header.kind not in extension.kinds:
                    self._extend(extension, header)
                    continue
                name = header.name if extension.name is None else extension.name
            except BadHeader as error:
                yield from self._damaged(start, error)
                extension = _Extension()
                continue
            extension = _Extension()
            yield from self._member(start, name, header)

    def _member(self, start: int, name: str, header: Header) -> Iterator[TarMember | TarFault]:
        source, label = self._source, shown(name)
        if header.kind == b"5" and header.size == 0 and not bad_name(name.rstrip("/") or "."):
            return  # nothing is ever extracted, so a plain folder means nothing
        if header.kind not in (b"0", b"\0"):
            what = _KINDS.get(header.kind, f"of the unknown kind {shown(header.kind.decode('latin-1'))!r}")
            yield TarFault(start, label, f"is {what}, which no shard has; it was not followed")
            yield from self._resume(())
            return
        if header.size > source.left:
            claims = f"its header claims {header.size:,} bytes and {source.left:,} are left in the file"
            yield TarFault(start, label, claims)
            yield from self._resume(self._known_content())
            return
        refusal = bad_name(name)
        if refusal is None and name.lower().endswith(PICKLE_SUFFIXES):
            refusal = "is of a kind whose readers may run code that is in it; it was not read"
        if refusal is None and header.size > MOST_MEMBER_BYTES:
            refusal = f"has {header.size:,} bytes, more than the {MOST_MEMBER_BYTES:,} of the largest picture"
        if refusal:
            yield TarFault(start, label, refusal)
            source.skip(header.size)
        else:
            yield from self._content(name.removeprefix("./"), header.size)
        yield from self._padding(label, header.size)

    def _content(self, name: str, size: int) -> Iterator[TarMember | TarFault]:
        offset = self._source.position
        content = self._source.take(size)
        if len(content) < size:
            yield TarFault(offset, shown(name), f"is cut: {len(content):,} of its {size:,} bytes are there")
        yield TarMember(name, offset, content)

    def _padding(self, label: str, size: int) -> Iterator[TarFault]:
        start = self._source.position
        wanted = -size % BLOCK_BYTES
        padding = self._source.take(wanted)
        if len(padding) < wanted:
            yield TarFault(start, label, "the file is cut within the padding behind it")
        elif any(padding):
            yield TarFault(start, label, "the padding behind it is not empty")

    def _extend(self, extension: _Extension, header: Header) -> None:
        if header.size > MOST_EXTENSION_BYTES or header.size > self._source.left:
            raise BadHeader(
                f"an extended header claims {header.size:,} bytes, more than the {MOST_EXTENSION_BYTES:,} "
                "of any name"
            )
        content = self._source.take(header.size)
        self._source.skip(-header.size % BLOCK_BYTES)
        extension.kinds.add(header.kind)
        if header.kind == b"L":
            extension.name = decode_name(content.rstrip(b"\0"))
            return
        for key, value in pax_records(content).items():
            if key == "path" and header.kind == b"x":
                extension.name = value
            elif key in ("path", "size", "linkpath") or key.startswith("GNU.sparse"):
                raise BadHeader(f"an extended header sets {shown(key)}, which no shard needs")

    def _damaged(self, start: int, error: BadHeader) -> Iterator[TarMember | TarFault]:
        known = self._expected.get(start + BLOCK_BYTES)
        yield TarFault(start, shown(known.name) if known else None, f"damaged tar header: {error}")
        yield from self._resume(self._known_content())

    def _known_content(self) -> Iterator[TarMember | TarFault]:
        """The member here, as the index knows it, whatever its header said."""
        known = self._expected.get(self._source.position)
        if known and 0 < known.size <= min(self._source.left, MOST_MEMBER_BYTES):
            yield from self._content(known.name, known.size)
            yield from self._padding(shown(known.name), known.size)

    def _resume(self, content: Iterator[TarMember | TarFault] | tuple[()]) -> Iterator[TarMember | TarFault]:
        """Goes to the next whole header, or to that of a member which the index knows, behind a fault."""
        yield from content
        source = self._source
        zeros = 0
        while len(block := source.take(BLOCK_BYTES)) == BLOCK_BYTES:
            if source.position in self._expected or is_header(block):
                source.give_back(block)
                return
            zeros = zeros + 1 if block == _ZEROS else 0
        # The end: given back, so that the walk sees it and says whether it is a proper one.
        source.give_back(block)
        source.give_back(_ZEROS * min(zeros, 2))

    def _end(self) -> tuple[bool, list[TarFault]]:
        """Behind a block of zeros: whether the archive ends here, and what is wrong with its end."""
        source = self._source
        start = source.position - BLOCK_BYTES
        block = source.take(BLOCK_BYTES)
        if not block:
            return True, [TarFault(start, None, "ends with one block of zeros instead of two: it is cut")]
        if block != _ZEROS:
            source.give_back(block)
            return False, [TarFault(start, None, "damaged tar header: it is all zeros")]
        while block := source.take(BLOCK_BYTES):
            if block != _ZEROS[: len(block)]:
                self._has_ended = True
                fault = TarFault(source.position - len(block), None, "bytes follow the end of the archive")
                source.give_back(block)
                return False, [fault, *(event for event in self._resume(()) if isinstance(event, TarFault))]
        if source.position % BLOCK_BYTES:
            return True, [
                TarFault(source.position, None, f"has no whole number of {BLOCK_BYTES}-byte blocks")
            ]
        return True, []
