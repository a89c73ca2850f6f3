"""Other ways to get the same windows: each is a torch data set that gives uint8 `[T, H, W, 3]`, or batches of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from tracknet.utils.geometry import Size


def _decode(data: bytes) -> np.ndarray:
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)


def _window(sample: dict[str, Any], length: int) -> np.ndarray:
    return np.stack([_decode(sample[str(k)]) for k in range(length)])


def _one_thread(_: int) -> None:
    cv2.setNumThreads(0)


def _loader(data: Any, workers: int, batch_size: int | None, **options: Any) -> DataLoader[Any]:
    return DataLoader(data, batch_size=batch_size, num_workers=workers, worker_init_fn=_one_thread, **options)


def webdataset(tars: list[str], length: int, workers: int, batch_size: int) -> DataLoader[Any]:
    """Plain WebDataset as its documentation has it: shards shuffled, a buffer of 100, batched in the worker."""
    import webdataset as wds

    def decoded(sample: dict[str, Any]) -> np.ndarray:
        return np.stack([_decode(sample[f"{k}.jpg"]) for k in range(length)])

    def collate(samples: list[np.ndarray]) -> torch.Tensor:
        return torch.from_numpy(np.stack(samples))

    data = wds.WebDataset(tars, shardshuffle=len(tars), seed=0).shuffle(100).map(decoded)
    return _loader(data.batched(batch_size, collation_fn=collate, partial=False), workers, None)


def litdata(folder: str, length: int, workers: int, batch_size: int) -> Any:
    """LitData with its own loader."""
    from litdata import StreamingDataLoader, StreamingDataset

    class Windows(StreamingDataset):  # type: ignore[misc]
        def __getitem__(self, index: Any) -> np.ndarray:
            return _window(super().__getitem__(index), length)

    return StreamingDataLoader(
        Windows(folder, shuffle=True), batch_size=batch_size, num_workers=workers, drop_last=True
    )


def mosaic(folder: str, length: int, workers: int, batch_size: int) -> DataLoader[Any]:
    """MosaicML Streaming."""
    from streaming import StreamingDataset

    class Windows(StreamingDataset):  # type: ignore[misc]
        def __getitem__(self, index: int) -> np.ndarray:
            return _window(super().__getitem__(index), length)

    data = Windows(local=folder, shuffle=True, batch_size=batch_size)
    return _loader(data, workers, batch_size, drop_last=True)


class RawWindows(Dataset[np.ndarray]):
    """Windows straight from the raw files, every frame decoded and resized for every window that it is in."""

    def __init__(self, paths: list[Path], windows: list[list[int]], size: Size, *, reduced: bool) -> None:
        self._paths, self._windows, self._size = paths, windows, size
        self._flags = cv2.IMREAD_REDUCED_COLOR_2 if reduced else cv2.IMREAD_COLOR

    def __len__(self) -> int:
        return len(self._windows)

    def __getitem__(self, index: int) -> np.ndarray:
        return np.stack([self._read(row) for row in self._windows[index]])

    def _read(self, row: int) -> np.ndarray:
        picture = cv2.imread(str(self._paths[row]), self._flags)
        assert picture is not None
        width, height = self._size
        # The half-size picture is smaller than 640x352 asks for by a hair's breadth at most.
        return cv2.cvtColor(
            cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2RGB
        )


def raw(
    paths: list[Path], windows: list[list[int]], size: Size, workers: int, batch_size: int, *, reduced: bool
) -> DataLoader[Any]:
    """Raw files; `reduced` decodes at half the size, which is the fair way."""
    data = RawWindows(paths, windows, size, reduced=reduced)
    return _loader(data, workers, batch_size, drop_last=True, shuffle=True)


def endless(loader: Any) -> Iterator[Any]:
    """Epoch after epoch."""
    while True:
        yield from loader
