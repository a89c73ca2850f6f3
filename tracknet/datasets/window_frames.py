"""The frames of one window, or a frozen backbone's tokens of them, written where the batch has them.

A frame that comes twice, as at a clip's ends, is read once. One that cannot be had ends the work, or is grey and told.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tracknet.datasets.augmentations import NOTHING_RGB, Augmentation
from tracknet.datasets.faults import FrameFault
from tracknet.datasets.reader import CachedFrames, Version
from tracknet.datasets.sample_spec import SampleSpec
from tracknet.datasets.shard_cache import CacheError
from tracknet.utils.errors import RunError


class WindowFrames:
    """Fills windows of T frames."""

    def __init__(self, spec: SampleSpec, *, skip_bad_frames: bool) -> None:
        """Prepares; reads nothing.

        Args:
            spec: what a sample looks like.
            skip_bad_frames: tell of a frame that cannot be had, instead of raising.
        """
        self._shared = spec.shares_warped_frames
        self._skip = skip_bad_frames

    def fill(
        self,
        source: CachedFrames,
        augmentation: Augmentation,
        version: Version,
        rows: list[int],
        frames: npt.NDArray[np.uint8],
    ) -> list[FrameFault]:
        """Fills the frames of a window.

        Args:
            source: where they come from.
            augmentation: of the window.
            version: in which the source keeps its frames for the neighbours, where they share the augmented ones.
            rows: of the table, T.
            frames: uint8 `[T, H, W, 3]`, written to.

        Returns:
            The frames that could not be had.

        Raises:
            RunError: a frame cannot be had, and is not to be skipped.
        """
        faults: list[FrameFault] = []
        shared = self._shared
        for position, row in enumerate(rows):
            if position > 0 and row == rows[position - 1]:
                frames[position] = frames[position - 1]
                continue
            try:
                frame = source.read(row, version, augmentation.apply) if shared else source.read(row)
            except CacheError:
                raise
            except RunError as error:
                if not self._skip:
                    raise
                faults.append(FrameFault.bad(row, error))
                frames[position] = NOTHING_RGB
                continue
            if shared:
                frames[position] = frame
            else:
                augmentation.apply(frame, out=frames[position])
        return faults

    def fill_tokens(
        self, source: CachedFrames, rows: list[int], tokens: npt.NDArray[np.float16]
    ) -> list[FrameFault]:
        """Fills the tokens of T frames, float16 `[T, Hp, Wp, C]`; returns and raises as `fill` does."""
        faults: list[FrameFault] = []
        room = tokens.view(np.uint8).reshape(len(rows), -1)
        for position, row in enumerate(rows):
            if position > 0 and row == rows[position - 1]:
                room[position] = room[position - 1]
                continue
            try:
                room[position] = source.read(row)
            except CacheError:
                raise
            except RunError as error:
                if not self._skip:
                    raise
                faults.append(FrameFault.bad(row, error))
                room[position] = 0
        return faults
