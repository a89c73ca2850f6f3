"""Ways from an image file to a stored picture: what each costs, and how near it comes to the HF processors.

A part of `benchmarks/build_shards.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from benchmarks.fidelity import psnr
from benchmarks.rounds import Rounds
from pipelines.sources import read_source
from tracknet.utils.geometry import Size, scaling, transform_points
from tracknet.utils.images import decode_image, encode_jpeg, resize_frame
from tracknet.utils.memory import keep_freed_memory

SIZE, QUALITY = Size(512, 288), 95
JPEG_444 = [
    *(cv2.IMWRITE_JPEG_QUALITY, QUALITY),
    *(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
]


def _each(path: Callable[[bytes], np.ndarray], files: Sequence[bytes]) -> None:
    for data in files:
        path(data)


def decode_paths(root: Path, most: int) -> list[str]:
    keep_freed_memory()
    clips = read_source(root, "clip").clips
    every = [
        (frame.path, frame.xy_px, clip.frame_size)
        for clip in clips
        for frame in clip.frames
        if frame.xy_px is not None
    ]
    labels = every[:: max(1, len(every) // most)]
    files = [path.read_bytes() for path, _, _ in labels]

    def at(flag: int, filter_: int) -> Callable[[bytes], np.ndarray]:
        def path(data: bytes) -> np.ndarray:
            picture = cv2.imdecode(np.frombuffer(data, np.uint8), flag)
            assert picture is not None
            return cv2.cvtColor(cv2.resize(picture, SIZE, interpolation=filter_), cv2.COLOR_BGR2RGB)

        return path

    def pil(filter_: Image.Resampling) -> Callable[[bytes], np.ndarray]:
        return lambda data: np.asarray(Image.fromarray(decode_image(data)).resize(SIZE, filter_))

    paths = {
        "full, AREA (data.decode=full)": at(cv2.IMREAD_COLOR, cv2.INTER_AREA),
        "full, plain bilinear": at(cv2.IMREAD_COLOR, cv2.INTER_LINEAR),
        "halved, AREA (data.decode=scaled)": at(cv2.IMREAD_REDUCED_COLOR_2, cv2.INTER_AREA),
        "halved, plain bilinear": at(cv2.IMREAD_REDUCED_COLOR_2, cv2.INTER_LINEAR),
        "full, PIL bilinear": pil(Image.Resampling.BILINEAR),
        "full, PIL bicubic": pil(Image.Resampling.BICUBIC),
    }
    assert (
        paths["full, AREA (data.decode=full)"](files[0]) == resize_frame(decode_image(files[0]), SIZE)
    ).all()
    balls = []
    for _, xy_px, size in labels:
        x, y = transform_points(scaling(size, SIZE), xy_px).round().astype(int)
        balls.append(np.s_[max(y - 4, 0) : y + 5, max(x - 4, 0) : x + 5])
    bilinear = [paths["full, PIL bilinear"](data) for data in files]
    bicubic = [paths["full, PIL bicubic"](data) for data in files]
    done = Rounds({name: partial(_each, path, files) for name, path in paths.items()}, 3)
    lines = [
        f"decode paths to {SIZE}, {len(files)} frames; dB against PIL's filters, over the picture / in 9x9 px "
        "around the ball; the ball's peak above its surroundings, PIL bilinear = 1:",
        f"  {'decode, resize':36}{'ms':>6}  {'bilinear':>15}{'bicubic':>15}{'bilinear, as JPEG':>19}{'peak':>7}",
    ]
    for name, path in paths.items():
        made = [path(data) for data in files]
        stored = [decode_image(encode_jpeg(picture, QUALITY)) for picture in made]
        cells = [
            decibels(made, bilinear, balls),
            decibels(made, bicubic, balls),
            decibels(stored, bilinear, balls),
        ]
        peak = np.mean(
            [height(a[ball]) / height(b[ball]) for a, b, ball in zip(made, bilinear, balls, strict=True)]
        )
        ms = done.clock_s(name) / len(files) * 1000
        lines.append(f"  {name:36}{ms:6.2f}  {cells[0]:>15}{cells[1]:>15}{cells[2]:>19}{peak:7.3f}")
    return lines


def decibels(these: list[np.ndarray], those: list[np.ndarray], balls: list[tuple[slice, slice]]) -> str:
    pairs = list(zip(these, those, balls, strict=True))
    if all((a == b).all() for a, b, _ in pairs):
        return "the same"
    whole = np.mean([psnr(a, b) for a, b, _ in pairs])
    around = np.mean([min(psnr(a[ball], b[ball]), 99.0) for a, b, ball in pairs])
    return f"{whole:.1f} / {around:.1f}"


def height(patch: np.ndarray) -> float:
    grey = patch.astype(float).mean(2)
    return max(float(grey.max() - np.median(grey)), 1.0)
