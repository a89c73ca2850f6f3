"""Videos drawn on the spot, for tests of reading and of building."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from tests.conftest import draw_dot
from tracknet.utils.images import RGBImage
from tracknet.utils.video import Video


def pictures(count: int, *, size: tuple[int, int] = (160, 90), seed: int = 0) -> list[RGBImage]:
    """Dots that move 5 px a frame over soft ground, each frame of a brightness of its own."""
    width, height = size
    ground = np.linspace(20, 60, width)[None, :, None] + np.linspace(0, 30, height)[:, None, None]
    drawn = []
    for number in range(count):
        picture = np.repeat(ground + (number * 7 + seed) % 40, 3, axis=2).astype(np.uint8)
        draw_dot(picture, *place(number, size))
        drawn.append(picture)
    return drawn


def place(number: int, size: tuple[int, int] = (160, 90)) -> tuple[float, float]:
    """Where the dot of a frame is."""
    return 10.0 + 5 * number % (size[0] - 20), size[1] / 2


def write_video(
    path: Path,
    frames: Iterable[RGBImage],
    *,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    rate: Fraction | int = 30,
    colorspace: int | None = None,
    color_range: int | None = None,
    times: Sequence[int] | None = None,
    sound: bool = False,
    options: dict[str, str] | None = None,
    index_first: bool = True,
    stamps_kept: bool = False,
) -> Path:
    """Writes a video.

    `times` are the frames' time stamps in 1/1000 s, evenly spaced where there are none; MPEG-TS begins at 1.4 s,
    unless they are to be kept.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    flags = {"movflags": "faststart"} if path.suffix == ".mp4" and index_first else {}
    if stamps_kept:
        flags["mpegts_copyts"] = "1"
    with av.open(str(path), "w", options=flags) as out:
        stream = out.add_stream(codec, rate=rate, options={"crf": "12", **(options or {})})
        audio = out.add_stream("aac", rate=8000) if sound else None
        stream.pix_fmt = pixels
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        if colorspace is not None:
            stream.codec_context.colorspace = colorspace
        if color_range is not None:
            stream.codec_context.color_range = color_range
        for number, picture in enumerate(frames):
            if number == 0:
                stream.height, stream.width = picture.shape[:2]
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            if times is not None:
                frame.pts, frame.time_base = times[number], stream.codec_context.time_base
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        if audio is not None:
            write_sound(out, audio)
    return path


def write_sound(out: av.container.OutputContainer, stream: av.AudioStream) -> None:
    frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
    frame.rate = 8000
    out.mux(stream.encode(frame))
    out.mux(stream.encode(None))


def read_images(path: Path, **options: int) -> list[RGBImage]:
    """All frames of a video."""
    with Video(path, **options) as video:
        return [frame.image() for frame in video]


def turn(path: Path, clockwise_deg: int) -> Path:
    """Notes in an MP4 that its picture is to be shown turned, as telephones do."""
    one = 0x10000
    matrix = {90: (0, one, -one, 0), 180: (-one, 0, 0, -one), 270: (0, -one, one, 0)}[clockwise_deg]
    data = bytearray(path.read_bytes())
    header = data.find(b"tkhd") + 4
    values = (matrix[0], matrix[1], 0, matrix[2], matrix[3], 0, 0, 0, 0x40000000)
    struct.pack_into(">9i", data, header + (52 if data[header] else 40), *values)
    path.write_bytes(data)
    return path


def write_match(
    root: Path, match: str = "match1", name: str = "00001", *, frames: int = 12, seed: int = 0
) -> tuple[Path, Path]:
    """A clip in the layout of annotated video; the fourth frame has no ball. Returns video and labels."""
    video = write_video(root / match / "video" / f"{name}.mp4", pictures(frames, seed=seed))
    labels = root / match / "csv" / f"{name}_ball.csv"
    labels.parent.mkdir(exist_ok=True)
    rows = [
        f"{number},0,0,0" if number == 3 else f"{number},1,{place(number)[0]:.1f},{place(number)[1]:.1f}"
        for number in range(frames)
    ]
    labels.write_text("\n".join(["Frame,Visibility,X,Y", *rows]) + "\n")
    return video, labels
