"""Heatmaps come back in order, to half a step of 1/255, and leave no file."""

from __future__ import annotations

import resource
from pathlib import Path

import numpy as np
import pytest

from tracknet.inference.heatmap_file import HeatmapFile


def test_maps_come_back_in_order_and_more_than_once(tmp_path: Path):
    maps = np.random.default_rng(0).uniform(size=(7, 9, 16)).astype(np.float32)
    with HeatmapFile(tmp_path) as file:
        assert list(file) == []
        file.add(maps[:3])
        file.add(maps[3:])
        for _ in range(2):
            back = list(file)
            assert [one.shape for one in back] == [(9, 16)] * 7
            assert np.abs(np.stack(back) - maps).max() <= 0.5 / 255 + 1e-6
        assert list(tmp_path.iterdir()) == []


def test_a_map_with_one_ball_takes_little_room(tmp_path: Path):
    ys, xs = np.mgrid[:144, :256]
    ball = np.exp(-((xs - 100.3) ** 2 + (ys - 50.7) ** 2) / 8)[None]
    with HeatmapFile(tmp_path) as file:
        for _ in range(50):
            file.add(ball)
        assert file._file.tell() < 50 * 1000


def test_a_full_disk_is_told_once_where_it_happens(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).random((1, 24, 48), dtype=np.float32)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        # What the buffer still holds at the end may hide no other error.
        with pytest.raises(ValueError, match="another"), HeatmapFile(tmp_path) as heatmaps:
            heatmaps.add(noise)
            raise ValueError("another")
        with pytest.raises(OSError, match="too large"), HeatmapFile(tmp_path) as heatmaps:
            heatmaps.add(np.repeat(noise, 900, axis=0))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
