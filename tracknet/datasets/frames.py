"""The same samples straight from raw folders: no shards, every frame decoded and resized each time.

For trying a data set out, and as the reference that the stream is tested against.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch.utils.data import Dataset

from tracknet.datasets.batch import Batch
from tracknet.datasets.batch_assembler import BatchAssembler
from tracknet.datasets.reader import CachedFrames, Frame
from tracknet.datasets.sample_spec import SampleSpec
from tracknet.datasets.schema import LabelledClip
from tracknet.datasets.table import FrameTable
from tracknet.datasets.windows import make_windows
from tracknet.utils.errors import RunError, UserError
from tracknet.utils.geometry import Size
from tracknet.utils.images import ImageError, read_image, resize_frame
from tracknet.utils.video import is_video


class RawFrameReader:
    """Reads frames of labelled clips from their files, at the input size."""

    def __init__(self, clips: Sequence[LabelledClip], size: Size) -> None:
        self._paths: list[Path] = [frame.path for clip in clips for frame in clip.frames]
        if video := next(filter(is_video, self._paths), None):
            raise UserError(
                f"{video}: frames of a video can be read in order only",
                remedy="build shards from it: python -m pipelines.build_shards --root YOUR_DATA",
            )
        self._size = size

    def read(self, row: int) -> Frame:
        """The frame of one row: uint8 RGB `[H, W, 3]`. Raises RunError if its file is no whole picture."""
        path = self._paths[row]
        try:
            return resize_frame(read_image(path), self._size)
        except (ImageError, OSError) as error:
            raise RunError(f"{path}: {error}") from None

    def origin(self, row: int) -> str:
        """The frame's file."""
        return str(self._paths[row])


class RawFrames(Dataset[Batch]):
    """Map-style: item `i` is a batch of one, the window anchored at frame `i`. `Batch.cat` collates."""

    def __init__(self, clips: Sequence[LabelledClip], spec: SampleSpec, *, epoch: int = 0) -> None:
        """Describes the samples.

        Args:
            clips: as `pipelines.sources` gives them, in natural order.
            spec: what a sample looks like.
            epoch: with the spec's seed it fixes the augmentation.
        """
        self.table = FrameTable.from_clips(clips)
        self.epoch = epoch
        windows = make_windows(self.table, spec.sequence)
        self._assembler = BatchAssembler(self.table, windows, spec)
        span = (spec.sequence.length - 1) * spec.sequence.stride + 1
        self._source = CachedFrames(RawFrameReader(clips, spec.input_size), span)

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, index: int) -> Batch:
        if not 0 <= index < len(self):
            raise IndexError(f"window {index} of {len(self)}")
        return self.sample(index, index)

    def sample(self, window: int, drawn_for: int) -> Batch:
        """A window augmented as another one is, such as the first of its piece of a stream's shuffle."""
        ids, draws = np.array([[window], [drawn_for]], np.int64)
        return self._assembler.assemble(self._source, ids, epoch=self.epoch, draws=draws)
