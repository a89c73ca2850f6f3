"""Tars written by hand are those of `tarfile`, and a single flipped bit is found when they are read back."""

from __future__ import annotations

import hashlib
import io
import tarfile

import google_crc32c
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.tar_file import TarWriter, member_header, read_back

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0/"), min_size=1, max_size=25)
MEMBERS = st.lists(st.tuples(NAMES, st.binary(max_size=1500)), max_size=25)


def write(members: list[tuple[str, bytes]]) -> tuple[bytearray, TarWriter]:
    file = io.BytesIO()
    tar = TarWriter(file)
    for name, data in members:
        tar.add(name, data)
    tar.close()
    return bytearray(file.getvalue()), tar


@settings(deadline=None)
@given(MEMBERS)
def test_the_bytes_are_those_of_tarfile(members: list[tuple[str, bytes]]) -> None:
    reference = io.BytesIO()
    with tarfile.open(fileobj=reference, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    ours, written = write(members)
    assert bytes(ours) == reference.getvalue()
    for (name, data), member in zip(members, written.members, strict=True):
        assert (member.name, member.size, member.crc32c) == (name, len(data), google_crc32c.value(data))
        assert ours[member.offset : member.offset + member.size] == data
    assert read_back(io.BytesIO(ours), written) == (hashlib.sha256(ours).hexdigest(), None)


def test_what_does_not_fit_a_header_is_refused() -> None:
    assert len(member_header("n" * 100, 8**11 - 1)) == 512
    for name, size in (("n" * 101, 1), ("é" * 51, 1), ("n", 8**11)):
        with pytest.raises(ValueError, match="does not fit a USTAR header"):
            member_header(name, size)


@given(st.data())
def test_any_flipped_bit_is_found_where_it_is(data: st.DataObject) -> None:
    tar, written = write([("a.jpg", b"abc" * 300), ("a.json", b"{}"), ("b.jpg", b"xyz" * 200)])
    bit = data.draw(st.integers(0, 8 * len(tar) - 1))
    tar[bit // 8] ^= 1 << bit % 8
    _, fault = read_back(io.BytesIO(tar), written)
    inside = {m.name for m in written.members if m.offset - 512 <= bit // 8 < m.offset + m.size}
    # Between the members lie zeros that are nobody's.
    assert fault == (inside.pop() if inside else "its end")


def test_a_cut_is_found() -> None:
    tar, written = write([("a.jpg", b"abc" * 300), ("b.jpg", b"xyz" * 200)])
    assert read_back(io.BytesIO(tar[:-512]), written)[1] == "its end"
    assert read_back(io.BytesIO(tar[: written.members[0].offset + 100]), written)[1] == "a.jpg"
