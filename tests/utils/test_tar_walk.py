"""The walk sees every member and every fault of a tar, and takes nothing from a hostile one."""

from __future__ import annotations

import io
import tarfile
import tracemalloc
from typing import Any, BinaryIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracknet.utils.tar_header import shown
from tracknet.utils.tar_walk import MOST_MEMBER_BYTES, Expected, TarFault, TarMember, walk_tar

MEMBERS = {
    "a_1_0000.jpg": b"\xff\xd8" + b"picture" * 100,
    "a_1_0000.json": b"{}",
    "b.jpg": b"x" * 512,
    "b.json": b"",
}


def make_tar(
    members: dict[str, bytes] = MEMBERS, form: int = tarfile.USTAR_FORMAT, **attributes: Any
) -> bytes:
    """A tar of plain files; `attributes` are set on the first member's header."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        for number, (name, data) in enumerate(members.items()):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            for key, value in (attributes if number == 0 else {}).items():
                setattr(info, key, value)
            # As `addfile` does, but for kinds of member to which it adds no content.
            tar.addfile(info, io.BytesIO(data) if info.isreg() else None)
    return buffer.getvalue()


def with_size(tar: bytes, size: bytes, at: int = 0) -> bytes:
    """The same tar whose header at `at` claims a size, with a checksum that fits."""
    header = bytearray(tar[at : at + 512])
    header[124:136] = size
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return tar[:at] + bytes(header) + tar[at + 512 :]


def walk(tar: bytes, **options: Any) -> list[TarMember | TarFault]:
    return list(walk_tar(io.BytesIO(tar), len(tar), **options))


def faults(tar: bytes, **options: Any) -> list[str]:
    return [str(event) for event in walk(tar, **options) if isinstance(event, TarFault)]


def names(tar: bytes, **options: Any) -> list[str]:
    return [event.name for event in walk(tar, **options) if isinstance(event, TarMember)]


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_whole_tars_of_all_formats(form: int) -> None:
    long = "folder/" * 12 + "k" * 130 + ".jpg"
    members = {**MEMBERS, "ä.jpg": b"1"} | ({} if form == tarfile.USTAR_FORMAT else {long: b"2"})
    tar = make_tar(members, form, mtime=1.5)
    events = walk(tar)
    assert not faults(tar)
    assert {event.name: event.content for event in events if isinstance(event, TarMember)} == members
    for event in events:
        assert isinstance(event, TarMember)
        assert tar[event.offset : event.offset + len(event.content)] == event.content


def test_ustar_prefixes_and_folders_and_dots() -> None:
    name = "f" * 120 + "/" + "k" * 90 + ".jpg"
    tar = make_tar({"./": b"", "./a.jpg": b"1", name: b"2"}, type=tarfile.DIRTYPE)
    assert names(tar) == ["a.jpg", name]
    assert not faults(tar)


def test_every_byte_is_given_once_and_in_order() -> None:
    tar = make_tar()
    damaged = tar[:512] + b"\1" + tar[513:1500] + b"\1" + tar[1501:]
    for data in (tar, damaged, tar[:-3], tar + b"more", bytes(99), b""):
        got: list[bytes] = []
        walk(data, on_bytes=got.append)
        assert b"".join(got) == data


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_no_flipped_bit_passes(data: st.DataObject) -> None:
    tar = make_tar()
    before = walk(tar)
    place = data.draw(st.integers(0, len(tar) * 8 - 1))
    changed = bytearray(tar)
    changed[place // 8] ^= 1 << place % 8
    # A header's checksum does not cover itself, and reads the same with a blank for a leading zero or a NUL.
    meant_the_same = 148 <= place // 8 % 512 < 156 and changed[place // 8] in b"\0 "
    after = walk(bytes(changed))
    if after == before and not meant_the_same:
        pytest.fail(f"bit {place} is not seen")


@pytest.mark.parametrize("past", [0, 1, 511])
def test_no_cut_passes(past: int) -> None:
    tar = make_tar()
    # The last content ends at block 8; tarfile adds zeros up to a record, of which two blocks end the archive.
    for block in range(len(tar) // 512):
        whole = block >= 10 and past == 0
        assert bool(faults(tar[: block * 512 + past])) == (not whole), block


@given(st.binary(max_size=4000), st.integers(0, 3))
@settings(max_examples=100, deadline=None)
def test_any_bytes_end(junk: bytes, place: int) -> None:
    tar = make_tar()
    at = place * 512
    events = walk(tar[:at] + junk + tar[at:])
    assert all(len(event.content) <= len(tar) + len(junk) for event in events if isinstance(event, TarMember))


def test_a_cut_between_members_is_seen() -> None:
    cut = make_tar()[: 512 * 5]
    assert faults(cut) == ["at byte 2,560: ends without the end-of-archive blocks: it is cut"]
    assert names(cut) == ["a_1_0000.jpg", "a_1_0000.json"]
    assert faults(make_tar()[: 512 * 9]) == [
        "at byte 4,096: ends with one block of zeros instead of two: it is cut"
    ]


def test_behind_a_damaged_header_the_walk_goes_on() -> None:
    tar = make_tar()
    damaged = bytes([tar[0] ^ 1]) + tar[1:]
    assert faults(damaged) == ["at byte 0: damaged tar header: its checksum does not fit"]
    assert names(damaged) == ["a_1_0000.json", "b.jpg", "b.json"]
    known = {512: Expected("a_1_0000.jpg", len(MEMBERS["a_1_0000.jpg"]))}
    events = walk(damaged, expected=known)
    assert isinstance(events[0], TarFault)
    assert events[0].name == "a_1_0000.jpg"
    assert events[1] == TarMember("a_1_0000.jpg", 512, MEMBERS["a_1_0000.jpg"])
    assert len(events) == 5


def test_several_faults_are_all_found() -> None:
    tar = bytearray(make_tar())
    tar[0] ^= 1  # the header of a_1_0000.jpg
    tar[2047 + 10] ^= 1  # the padding behind a_1_0000.json
    tar[3584 : 3584 + 512] = bytes(512)  # the header of b.json
    tar[-1] ^= 1
    assert faults(bytes(tar)) == [
        "at byte 0: damaged tar header: its checksum does not fit",
        "a_1_0000.json: the padding behind it is not empty",
        f"at byte {len(tar) - 512:,}: bytes follow the end of the archive",
    ]
    assert names(bytes(tar)) == ["a_1_0000.json", "b.jpg"]


def test_a_hole_is_no_end() -> None:
    tar = make_tar()
    hole = tar[:2560] + bytes(512) + tar[3072:]
    assert faults(hole) == [
        "at byte 2,560: damaged tar header: it is all zeros",
        "at byte 3,072: damaged tar header: its checksum does not fit",
    ]
    assert names(hole) == ["a_1_0000.jpg", "a_1_0000.json", "b.json"]
    two = tar + tar
    assert faults(two) == [f"at byte {len(tar):,}: bytes follow the end of the archive"]
    assert names(two) == list(MEMBERS) * 2


@pytest.mark.parametrize(
    ("name", "attributes", "message"),
    [
        ("/etc/cron.d/a.jpg", {}, "absolute path"),
        ("C:\\a.jpg", {}, "absolute path"),
        ("../../a.jpg", {}, "leads out of its folder"),
        ("a/../../a.jpg", {}, "leads out of its folder"),
        ("a\nb.jpg", {}, "control characters"),
        ("a.jpg", {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}, "is a symbolic link"),
        ("a.jpg", {"type": tarfile.LNKTYPE, "linkname": "/etc/passwd"}, "is a hard link"),
        ("a.jpg", {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 5}, "is a character device"),
        ("a.jpg", {"type": tarfile.BLKTYPE}, "is a block device"),
        ("a.jpg", {"type": tarfile.FIFOTYPE}, "is a fifo"),
        ("a.jpg", {"type": b"S"}, "is a GNU sparse file"),
        ("a.jpg", {"type": b"Z"}, "of the unknown kind 'Z'"),
        ("a.pkl", {}, "may run code"),
        ("a.PYD", {}, "may run code"),
        ("a.heat.pth", {}, "may run code"),
        ("a.npy", {}, "may run code"),
    ],
)
def test_hostile_members_are_refused_by_name(name: str, attributes: dict[str, Any], message: str) -> None:
    tar = make_tar({name: b"", **MEMBERS}, **attributes)
    (fault,) = faults(tar)
    assert fault.startswith(f"{shown(name)}: ")
    assert message in fault
    assert "\n" not in fault
    assert names(tar) == list(MEMBERS)


class CountingFile(io.BytesIO):
    largest = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self.largest = max(self.largest, len(self.getbuffer()) if size in (None, -1) else int(size or 0))
        return super().read(size)


@pytest.mark.parametrize(
    "size",
    [
        b"%011o\0" % (8 * 2**30 - 1),
        b"\x80" + (10 * 2**30).to_bytes(11, "big"),
        b"\x80" + (2**80).to_bytes(11, "big"),
        b"\xff" + b"\xff" * 11,
        b"9999999999\0\0",
    ],
    ids=["8 GB", "10 GB", "2^80", "-1", "no octal number"],
)
@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_claimed_size_is_not_taken(size: bytes, kind: bytes) -> None:
    tar = with_size(make_tar({"a.jpg": b"1", **MEMBERS}, type=kind), size)
    file: BinaryIO = CountingFile(tar)
    tracemalloc.start()
    try:
        events = list(walk_tar(file, len(tar)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert isinstance(events[0], TarFault)
    assert peak < 1_000_000
    assert file.largest <= 1 << 20  # type: ignore[attr-defined]
    assert [event.name for event in events[1:] if isinstance(event, TarMember)] == list(MEMBERS)


def test_a_member_beyond_any_picture_is_passed_over() -> None:
    class Zeros(io.RawIOBase):
        """A file of so many bytes that nobody has to make."""

        def __init__(self, head: bytes, length: int, tail: bytes) -> None:
            self.parts, self.length, self.at = (head, tail), length, 0
            self.largest = 0

        def read(self, size: int = -1, /) -> bytes:
            self.largest = max(self.largest, size)
            head, tail = self.parts
            start, self.at = self.at, self.at + size
            if start < len(head):
                return head[start : start + size]
            if start < len(head) + self.length:
                return bytes(min(size, len(head) + self.length - start))
            return tail[start - len(head) - self.length :][:size]

    size = MOST_MEMBER_BYTES + 512
    tar = with_size(make_tar({"a.jpg": b""}), b"%011o\0" % size)
    file: Any = Zeros(tar[:512], size, make_tar())
    events = list(walk_tar(file, 512 + size + len(make_tar())))
    assert (
        str(events[0])
        == f"a.jpg: has {size:,} bytes, more than the {MOST_MEMBER_BYTES:,} of the largest picture"
    )
    assert [event.name for event in events[1:] if isinstance(event, TarMember)] == list(MEMBERS)
    assert file.largest <= 1 << 20


def test_extended_headers_that_mislead() -> None:
    def pax(**records: str) -> bytes:
        return make_tar(form=tarfile.PAX_FORMAT, pax_headers=records)

    assert "sets size" in faults(pax(size="99999999999"))[0]
    assert "sets GNU.sparse.map" in faults(pax(**{"GNU.sparse.map": "0,1"}))[0]
    assert faults(pax(path="../out.jpg")) == ["../out.jpg: its name leads out of its folder (..)"]
    assert not faults(pax(comment="a" * 10_000))
    assert "more than the 16,384 of any name" in faults(pax(comment="a" * 20_000))[0]
    long = make_tar({"n" * 20_000: b"1"}, tarfile.GNU_FORMAT)
    assert "more than the 16,384 of any name" in faults(long)[0]


def test_names_are_shown_without_control_characters_and_not_without_end() -> None:
    assert shown("game1_Clip1_0001.jpg") == "game1_Clip1_0001.jpg"
    assert shown("a\x1b[2Jb\n") == "a\\x1b[2Jb\\n"
    assert len(shown("k" * 5000)) < 140
