"""Pictures in and out of files, and the one resize that builder, raw-folder reader and predictor share.

Everything public here is RGB `uint8 [H, W, 3]`; OpenCV's BGR does not leave this module.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

import cv2
import numpy as np
import numpy.typing as npt

from tracknet.utils.errors import first_line
from tracknet.utils.geometry import Size

if TYPE_CHECKING:
    from PIL import Image

RGBImage = npt.NDArray[np.uint8]
_BGRImage = npt.NDArray[np.uint8]
Decode = Literal["full", "scaled"]

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
JPEG_QUALITY = 95
MOST_PIXELS = 64_000_000
"""Larger pictures are refused before they are decoded: 8K video has 33 million pixels, a bomb of a few KB billions."""

_JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
# OpenCV before 4.11 decodes to BGR only.
_READ_RGB: int | None = getattr(cv2, "IMREAD_COLOR_RGB", None)
# SOF0 to SOF15 without DHT, JPG and DAC: the segments that state the size.
_JPEG_SIZE_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# The bytes of a JPEG up to the size that they state, and that size. Any file's size follows from these bytes alone.
# One assignment, so that no thread sees half of it.
_last_header: tuple[bytes, Size] = (b"\xff\xd8 none yet", Size(0, 0))
_EXIF_ORIENTATION, _TURNED = 0x0112, (5, 6, 7, 8)


class ImageError(ValueError):
    """The bytes are no whole picture. The message says why, without the file's name."""


def image_size(path: Path) -> Size:
    """The picture's size from its header alone, as `read_image` will return it.

    Raises:
        ImageError: the header is no picture's, or states more pixels than `MOST_PIXELS`.
        OSError: the file cannot be read.

    """
    with path.open("rb") as file, _pillow_header(file) as picture:
        size = Size(*picture.size)
        # First, because Pillow decodes a whole PNG to look for EXIF data.
        _refuse_bomb(size, MOST_PIXELS)
        # OpenCV turns pictures upright as their EXIF says; so must the size.
        turned = picture.getexif().get(_EXIF_ORIENTATION) in _TURNED
    return Size(size.height, size.width) if turned else size


def stated_size(data: bytes) -> Size:
    """The size that the header of an image file states; nothing is decoded or allocated.

    Raises:
        ImageError: the bytes are no picture's, or end before they state a size.

    """
    # By ourselves, in 3 us where Pillow takes 60 (and 17 where 60, between two pictures, when nothing is at hand in
    # the core's caches): every frame of a training comes by here, most with the header of the one before.
    global _last_header
    header, size = _last_header
    if data.startswith(header):
        return size
    if data.startswith(b"\xff\xd8"):
        for marker, start in _jpeg_segments(data):
            if marker in _JPEG_SIZE_MARKERS and len(data) >= start + 7:
                height, width = data[start + 3 : start + 5], data[start + 5 : start + 7]
                size = Size(int.from_bytes(width, "big"), int.from_bytes(height, "big"))
                _last_header = bytes(data[: start + 7]), size
                return size
        raise ImageError(f"cannot be decoded ({len(data):,} bytes that state no size)")
    try:
        with _pillow_header(io.BytesIO(data)) as picture:
            return Size(*picture.size)
    except OSError:
        raise ImageError(f"cannot be decoded ({len(data):,} bytes that state no size)") from None


def read_image(path: Path) -> RGBImage:
    """Decodes an image file to RGB `uint8 [H, W, 3]`; raises as `decode_image` does, or `OSError`."""
    return decode_image(path.read_bytes())


def decode_image(
    data: bytes, *, size: Size | None = None, most_pixels: int = MOST_PIXELS, whole: bool = False
) -> RGBImage:
    """Decodes the bytes of a JPEG or PNG file to RGB `uint8 [H, W, 3]`.

    Args:
        data: the file's content.
        size: that the picture must state; checked before memory is taken for it.
        most_pixels: a picture that states more is refused before memory is taken for it.
        whole: a checksum says that nothing is missing, so that looking for the end (3 % of the work) is left out.

    Raises:
        ImageError: the bytes are empty, cut short, no picture, or state another size or too many pixels.

    """
    image = _decode(data, _READ_RGB or cv2.IMREAD_COLOR, size, most_pixels, whole=whole)
    return image if _READ_RGB else np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def decode_grey_quarter(data: bytes, *, size: Size) -> npt.NDArray[np.uint8]:
    """Decodes an image file to grey `uint8 [ceil(H / 4), ceil(W / 4)]`, twice as fast as to full size.

    Raises as `decode_image` does.
    """
    return _decode(data, cv2.IMREAD_REDUCED_GRAYSCALE_4, size)


def stored_jpeg(
    data: bytes, expected: Size, size: Size, quality: int = JPEG_QUALITY, decode: Decode = "full"
) -> bytes:
    """The bytes of an image file as those of a JPEG at another size.

    With `full` decoding the same bytes as `encode_jpeg(resize_frame(decode_image(data), size), quality)`,
    without turning the channels round twice (0.15 ms of 5.6 at 1280x720).

    Args:
        data: of a JPEG or PNG file.
        expected: size that the picture must have.
        size: of the result.
        quality: of the result.
        decode: `scaled` lets the JPEG decoder halve the picture where it is at least twice `size`: 1.8 times as
            fast, and another picture, see `benchmarks/fidelity.py`.

    Raises:
        ImageError: as `decode_image`, or the picture has another size.

    """
    halve = (
        decode == "scaled"
        and data[:2] == b"\xff\xd8"
        and (2 * size.width <= expected.width and 2 * size.height <= expected.height)
    )
    picture = _decode(data, cv2.IMREAD_REDUCED_COLOR_2 if halve else cv2.IMREAD_COLOR)
    found = Size(picture.shape[1], picture.shape[0])
    if found != (Size(-(-expected.width // 2), -(-expected.height // 2)) if halve else expected):
        said = f"about {found.width * 2}x{found.height * 2}" if halve else str(found)
        raise ImageError(f"is {said}, the other frames of its clip are {expected}")
    return _encode(resize_frame(picture, size), quality)


def encode_jpeg(image: RGBImage, quality: int = JPEG_QUALITY) -> bytes:
    """The bytes of an RGB `uint8 [H, W, 3]` picture as a JPEG file; equal pictures give equal bytes.

    Colour is kept at full resolution (4:4:4). The usual halving (4:2:0) would smear a ball of a few pixels
    whose colour is what sets it apart; `benchmarks/fidelity.py` measures both.
    """
    return _encode(np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2BGR), dtype=np.uint8), quality)


def resize_frame(frame: RGBImage, size: Size) -> RGBImage:
    """The frame at another size, antialiased; pixel centres map as `geometry.scaling` says.

    Shrinking averages areas, so that a ball of 5 px is dimmed in proportion and never skipped, as it is by
    plain bilinear sampling. How near it comes to the Hugging Face processors' antialiased resize is held by
    `tests/utils/test_images.py` and measured on broadcast frames by `benchmarks/fidelity.py`.

    Args:
        frame: `uint8 [H, W, 3]`.
        size: of the result; the frame is squeezed to it, never cropped.

    """
    source = Size(frame.shape[1], frame.shape[0])
    if source == size:
        return frame
    smaller = Size(min(source.width, size.width), min(source.height, size.height))
    if smaller != source:
        frame = np.asarray(cv2.resize(frame, smaller, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    if smaller != size:
        frame = np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_LINEAR), dtype=np.uint8)
    return frame


def _check_header(data: bytes, size: Size | None, most_pixels: int, whole: bool) -> None:
    """Refuses what must not be given to the decoder, which takes memory for whatever the header states."""
    if not data:
        raise ImageError("is empty (0 bytes)")
    # OpenCV before 5.0 fills the missing part of a cut JPEG with grey and reports nothing.
    if not whole and data[:2] == b"\xff\xd8" and not _jpeg_is_whole(data):
        raise ImageError(f"is cut short ({len(data):,} bytes without the end-of-image mark)")
    stated = stated_size(data)
    if size is not None and stated != size:
        raise ImageError(f"is {stated}, not {size}")
    _refuse_bomb(stated, most_pixels)


def _decode(
    data: bytes,
    flags: int,
    size: Size | None = None,
    most_pixels: int = MOST_PIXELS,
    *,
    whole: bool = False,
) -> npt.NDArray[np.uint8]:
    _check_header(data, size, most_pixels, whole)
    try:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise ImageError(f"cannot be decoded ({first_line(error)})") from None
    if picture is None:
        raise ImageError(f"cannot be decoded ({len(data):,} bytes)")
    return np.asarray(picture, dtype=np.uint8)


def _encode(bgr: _BGRImage, quality: int) -> bytes:
    options = [
        cv2.IMWRITE_JPEG_QUALITY,
        quality,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    ]
    done, encoded = cv2.imencode(".jpg", bgr, options)
    if not done:
        raise ImageError(f"of shape {bgr.shape} cannot be written as JPEG")
    return encoded.tobytes()


@contextmanager
def _pillow_header(file: BinaryIO) -> Iterator[Image.Image]:
    """A picture of which Pillow has read the header only."""
    from PIL import Image, UnidentifiedImageError

    with warnings.catch_warnings():
        # Its own limit is ours times three, and a mere warning below twice that.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            with Image.open(file) as picture:
                yield picture
        except ImageError:
            raise
        except UnidentifiedImageError:
            raise ImageError("cannot be decoded (it is no picture)") from None
        except (SyntaxError, ValueError) as error:
            raise ImageError(f"cannot be decoded (it is no picture: {type(error).__name__})") from None
        except Image.DecompressionBombError:
            raise ImageError(
                f"states more than the {MOST_PIXELS:,} pixels that are decoded at most"
            ) from None


def _refuse_bomb(size: Size, most_pixels: int) -> None:
    if size.width * size.height > most_pixels:
        raise ImageError(
            f"states a size of {size}, more than the {most_pixels:,} pixels that are decoded at most"
        )


def _jpeg_is_whole(data: bytes) -> bool:
    """Whether the marker segments lead to an end-of-image mark. Thumbnails inside segments do not count."""
    for marker, start in _jpeg_segments(data):
        if marker == 0xD9:
            return True
        # In a scan every ff is followed by 00 or a restart, so that an end mark as the last two bytes is one: the
        # usual case, without searching 90 KB for it (0.05 ms).
        if marker == 0xDA and data.endswith(b"\xff\xd9"):
            return start + int.from_bytes(data[start : start + 2], "big") <= len(data) - 2
    return False


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, int]]:
    """The marker of every segment of a JPEG, up to the end-of-image mark, and where the segment's length stands."""
    position = 2
    while (match := _JPEG_MARKER.search(data, position)) is not None:
        marker = data[match.start() + 1]
        yield marker, match.end()
        if marker == 0xD9:
            return
        position = match.end() + int.from_bytes(data[match.end() : match.end() + 2], "big")
