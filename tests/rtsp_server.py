"""A small RTSP server (RFC 2326) on the loopback: a video as MPEG-TS over RTP (RFC 2250), inside the connection."""

from __future__ import annotations

import contextlib
import itertools
import socket
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from tests.videos import write_video
from tracknet.utils.images import RGBImage

Silent = Literal["OPTIONS", "DESCRIBE", "SETUP", "PLAY", "half a packet"]
_TS_PER_PACKET = 7 * 188
_SDP = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=test\r\nt=0 0\r\nm=video 0 RTP/AVP 33\r\na=control:stream=0\r\n"


@contextlib.contextmanager
def rtsp_server(
    scratch: Path,
    frames: Sequence[RGBImage],
    *,
    limit_s: float = 60.0,
    silent_at: Silent | None = None,
    udp: bool = False,
) -> Iterator[str]:
    """The URL of a stream of these frames for one viewer; the server closes the connection after the last one.

    After `limit_s` all connections are shut down, also such as nobody accepted: no test waits for ever.

    Args:
        scratch: a folder.
        frames: of the stream.
        limit_s: see above.
        silent_at: from then on nothing is sent, and the connection stays open: before it answers that request, or in
            the middle of a packet half way through the stream.
        udp: refuse to send inside the connection.
    """
    options = {"g": "5", "tune": "zerolatency", "preset": "ultrafast"}
    data = write_video(scratch / "stream.ts", frames, options=options).read_bytes()
    connections: list[socket.socket] = []

    def end() -> None:
        for one in connections:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        server.close()

    server = socket.create_server(("127.0.0.1", 0))
    connections.append(server)
    limit = threading.Timer(limit_s, end)
    limit.daemon = True
    thread = threading.Thread(target=_serve, args=(server, data, connections, silent_at, udp), daemon=True)
    limit.start()
    thread.start()
    try:
        yield f"rtsp://127.0.0.1:{server.getsockname()[1]}/court"
        thread.join(10)
    finally:
        limit.cancel()
        end()


def _serve(
    server: socket.socket,
    data: bytes,
    connections: list[socket.socket],
    silent_at: Silent | None,
    udp: bool,
) -> None:
    with contextlib.ExitStack() as held:
        held.enter_context(contextlib.suppress(OSError))
        connection, _ = server.accept()
        connections.append(connection)
        held.enter_context(connection)
        # The connection is open as long as this is, which a traceback may keep.
        text = held.enter_context(connection.makefile("rb"))
        while (head := text.readline()) and not head.startswith(b"TEARDOWN"):
            fields = {}
            while (line := text.readline()) not in (b"\r\n", b""):
                name, _, value = line.decode().partition(":")
                fields[name.lower()] = value.strip()
            method = head.split()[0].decode()
            if method == silent_at:
                while connection.recv(4096):
                    pass
                return
            _answer(connection, method, fields, udp)
            if method == "SETUP" and udp and "TCP" not in fields["transport"]:
                client = int(fields["transport"].partition("client_port=")[2].partition("-")[0])
            if method == "PLAY":
                _play(connection, data, client if udp else None, half=silent_at == "half a packet")
                # Closed with something unread (a receiver's report), it would be reset, and what the viewer has not
                # read yet be lost.
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(4096):
                    pass
                return


def _answer(connection: socket.socket, method: str, fields: dict[str, str], udp: bool) -> None:
    status, more, body = "200 OK", "", ""
    if method == "OPTIONS":
        more = "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"
    elif method == "DESCRIBE":
        more, body = f"Content-Type: application/sdp\r\nContent-Length: {len(_SDP)}\r\n", _SDP
    elif method == "SETUP" and ("TCP" in fields["transport"]) is udp:
        status = "461 Unsupported Transport"
    elif method == "SETUP" and udp:
        more = f"Transport: {fields['transport']};server_port=9-10\r\nSession: 1\r\n"
    elif method == "SETUP":
        more = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n"
    elif method == "PLAY":
        more = "Session: 1\r\n"
    connection.sendall(f"RTSP/1.0 {status}\r\nCSeq: {fields['cseq']}\r\n{more}\r\n{body}".encode())


def _play(connection: socket.socket, data: bytes, client: int | None, *, half: bool) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as to_port:
        for number in itertools.count():
            part = data[number * _TS_PER_PACKET : (number + 1) * _TS_PER_PACKET]
            if not part:
                return
            packet = struct.pack(">BBHII", 0x80, 33, number % 65536, number * 900, 1) + part
            if client is not None:
                to_port.sendto(packet, ("127.0.0.1", client))
            else:
                framed = struct.pack(">BBH", ord("$"), 0, len(packet)) + packet
                if half and number * _TS_PER_PACKET > len(data) // 2:
                    connection.sendall(framed[: len(framed) // 2])
                    while connection.recv(4096):
                        pass
                    return
                connection.sendall(framed)
            time.sleep(0.002)
