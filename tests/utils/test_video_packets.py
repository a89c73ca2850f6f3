"""What kind of end packets came to, by a clock that only the packets move."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace

import av
import pytest

from tracknet.utils import video_container, video_packets
from tracknet.utils.video_packets import PacketReader

EIO = av.error.OSError(errno.EIO, "Input/output error")
GIVEN_UP = av.error.ExitError(1, "Immediate exit requested")
RESET = av.error.ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")
DAMAGED = av.error.InvalidDataError(2, "Invalid data")
PICTURES, SOUND = object(), object()
TIMEOUT_S = 10.0


@dataclass
class Packet:
    """`waited_s` goes by before it comes, and `picture` says whether one is made of it."""

    waited_s: float = 0.1
    size: int = 1000
    stream: object = PICTURES
    picture: bool = True


class Line:
    """A clock, and packets that come by it, up to an end that is waited for, too."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s

    def sends(self, packets: list[Packet], end: Exception | None, end_s: float) -> Iterator[Packet]:
        for packet in packets:
            self.now_s += packet.waited_s
            yield packet
        self.now_s += end_s
        if end is not None:
            raise end
        yield Packet(0.0, size=0, picture=False)  # PyAV's, after the end


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> Line:
    line = Line()
    for module in (video_packets, video_container):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=line.monotonic))
    return line


def read(
    line: Line,
    packets: list[Packet],
    end: Exception | None,
    *,
    source: str = "http://host/stream",
    opening_s: float = 1.0,
    end_s: float = 0.0,
    no_length: bool = True,
    in_parts: bool = False,
) -> tuple[PacketReader, int]:
    """The reader at the end, and how many packets it gave."""
    begun_s, line.now_s = line.now_s, line.now_s + opening_s
    reader = PacketReader(
        line.sends(packets, end, end_s),
        PICTURES,
        source,
        timeout_s=TIMEOUT_S,
        begun_s=begun_s,
        no_length=no_length,
        in_parts=in_parts,
    )
    given = 0
    for packet in reader:
        assert packet.stream is PICTURES
        given += packet.size > 0
        if packet.picture:
            reader.picture_came()
    return reader, given


def is_silence(error: OSError | None) -> bool:
    return isinstance(error, TimeoutError) and "no picture came for 10 s" in str(error)


@pytest.mark.parametrize("end", [None, EIO])
@pytest.mark.parametrize("source", ["http://host/stream", "https://host/stream"])
def test_an_end_is_no_loss(line: Line, source: str, end: Exception | None) -> None:
    reader, given = read(line, [Packet(), Packet(9.0), Packet(stream=SOUND), Packet()], end, source=source)
    assert (given, reader.lost, reader.broken_off) == (3, None, None)


def test_what_ends_otherwise_says_why(line: Line) -> None:
    reader, given = read(line, [Packet()] * 5, RESET)
    assert (given, reader.broken_off) == (5, None)
    assert reader.lost is not None
    assert (reader.lost.errno, reader.lost.filename) == (errno.ECONNRESET, "http://host/stream")
    reader, given = read(line, [Packet()] * 5, DAMAGED)
    assert (given, reader.lost, reader.broken_off) == (5, None, "Invalid data")


def test_a_wait_that_ran_out_is_a_loss_whatever_ffmpeg_calls_it(line: Line) -> None:
    some = [Packet()] * 5
    # What MPEG-TS held back comes late, with more behind it at once.
    held_back = [*some, Packet(10.0), Packet(0.0)]
    for reader, given in (
        (read(line, held_back, GIVEN_UP), 7),
        (read(line, some, None, end_s=10.0), 5),  # HLS
        (read(line, some, EIO, end_s=10.0), 5),
        (read(line, held_back, EIO, source="https://host/stream"), 7),
        (read(line, some, EIO, source="https://host/stream", opening_s=11.0), 5),
    ):
        assert is_silence(reader[0].lost)
        assert reader[1] == given


def test_a_slow_opening_and_a_late_packet_are_no_loss_where_more_comes(line: Line) -> None:
    """Connecting and looking at what comes may take the whole time each."""
    reader, _ = read(line, [Packet()] * 3, EIO, opening_s=18.0)
    assert reader.lost is None
    reader, _ = read(line, [Packet(), Packet(11.0), Packet()], EIO)
    assert reader.lost is None
    # More than FFmpeg holds.
    much = [Packet(11.0), *[Packet(size=100_000)] * 70]
    reader, _ = read(line, much, EIO, source="https://host/stream", opening_s=18.0)
    assert reader.lost is None
    reader, _ = read(line, much[:50], EIO, source="https://host/stream", opening_s=18.0)
    assert is_silence(reader.lost)


@pytest.mark.parametrize(
    ("scheme", "no_length", "in_parts", "end", "lost", "unsure"),
    [
        ("https", True, False, None, False, False),
        ("rtsps", True, False, None, True, True),
        # FFmpeg says the same of a wait that ran out in opening.
        ("https", True, False, EIO, True, False),
        ("https", True, True, None, True, True),
        ("https", False, False, None, True, True),
        ("https", False, False, EIO, True, False),
    ],
)
def test_under_tls_an_end_after_a_slow_opening_is_none_where_ffmpeg_may_hide_a_wait(
    line: Line, scheme: str, no_length: bool, in_parts: bool, end: Exception | None, lost: bool, unsure: bool
) -> None:
    reader, given = read(
        line,
        [Packet()] * 3,
        end,
        source=f"{scheme}://host/stream",
        opening_s=18.0,
        no_length=no_length,
        in_parts=in_parts,
    )
    assert (given, is_silence(reader.lost), reader.unsure) == (3, lost, unsure)


def test_a_wait_that_ran_out_while_reading_is_a_sure_loss_after_a_slow_opening_too(line: Line) -> None:
    some = [Packet()] * 3
    for packets, end_s in ((some, 10.0), ([*some, Packet(10.0)], 0.0)):
        reader, _ = read(line, packets, None, source="https://host/stream", opening_s=18.0, end_s=end_s)
        assert (is_silence(reader.lost), reader.unsure) == (True, False)


@pytest.mark.parametrize("stream", [PICTURES, SOUND])
def test_packets_that_make_no_picture_are_silence(line: Line, stream: object) -> None:
    useless = Packet(1.0, stream=stream, picture=False)
    reader, given = read(line, [Packet(), *[useless] * 9, Packet(0.5), *[useless] * 50], None)
    assert is_silence(reader.lost)
    assert given == (2 + 9 + 10 if stream is PICTURES else 2)
