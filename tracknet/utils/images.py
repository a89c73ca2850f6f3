"""Pictures in and out of files, and the one resize that builder, raw-folder reader and predictor share.

Everything public here is RGB `uint8 [H, W, 3]`; OpenCV's BGR does not leave this module.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from tracknet.utils.geometry import Size

RGBImage = npt.NDArray[np.uint8]
_BGRImage = npt.NDArray[np.uint8]
Decode = Literal["full", "scaled"]

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
JPEG_QUALITY = 95

_JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
# OpenCV before 4.11 decodes to BGR only.
_READ_RGB: int | None = getattr(cv2, "IMREAD_COLOR_RGB", None)
_EXIF_ORIENTATION, _TURNED = 0x0112, (5, 6, 7, 8)


class ImageError(ValueError):
    """The bytes are no whole picture. The message says why, without the file's name."""


def image_size(path: Path) -> Size:
    """The picture's size from its header alone, as `read_image` will return it.

    Raises:
        ImageError: the header is no picture's.
        OSError: the file cannot be read.

    """
    from PIL import Image, UnidentifiedImageError

    with path.open("rb") as file:
        try:
            with Image.open(file) as picture:
                width, height = picture.size
                # OpenCV turns pictures upright as their EXIF says; so must the size.
                turned = picture.getexif().get(_EXIF_ORIENTATION) in _TURNED
        except (UnidentifiedImageError, SyntaxError, ValueError) as error:
            raise ImageError(f"is no picture ({type(error).__name__})") from None
    return Size(height, width) if turned else Size(width, height)


def read_image(path: Path) -> RGBImage:
    """Decodes an image file to RGB `uint8 [H, W, 3]`; raises as `decode_image` does, or `OSError`."""
    return decode_image(path.read_bytes())


def decode_image(data: bytes, *, whole: bool = False) -> RGBImage:
    """Decodes the bytes of a JPEG or PNG file to RGB `uint8 [H, W, 3]`.

    Args:
        data: the file's content.
        whole: a checksum says that nothing is missing, so that looking for the end (3 % of the work) is left out.

    Raises:
        ImageError: the bytes are empty, cut short, or no picture.

    """
    image = _decode(data, _READ_RGB or cv2.IMREAD_COLOR, whole=whole)
    return image if _READ_RGB else np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)


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


def _decode(data: bytes, flags: int, *, whole: bool = False) -> _BGRImage:
    if not data:
        raise ImageError("is empty (0 bytes)")
    # OpenCV before 5.0 fills the missing part of a cut JPEG with grey and reports nothing.
    if not whole and data[:2] == b"\xff\xd8" and not _jpeg_is_whole(data):
        raise ImageError(f"is cut short ({len(data):,} bytes without the end-of-image mark)")
    try:
        bgr = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise ImageError(f"cannot be decoded ({str(error).splitlines()[0]})") from None
    if bgr is None:
        raise ImageError(f"cannot be decoded ({len(data):,} bytes)")
    return np.asarray(bgr, dtype=np.uint8)


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


def _jpeg_is_whole(data: bytes) -> bool:
    """Whether the marker segments lead to an end-of-image mark. Thumbnails inside segments do not count."""
    # In a scan every ff is followed by 00 or a restart, so that an end mark as the last two bytes is one: the usual
    # case, without searching 90 KB for it (0.05 ms).
    if data.endswith(b"\xff\xd9") and _start_of_scan(data) < len(data) - 2:
        return True
    position = 2
    while (match := _JPEG_MARKER.search(data, position)) is not None:
        marker = data[match.start() + 1]
        if marker == 0xD9:
            return True
        length = int.from_bytes(data[match.end() : match.end() + 2], "big")
        position = match.end() + length
    return False


def _start_of_scan(data: bytes) -> int:
    """Where the first scan of a JPEG begins; at its end where the segments lead to none."""
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # a fill byte
            position += 1
            continue
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
        if marker == 0xDA:
            return position
    return len(data)
