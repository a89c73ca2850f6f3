"""Makes batches of windows: reads, augments, draws targets, straight into the batch's arrays."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from tracknet.datasets.augmentations import IDENTITY, SAME_COLOUR, Augmentation, draw_augmentation
from tracknet.datasets.batch import Batch
from tracknet.datasets.changed_windows import ChangedWindows
from tracknet.datasets.faults import FrameFault
from tracknet.datasets.features import FeatureSet
from tracknet.datasets.layout import BatchLayout
from tracknet.datasets.mixup import draw_share, mix_pairs
from tracknet.datasets.plan import pair_rng, window_rng
from tracknet.datasets.reader import AS_STORED, CachedFrames, FrameSource, Version
from tracknet.datasets.sample_spec import SampleSpec
from tracknet.datasets.table import FrameTable
from tracknet.datasets.targets import Targets
from tracknet.datasets.window_frames import WindowFrames
from tracknet.datasets.windows import Windows
from tracknet.utils.errors import UserError
from tracknet.utils.geometry import Size, scaling
from tracknet.utils.settings import MixupConfig

# Transforms that are in use at a time: M / W * B, 384 with 24 lanes of 16; drawing one takes as long as 0.05 decodes.
_DRAWN_KEPT = 8192
_scaling = functools.lru_cache(64)(scaling)


class BatchAssembler:
    """Makes batches of one table's windows."""

    def __init__(
        self,
        table: FrameTable,
        windows: Windows,
        spec: SampleSpec,
        *,
        skip_bad_frames: bool = False,
        features: FeatureSet | None = None,
    ) -> None:
        """Prepares; reads nothing.

        Args:
            table: the frames.
            windows: of the table.
            spec: what a sample looks like.
            skip_bad_frames: mask the windows of a frame that cannot be had, instead of raising.
            features: of the table's frames, which become part of the batch; not with augmentation.
        """
        if features is not None and spec.augment is not None:
            raise UserError(
                "data.features: the tokens are those of the frames as they are, which augmentation changes",
                remedy="set data.augment.enabled=false",
            )
        self._features = features
        self._with_frames = features is None or features.with_frames
        self.table = table
        self.windows = windows
        self.spec = spec
        self._frames = WindowFrames(spec, skip_bad_frames=skip_bad_frames)
        self._targets = Targets(spec)
        self._drawn: dict[Version, Augmentation] = {}
        self._changed = None
        if spec.augment is not None and spec.augment.of_windows():
            self._changed = ChangedWindows(
                table, windows, spec, spec.augment, skip_bad_frames=skip_bad_frames
            )

    def layout(self, windows: int) -> BatchLayout:
        """How a batch of so many windows lies in memory."""
        spec = self.spec
        return BatchLayout.of(
            windows=windows,
            length=spec.sequence.length,
            maps=len(spec.map_frames),
            input_size=spec.input_size if self._with_frames else Size(0, 0),
            heatmap_size=spec.heatmap_size if spec.sizes is None else None,
            tokens=None if self._features is None else self._features.info.shape,
        )

    @property
    def frame_bytes(self) -> int:
        """What a window holds of each of its frames: pixels and tokens."""
        size = self.spec.input_size
        pixels = size.width * size.height * 3 if self._with_frames else 0
        return pixels + (0 if self._features is None else self._features.info.served_bytes)

    def assemble(
        self,
        source: FrameSource,
        window_ids: npt.NDArray[np.int64],
        *,
        epoch: int | npt.NDArray[np.int64] = 0,
        draws: npt.NDArray[np.int64] | None = None,
        step: int = 0,
        valid: npt.NDArray[np.bool_] | None = None,
        tokens: CachedFrames | None = None,
    ) -> Batch:
        """One batch in memory of its own.

        Args:
            source: where the frames come from.
            window_ids: int64 `[B]`.
            epoch: see `fill`.
            draws: see `fill`.
            step: carried along.
            valid: bool `[B]`; all true where not given.
            tokens: where the features come from, if the batch has any.
        """
        layout = self.layout(len(window_ids))
        buffer = np.empty(layout.nbytes, np.uint8)
        cached = source if isinstance(source, CachedFrames) else CachedFrames(source, 0)
        sources = [cached] * len(window_ids)
        arrays = layout.arrays(buffer)
        several = None if tokens is None else [tokens] * len(window_ids)
        faults = self.fill(arrays, sources, window_ids, epoch=epoch, draws=draws, valid=valid, tokens=several)
        return Batch.over(torch.from_numpy(buffer), layout, step=step, faults=faults)

    def fill(
        self,
        arrays: dict[str, npt.NDArray[Any]],
        sources: Sequence[CachedFrames],
        window_ids: npt.NDArray[np.int64],
        *,
        epoch: int | npt.NDArray[np.int64],
        draws: npt.NDArray[np.int64] | None = None,
        valid: npt.NDArray[np.bool_] | None = None,
        tokens: Sequence[CachedFrames] | None = None,
    ) -> tuple[FrameFault, ...]:
        """Writes one batch over whatever the arrays hold.

        Args:
            arrays: of a `BatchLayout`.
            sources: where the frames of each of the B windows come from.
            window_ids: int64 `[B]`.
            epoch: with the seed and `draws` it fixes the augmentation; one for all, or int64 `[B]`.
            draws: int64 `[B]`, whose randomness each window is augmented with; its own where not given.
            valid: bool `[B]`; all true where not given.
            tokens: where the features of each window come from, if the batch has any.

        Returns:
            The frames that were skipped.

        Raises:
            RunError: a frame cannot be had, and is not to be skipped.
        """
        spec = self.spec
        epochs = np.broadcast_to(np.asarray(epoch), len(window_ids))
        draws = window_ids if draws is None else draws
        versions = self.versions(epochs, draws)
        window_rows = self.windows.rows(window_ids)
        map_rows = window_rows[:, list(spec.map_frames)]
        xy_px, visibility = self.table.xy_px[map_rows], self.table.visibility[map_rows]
        arrays["rows"][:] = map_rows
        arrays["valid"][:] = True if valid is None else valid
        arrays["padded"][:] = self.windows.padded(window_ids)
        # All that can be is done for the whole batch at once: between two frames, each of which empties the core's
        # caches, the same few lines of Python take three to five times as long.
        randomness = list(zip(epochs.tolist(), draws.tolist(), strict=True))
        drawn = [self._draw(version) for version in randomness]
        rows, sizes = window_rows.tolist(), self.table.source_size[window_rows[:, 0]].tolist()
        to_input = np.stack([_scaling(Size(*size), spec.input_size) for size in sizes])
        faults: list[FrameFault] = []
        bad_slots: list[int] = []
        for slot, augmentation in enumerate(drawn):
            bad: list[FrameFault] = []
            if self._changed is not None:
                drawn[slot], bad = self._changed.fill(
                    sources[slot],
                    augmentation,
                    randomness[slot],
                    int(window_ids[slot]),
                    window_rows[slot],
                    to_input[slot],
                    arrays["frames"][slot],
                    xy_px[slot],
                    visibility[slot],
                )
            elif self._with_frames:
                bad = self._frames.fill(
                    sources[slot], augmentation, versions[slot], rows[slot], arrays["frames"][slot]
                )
            if tokens is not None:
                bad += self._frames.fill_tokens(tokens[slot], rows[slot], arrays["features"][slot])
            if bad:
                faults += bad
                bad_slots.append(slot)
        to_input = np.stack([augmentation.matrix for augmentation in drawn]) @ to_input
        _leave_to_the_device(drawn if spec.late else [IDENTITY] * len(drawn), arrays)
        arrays["xy_px"][:], arrays["visibility"][:] = xy_px, visibility
        points = self._targets.place(to_input, xy_px, visibility, arrays["weights"])
        if spec.sizes is None:
            self._targets.draw(points, arrays["heatmaps"])
        for name in ("valid", "weights", "heatmaps"):
            arrays[name][bad_slots] = 0
        if spec.sizes is not None:
            points[bad_slots] = np.nan
            arrays["balls"][..., :2], arrays["balls"][..., 2] = points, arrays["weights"]
            arrays["mix"].fill(0)
        if spec.augment is not None and spec.augment.mixup.prob > 0:
            self._mix(spec.augment.mixup, arrays, epochs, window_ids)
        arrays["to_frame"][:] = np.linalg.inv(to_input)
        return tuple(faults)

    def _mix(
        self,
        mixup: MixupConfig,
        arrays: dict[str, npt.NDArray[Any]],
        epochs: npt.NDArray[np.int64],
        window_ids: npt.NDArray[np.int64],
    ) -> None:
        """Mixes neighbours in the batch, both of which must be whole; targets that the device draws, it mixes."""
        whole = [n for n in range(0, len(window_ids) - 1, 2) if arrays["valid"][n : n + 2].all()]
        rngs = (pair_rng(self.spec.seed, int(epochs[first]), int(window_ids[first])) for first in whole)
        shares = [draw_share(mixup, rng) for rng in rngs]
        mix_pairs(arrays, zip(whole, shares, strict=True))
        if self.spec.sizes is not None:
            arrays["mix"][whole] = shares

    def versions(self, epochs: npt.NDArray[np.int64], draws: npt.NDArray[np.int64]) -> list[Version]:
        """In which version the frames of each of B windows are kept for its neighbours."""
        if not self.spec.shares_warped_frames:
            return [AS_STORED] * len(draws)
        return list(zip(epochs.tolist(), draws.tolist(), strict=True))

    def _draw(self, randomness: Version) -> Augmentation:
        spec = self.spec
        if spec.augment is None:
            return IDENTITY
        drawn = self._drawn.get(randomness)
        if drawn is None:
            rng = window_rng(spec.seed, *randomness)
            drawn = replace(draw_augmentation(spec.augment, spec.input_size, rng), late=spec.late)
            if spec.shares_transforms:
                if len(self._drawn) >= _DRAWN_KEPT:
                    self._drawn.clear()
                self._drawn[randomness] = drawn
        return drawn


def _leave_to_the_device(drawn: Sequence[Augmentation], arrays: dict[str, npt.NDArray[Any]]) -> None:
    """Writes down the warp and the colours that the model's device applies."""
    arrays["late_matrix"][:] = [augmentation.matrix for augmentation in drawn]
    arrays["late_colour"][:] = [
        SAME_COLOUR if augmentation.colour is None else augmentation.colour for augmentation in drawn
    ]
