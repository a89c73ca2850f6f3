"""Decoding, encoding and the resize, with the resize's distance from the processors' own as a number."""

from __future__ import annotations

import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from tracknet.utils.geometry import Size, scaling, transform_points
from tracknet.utils.images import (
    Decode,
    ImageError,
    RGBImage,
    decode_image,
    encode_jpeg,
    image_size,
    read_image,
    resize_frame,
    stated_size,
    stored_jpeg,
)


def photo(size: Size = Size(1280, 720), seed: int = 0) -> RGBImage:
    """A photo-like picture: detail at all scales with the falling spectrum of photographs, lines and a ball."""
    rng = np.random.default_rng(seed)
    total = np.zeros((size.height, size.width, 3), np.float32)
    for octave in range(1, 9):
        cells = (max(2, size.width >> octave), max(2, size.height >> octave))
        noise = rng.normal(size=(cells[1], cells[0], 3)).astype(np.float32)
        total += 2.0**octave / 16 * cv2.resize(noise, tuple(size), interpolation=cv2.INTER_CUBIC)
    picture = np.clip(110 + 1.5 * total, 0, 255).astype(np.uint8)
    cv2.line(picture, (100, 650), (1200, 500), (240, 240, 240), 4, cv2.LINE_AA)
    cv2.circle(picture, (640, 200), 3, (220, 250, 80), -1, cv2.LINE_AA)
    return picture


def psnr_db(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((a.astype(np.float64) - b) ** 2)))


def pil_resize(picture: RGBImage, size: Size, how: Image.Resampling) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).resize(tuple(size), how))


@pytest.mark.parametrize("size", [Size(512, 288), Size(504, 280), Size(518, 294), Size(640, 360)])
def test_resize_agrees_with_the_processors(size: Size) -> None:
    picture = photo()
    ours = resize_frame(picture, size)
    plain = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR))
    bilinear = pil_resize(picture, size, Image.Resampling.BILINEAR)
    bicubic = pil_resize(picture, size, Image.Resampling.BICUBIC)
    assert psnr_db(ours, bilinear) > 35
    assert psnr_db(ours, bicubic) > 38
    if size.width * 2 < picture.shape[1]:
        assert psnr_db(ours, bilinear) > psnr_db(plain, bilinear) + 3


def test_resize_agrees_with_the_processors_on_broadcast_frames(shared_data: Path) -> None:
    paths = sorted((shared_data / "data" / "tennis").glob("game*/Clip*/*.jpg"))[::70]
    bilinear, bicubic = [], []
    for path in paths:
        picture = read_image(path)
        ours = resize_frame(picture, Size(512, 288))
        bilinear.append(psnr_db(ours, pil_resize(picture, Size(512, 288), Image.Resampling.BILINEAR)))
        bicubic.append(psnr_db(ours, pil_resize(picture, Size(512, 288), Image.Resampling.BICUBIC)))
    assert len(paths) > 3
    assert min(bilinear) > 35
    assert min(bicubic) > 39


@pytest.mark.parametrize("size", [Size(512, 288), Size(1000, 400), Size(2560, 1440), Size(640, 1440)])
def test_resize_moves_points_as_geometry_says(size: Size) -> None:
    source = Size(1280, 720)
    ys, xs = np.mgrid[0 : source.height, 0 : source.width]
    centre = (700.3, 300.8)
    blob = np.exp(-0.5 * ((xs - centre[0]) ** 2 + (ys - centre[1]) ** 2) / 12.0**2) * 255
    frame = np.repeat(blob.round().astype(np.uint8)[..., None], 3, axis=2)
    resized = resize_frame(frame, size)[..., 0].astype(np.float64)
    assert resized.shape == (size.height, size.width)
    ys, xs = np.mgrid[0 : size.height, 0 : size.width]
    found = (resized * xs).sum() / resized.sum(), (resized * ys).sum() / resized.sum()
    expected = transform_points(scaling(source, size), centre)
    assert np.abs(np.array(found) - expected).max() < 0.05


def test_resize_keeps_the_light_of_a_tiny_ball() -> None:
    means = []
    for x in range(600, 620):
        frame = np.zeros((720, 1280, 3), np.uint8)
        frame[300:302, x : x + 2] = 255
        means.append(resize_frame(frame, Size(512, 288)).sum() / 3 * (2.5**2))
    assert np.abs(np.array(means) / (4 * 255) - 1).max() < 0.02


def test_resize_to_the_same_size_is_the_frame_itself() -> None:
    picture = photo(Size(64, 36))
    assert resize_frame(picture, Size(64, 36)) is picture


def test_jpeg_round_trip_is_faithful_and_repeatable() -> None:
    picture = resize_frame(photo(), Size(512, 288))
    data = encode_jpeg(picture, 95)
    assert data == encode_jpeg(picture, 95)
    assert psnr_db(decode_image(data), picture) > 33
    assert len(encode_jpeg(picture, 60)) < len(data)


def test_colours_are_rgb(tmp_path: Path) -> None:
    red = np.zeros((16, 16, 3), np.uint8)
    red[..., 0] = 250
    decoded = decode_image(encode_jpeg(red))
    assert decoded[8, 8, 0] > 240
    assert decoded[8, 8, 2] < 10
    Image.fromarray(red).save(tmp_path / "red.png")
    assert (read_image(tmp_path / "red.png") == red).all()
    Image.fromarray(red[..., 0]).save(tmp_path / "grey.png")
    assert read_image(tmp_path / "grey.png").shape == (16, 16, 3)


@pytest.mark.parametrize("fraction", [0.0, 0.01, 0.3, 0.9, 0.999])
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_a_cut_file_is_no_picture(fraction: float, suffix: str) -> None:
    data = cv2.imencode(suffix, photo(Size(320, 180)))[1].tobytes()
    with pytest.raises(ImageError, match=r"is empty|is cut short|cannot be decoded"):
        decode_image(data[: int(len(data) * fraction)])


def test_progressive_jpeg_with_thumbnail_is_whole_and_its_cut_is_not(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E] = "thumbnail \xff\xd9"
    path = tmp_path / "progressive.jpg"
    Image.fromarray(photo(Size(320, 180))).save(path, progressive=True, exif=exif, quality=90)
    data = path.read_bytes()
    assert decode_image(data).shape == (180, 320, 3)
    assert decode_image(data + b"camera's own trailer").shape == (180, 320, 3)
    with pytest.raises(ImageError):
        decode_image(data[:-200])


def test_an_end_mark_inside_a_thumbnail_ends_no_jpeg() -> None:
    whole = encode_jpeg(photo(Size(320, 180)))
    thumbnail = encode_jpeg(photo(Size(32, 16)))
    segment = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    data = whole[:2] + segment + whole[2:]
    assert decode_image(data).shape == (180, 320, 3)
    for end in (2 + len(segment), 2 + len(segment) + 4, len(data) - 2):
        with pytest.raises(ImageError, match="is cut short"):
            decode_image(data[:end])


def test_size_from_the_header_is_the_decoded_size(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    for name, options in {"plain.jpg": {}, "turned.jpg": {"exif": exif}, "plain.png": {}}.items():
        path = tmp_path / name
        Image.fromarray(photo(Size(64, 36))).save(path, **options)
        image = read_image(path)
        assert image_size(path) == Size(image.shape[1], image.shape[0])
    assert image_size(tmp_path / "turned.jpg") == Size(36, 64)
    (tmp_path / "text.jpg").write_text("no picture")
    with pytest.raises(ImageError):
        image_size(tmp_path / "text.jpg")


SOURCE, STORED = Size(1280, 720), Size(512, 288)


def as_stored(data: bytes, decode: Decode) -> RGBImage:
    return decode_image(stored_jpeg(data, SOURCE, STORED, 95, decode))


def test_a_stored_jpeg_is_the_decoded_frame_resized_and_encoded() -> None:
    data = encode_jpeg(photo(), 90)
    assert stored_jpeg(data, SOURCE, STORED, 90) == encode_jpeg(resize_frame(decode_image(data), STORED), 90)
    with pytest.raises(ImageError, match="is 1280x720, the other frames of its clip are 640x360"):
        stored_jpeg(data, Size(640, 360), STORED)
    with pytest.raises(ImageError, match="is cut short"):
        stored_jpeg(data[:-300], SOURCE, STORED)


def test_scaled_decoding_halves_large_jpegs_and_nothing_else() -> None:
    picture = photo()
    data = encode_jpeg(picture, 95)
    assert stored_jpeg(data, SOURCE, STORED, 95, "scaled") != stored_jpeg(data, SOURCE, STORED)
    # Smaller than half the frame in one direction alone, or no JPEG: decoded in full.
    for size in (Size(656, 288), Size(512, 368)):
        assert stored_jpeg(data, SOURCE, size, 95, "scaled") == stored_jpeg(data, SOURCE, size)
    png = cv2.imencode(".png", picture)[1].tobytes()
    assert stored_jpeg(png, SOURCE, STORED, 95, "scaled") == stored_jpeg(png, SOURCE, STORED)
    odd = encode_jpeg(photo(Size(1279, 719)), 95)
    assert decode_image(stored_jpeg(odd, Size(1279, 719), STORED, 95, "scaled")).shape == (288, 512, 3)
    with pytest.raises(ImageError, match="is about 1280x720, the other frames of its clip are 1920x1080"):
        stored_jpeg(data, Size(1920, 1080), STORED, 95, "scaled")


def test_both_decode_paths_stay_near_the_processors(shared_data: Path) -> None:
    """Stored JPEG against PIL's bilinear filter, the one of the DINOv3 processor, on broadcast frames."""
    paths = sorted((shared_data / "data" / "tennis").glob("game*/Clip*/*.jpg"))[::70]
    floors: dict[Decode, float] = {"full": 35.5, "scaled": 37.5}
    for decode, floor in floors.items():
        near = [
            psnr_db(
                as_stored(path.read_bytes(), decode),
                pil_resize(read_image(path), STORED, Image.Resampling.BILINEAR),
            )
            for path in paths
        ]
        assert min(near) > floor, decode


def test_scaled_decoding_on_a_drawn_photo() -> None:
    picture = photo()
    data = encode_jpeg(picture, 95)
    reference = pil_resize(decode_image(data), STORED, Image.Resampling.BILINEAR)
    assert psnr_db(as_stored(data, "scaled"), reference) > 33
    plain = np.asarray(cv2.resize(decode_image(data), STORED, interpolation=cv2.INTER_LINEAR))
    assert psnr_db(as_stored(data, "scaled"), reference) > psnr_db(plain, reference) + 2


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp"])
def test_the_stated_size_is_read_without_decoding(suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = cv2.imencode(suffix, photo(Size(320, 180)))[1].tobytes()
    monkeypatch.setattr(cv2, "imdecode", lambda *args: pytest.fail("decoded"))
    assert stated_size(data) == Size(320, 180)
    if suffix in (".jpg", ".png"):
        with pytest.raises(ImageError, match="cannot be decoded"):
            stated_size(data[:20])


def bomb(suffix: str, side: int) -> bytes:
    """A picture of a few hundred bytes whose header states `side` x `side` pixels."""
    data = bytearray(cv2.imencode(suffix, np.zeros((16, 16, 3), np.uint8))[1].tobytes())
    if suffix == ".jpg":
        at = data.index(b"\xff\xc0") + 5
        data[at : at + 4] = side.to_bytes(2, "big") * 2
    else:
        data[16:24] = side.to_bytes(4, "big") * 2
        data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    return bytes(data)


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
@pytest.mark.parametrize("side", [8_001, 12_000, 65_500])
def test_a_decompression_bomb_is_refused_undecoded(
    suffix: str, side: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    data = bomb(suffix, side)
    assert len(data) < 1000
    monkeypatch.setattr(cv2, "imdecode", lambda *args: pytest.fail("decoded"))
    with pytest.raises(ImageError, match="than the 64,000,000 pixels that are decoded at most"):
        decode_image(data)
    path = tmp_path / f"bomb{suffix}"
    path.write_bytes(data)
    with pytest.raises(ImageError, match="than the 64,000,000 pixels that are decoded at most"):
        image_size(path)
    assert not len(recwarn)


def test_the_limit_can_be_chosen() -> None:
    data = encode_jpeg(photo(Size(64, 36)))
    assert decode_image(data, most_pixels=64 * 36).shape == (36, 64, 3)
    with pytest.raises(ImageError, match="states a size of 64x36, more than the 2,303 pixels"):
        decode_image(data, most_pixels=64 * 36 - 1)
