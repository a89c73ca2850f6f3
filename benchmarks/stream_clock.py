"""The stream benchmark's clocks: of a whole case, of the decoder alone, and of the single parts of the work."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import cv2
import google_crc32c
import numpy as np
import torch

from benchmarks import stream_data
from tracknet.datasets.augmentations import SAME_COLOUR, draw_augmentation
from tracknet.datasets.late_transforms import transform_frames
from tracknet.utils.geometry import Size
from tracknet.utils.heatmap import draw_gaussians
from tracknet.utils.images import decode_image
from tracknet.utils.settings import AugmentConfig

Serve = Callable[[ExitStack], Iterator[Any]]


def cpu_s() -> float:
    """Processor time of this process and its workers so far."""
    total = time.process_time()
    for process in multiprocessing.active_children():
        try:
            fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        except FileNotFoundError:
            continue
        total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


def measure(serve: Serve, batch_size: int, seconds: float, *, warm: int) -> tuple[float, float, float]:
    """Windows per second after `warm` batches, the time to the first, and processor microseconds per window."""
    with ExitStack() as stack:
        started = time.perf_counter()
        batches = serve(stack)
        next(batches)
        first_s = time.perf_counter() - started
        for _ in range(warm):
            next(batches)
        count, cpu_before, started = 0, cpu_s(), time.perf_counter()
        while time.perf_counter() - started < seconds:
            next(batches)
            count += batch_size
        rate = count / (time.perf_counter() - started)
        cpu_us = 1e6 * (cpu_s() - cpu_before) / count
        batches.close()  # type: ignore[attr-defined]
    return rate, first_s, cpu_us


def measure_floor(content: list[bytes], seconds: float) -> tuple[float, float, float]:
    """As `measure`, of nothing but the decoder, a frame for a window."""
    count, cpu_before, started = 0, cpu_s(), time.perf_counter()
    while time.perf_counter() - started < seconds:
        cv2.imdecode(np.frombuffer(content[count % len(content)], np.uint8), cv2.IMREAD_COLOR)
        count += 1
    rate = count / (time.perf_counter() - started)
    return rate, 0.0, 1e6 * (cpu_s() - cpu_before) / count


def parts_us(shards: Any, size: Size) -> dict[str, float]:
    """Best processor times of the single parts of a window's work, in microseconds."""
    content = stream_data.jpegs(shards)[:40]
    frames = [decode_image(data) for data in content]
    drawn = [draw_augmentation(AugmentConfig(), size, np.random.default_rng(n)) for n in range(len(frames))]
    batch = torch.from_numpy(np.stack(frames[:16]))[:, None].permute(0, 1, 4, 2, 3)
    matrices = torch.from_numpy(np.stack([one.matrix for one in drawn[:16]]))
    colours = [SAME_COLOUR if one.colour is None else one.colour for one in drawn[:16]]
    colour_maps = torch.from_numpy(np.stack(colours))
    heatmaps, out = np.zeros((16, 144, 256), np.float16), np.empty_like(frames[0])
    centres = np.random.default_rng(0).uniform(0, 140, (len(heatmaps), 2))

    def best(work: Callable[[int], object], turns: int = len(content)) -> float:
        times = []
        for _ in range(5):
            started = time.process_time()
            for number in range(turns):
                work(number)
            times.append((time.process_time() - started) / turns)
        return 1e6 * min(times)

    def heatmaps_afresh() -> None:
        heatmaps.fill(0)
        draw_gaussians(list(heatmaps), centres, 2.0)

    return {
        "JPEG decode, a frame": best(lambda n: decode_image(content[n], whole=True)),
        "checksum, a frame": best(lambda n: google_crc32c.value(content[n])),
        "copy into the batch, a frame": best(lambda n: np.copyto(out, frames[n])),
        "augmentation, a frame": best(lambda n: drawn[n].apply(frames[n], out=out)),
        "augmentation as a model on the CPU does it, a frame": best(
            lambda n: transform_frames(batch, matrices, colour_maps), turns=2
        )
        / len(batch),
        "heatmap, a window": best(lambda n: heatmaps_afresh(), turns=8) / len(heatmaps),
    }
