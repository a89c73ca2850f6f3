"""Windows whose ball is changed before the picture as a whole is: all their frames at once, and their labels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tracknet.datasets.augmentations import NOTHING_RGB, Augmentation
from tracknet.datasets.ball_changes import BallChanges
from tracknet.datasets.faults import FrameFault
from tracknet.datasets.flights import Shown
from tracknet.datasets.plan import ball_rng
from tracknet.datasets.reader import CachedFrames, Frame, Version
from tracknet.datasets.sample_spec import SampleSpec
from tracknet.datasets.shard_cache import CacheError
from tracknet.datasets.table import FrameTable
from tracknet.datasets.windows import Windows
from tracknet.datasets.zoom import zoomed
from tracknet.utils.errors import RunError
from tracknet.utils.geometry import FloatArray, transform_points
from tracknet.utils.settings import AugmentConfig


class ChangedWindows:
    """Fills windows of T frames, as `WindowFrames` does with those that stay as they are."""

    def __init__(
        self,
        table: FrameTable,
        windows: Windows,
        spec: SampleSpec,
        augment: AugmentConfig,
        *,
        skip_bad_frames: bool,
    ) -> None:
        """Prepares; reads nothing.

        Args:
            table: the frames.
            windows: of the table.
            spec: what a sample looks like.
            augment: of the spec.
            skip_bad_frames: tell of a frame that cannot be had, instead of raising.
        """
        self._table = table
        self._spec = spec
        self._zoom = augment.zoom
        self._changes = BallChanges(augment, table, windows, spec.input_size)
        self._skip = skip_bad_frames

    def fill(
        self,
        source: CachedFrames,
        augmentation: Augmentation,
        randomness: Version,
        window: int,
        rows: npt.NDArray[np.int64],
        to_input: FloatArray,
        frames: npt.NDArray[np.uint8],
        xy_px: FloatArray,
        visibility: npt.NDArray[np.int8],
    ) -> tuple[Augmentation, list[FrameFault]]:
        """Fills the frames of a window, and changes its labels.

        Args:
            source: where the frames come from.
            augmentation: of the window.
            randomness: pass and window that fix the changes.
            window: its id.
            rows: int64 `[T]`, of the table.
            to_input: `[3, 3]`, frame pixels to input pixels.
            frames: uint8 `[T, H, W, 3]`, written to.
            xy_px: float64 `[M, 2]`, the labels of its maps in frame pixels; written to.
            visibility: int8 `[M]`, of its maps; written to.

        Returns:
            The transform with the window's own magnification, and the frames that could not be had.

        Raises:
            RunError: a frame cannot be had, and is not to be skipped.
        """
        spec, asked = self._spec, 0

        def read(row: int) -> Frame:
            nonlocal asked
            asked = row
            return source.read(row)

        def read_beside(row: int) -> Frame:
            nonlocal asked
            asked = row
            return source.read_beside(row)

        distinct, place = np.unique(rows, return_inverse=True)
        points = transform_points(to_input, self._table.xy_px[distinct])
        rng = ball_rng(spec.seed, *randomness)
        try:
            shown = Shown([read(row) for row in distinct.tolist()], points, self._table.visibility[distinct])
            changed = self._changes.change(window, distinct, shown, rng, read_beside)
        except CacheError:
            raise
        except RunError as error:
            if not self._skip:
                raise
            frames[:] = NOTHING_RGB
            return augmentation, [FrameFault.bad(asked, error)]
        augmentation = zoomed(augmentation, self._zoom, spec.input_size, changed.points, rng)
        for position, number in enumerate(place.tolist()):
            if position > 0 and number == place[position - 1]:
                frames[position] = frames[position - 1]
            else:
                augmentation.apply(changed.frames[number], out=frames[position])
        if changed is not shown:
            mapped = place[list(spec.map_frames)]
            xy_px[:] = transform_points(np.linalg.inv(to_input), changed.points[mapped])
            visibility[:] = changed.visibility[mapped]
        return augmentation, []
