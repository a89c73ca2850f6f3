"""What a training step gets, and how one sample of it is made from a window."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from tracknet.datasets.augmentations import (
    IDENTITY,
    NOTHING_RGB,
    SAME_COLOUR,
    Augmentation,
    draw_augmentation,
)
from tracknet.datasets.ball_changes import BallChanges
from tracknet.datasets.faults import Fault
from tracknet.datasets.features import FeatureSet
from tracknet.datasets.flights import Shown
from tracknet.datasets.late_transforms import is_identity, transform_frames
from tracknet.datasets.layout import BatchLayout
from tracknet.datasets.mixup import draw_share, mix_pairs
from tracknet.datasets.plan import ball_rng, pair_rng, window_rng
from tracknet.datasets.reader import AS_STORED, CachedFrames, Frame, FrameSource, Version
from tracknet.datasets.shard_cache import CacheError
from tracknet.datasets.table import FrameTable
from tracknet.datasets.windows import Windows
from tracknet.datasets.zoom import zoomed
from tracknet.utils.errors import RunError, UserError
from tracknet.utils.geometry import Size, scaling, transform_points
from tracknet.utils.heatmap import draw_gaussians
from tracknet.utils.settings import AugmentConfig, Config, SequenceConfig

# Transforms that are in use at a time: M / W * B, 384 with 24 lanes of 16; drawing one takes as long as 0.05 decodes.
_DRAWN_KEPT = 8192
_scaling = functools.lru_cache(64)(scaling)


@dataclass
class Batch:
    """B windows of T frames with M target maps each.

    Attributes:
        frames: uint8 `[B, T, 3, H, W]`, RGB, not normalised (memory is channels-last); `[B, T, 3, 0, 0]` where the
            features are all that is wanted of them.
        heatmaps: float16 `[B, M, h, w]`, gaussians with maximum about 1; all zero where there is no ball.
        weights: float32 `[B, M]`, of each map in the loss; 0 is masked.
        xy_px: float32 `[B, M, 2]`, true (x, y) in *frame* pixels, NaN where the ball is absent. Of the picture as it
            is: where `data.augment` moved or hid the ball, so are these; of two mixed windows, the larger share's.
        visibility: uint8 `[B, M]`, likewise.
        to_frame: float64 `[B, 3, 3]`, input pixels (as augmented) to frame pixels.
        late_matrix: float64 `[B, 3, 3]`, what `to` will do to the frames: where their pixels go; the identity where the
            workers have augmented them.
        late_colour: float64 `[B, 3, 4]`, likewise: what becomes of (R, G, B, 1), 0..255.
        rows: int64 `[B, M]`, rows of the frame table that the maps stand for.
        valid: bool `[B]`, false for windows that only fill up the last batch of an evaluation, or lack a frame.
        padded: bool `[B]`, the window repeats a frame at its clip's end.
        features: float16 `[B, T, C, Hp, Wp]` of the frames (memory is channels-last), where they are streamed.
        step: of the epoch.
        faults: frames that could not be had (their windows are masked: `weights` 0, `valid` false, empty
            heatmaps, the frame itself grey) or were slow to come.
    """

    frames: torch.Tensor
    heatmaps: torch.Tensor
    weights: torch.Tensor
    xy_px: torch.Tensor
    visibility: torch.Tensor
    to_frame: torch.Tensor
    late_matrix: torch.Tensor
    late_colour: torch.Tensor
    rows: torch.Tensor
    valid: torch.Tensor
    padded: torch.Tensor
    features: torch.Tensor | None = None
    step: int = 0
    faults: tuple[Fault, ...] = ()

    @classmethod
    def over(
        cls, buffer: torch.Tensor, layout: BatchLayout, *, step: int, faults: tuple[Fault, ...] = ()
    ) -> Batch:
        """The batch that lies in a uint8 buffer; its tensors are views of it."""
        parts = layout.tensors(buffer)
        for name in ("frames", "features"):
            if name in parts:
                parts[name] = parts[name].permute(0, 1, 4, 2, 3)
        return cls(**parts, step=step, faults=faults)

    def __len__(self) -> int:
        return len(self.rows)

    def to(self, device: torch.device) -> Batch:
        """The same batch with what the model and the loss take on a device; the rest is for the CPU.

        Frames that the workers left as they were are augmented there.
        """
        moved = {
            name: getattr(self, name).to(device, non_blocking=True)
            for name in self._names("frames", "features", "heatmaps", "weights")
        }
        if not is_identity(self.late_matrix, self.late_colour):
            moved["frames"] = transform_frames(moved["frames"], self.late_matrix, self.late_colour)
            moved["late_matrix"] = torch.eye(3, dtype=torch.float64).repeat(len(self), 1, 1)
            moved["late_colour"] = torch.eye(3, 4, dtype=torch.float64).repeat(len(self), 1, 1)
        return replace(self, **moved)

    def part(self, start: int, stop: int) -> Batch:
        """The windows `start` to `stop` as a batch of views; its faults stay with the whole."""
        names = self._names(*TENSORS, "features")
        return replace(self, faults=(), **{name: getattr(self, name)[start:stop] for name in names})

    def pin_memory(self) -> Batch:
        """The same batch in pinned memory."""
        return replace(
            self, **{name: getattr(self, name).pin_memory() for name in self._names(*TENSORS, "features")}
        )

    @staticmethod
    def cat(batches: Sequence[Batch]) -> Batch:
        """Several batches as one: the `collate_fn` of a map-style loader."""
        names = batches[0]._names(*TENSORS, "features")
        columns: dict[str, Any] = {name: torch.cat([getattr(b, name) for b in batches]) for name in names}
        faults = tuple(fault for batch in batches for fault in batch.faults)
        return Batch(**columns, step=batches[0].step, faults=faults)

    def _names(self, *names: str) -> list[str]:
        return [name for name in names if getattr(self, name) is not None]


TENSORS = tuple(f.name for f in fields(Batch) if f.name not in ("features", "step", "faults"))
"""What every batch has."""


@dataclass(frozen=True)
class SampleSpec:
    """Everything that decides what a sample looks like, apart from the frames themselves.

    Attributes:
        sequence: length, stride and anchor of the windows.
        input_size: of the frames, input pixels.
        heatmap_size: of the targets, cells.
        sigma_cells: of the targets.
        map_frames: positions in the window that get a map: M of them.
        class_weights: loss weight of visibility 0, 1, 2, 3; 0 for absent balls that are masked.
        augment: `None` for none.
        seed: of the augmentation.
        late: pixels are augmented on the model's device, not by the workers; nothing else differs, and so it is no
            part of what a stream is described by.
    """

    sequence: SequenceConfig
    input_size: Size
    heatmap_size: Size
    sigma_cells: float
    map_frames: tuple[int, ...]
    class_weights: tuple[float, float, float, float]
    augment: AugmentConfig | None
    seed: int
    late: bool = False

    @property
    def shares_transforms(self) -> bool:
        """Whether the windows of a piece of the shuffle are augmented alike."""
        return self.augment is not None and self.augment.per == "run"

    @property
    def shares_warped_frames(self) -> bool:
        """Whether they share the augmented frames too."""
        return self.shares_transforms and not self.late

    @classmethod
    def for_training(cls, config: Config, input_size: Size, device_type: str = "cpu") -> SampleSpec:
        """The samples that a configuration trains on.

        Args:
            config: the whole configuration.
            input_size: of the frames.
            device_type: of the model, torch's name: with `data.augment.by=auto` a GPU augments for itself.
        """
        sequence, loss = config.data.sequence, config.training.loss
        all_maps = config.model.head.maps == "all"
        weights = [loss.visibility_weights.get(code, 1.0) for code in range(4)]
        if loss.absent == "mask":
            weights[0] = 0.0
        return cls(
            sequence=sequence,
            input_size=input_size,
            heatmap_size=config.model.heatmap.size,
            sigma_cells=config.model.heatmap.sigma,
            map_frames=tuple(range(sequence.length)) if all_maps else (sequence.anchor_index,),
            class_weights=(weights[0], weights[1], weights[2], weights[3]),
            augment=config.data.augment if config.data.augment.enabled else None,
            seed=config.training.seed,
            late=config.data.augment.is_late(device_type),
        )


class BatchAssembler:
    """Makes batches of windows: reads, augments, draws targets, straight into the batch's arrays."""

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
        self._skip = skip_bad_frames
        self._to_heatmap = scaling(spec.input_size, spec.heatmap_size)
        self._class_weights = np.array(spec.class_weights, np.float32)
        self._drawn: dict[Version, Augmentation] = {}
        self._changes = None
        if spec.augment is not None and spec.augment.of_windows():
            self._changes = BallChanges(spec.augment, table, windows, spec.input_size)

    def layout(self, windows: int) -> BatchLayout:
        """How a batch of so many windows lies in memory."""
        spec = self.spec
        return BatchLayout.of(
            windows=windows,
            length=spec.sequence.length,
            maps=len(spec.map_frames),
            input_size=spec.input_size if self._with_frames else Size(0, 0),
            heatmap_size=spec.heatmap_size,
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
    ) -> tuple[Fault, ...]:
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
        faults: list[Fault] = []
        bad_slots: list[int] = []
        for slot, augmentation in enumerate(drawn):
            bad: list[Fault] = []
            if self._changes is not None:
                drawn[slot], bad = self._fill_changed(
                    sources[slot],
                    augmentation,
                    randomness[slot],
                    int(window_ids[slot]),
                    window_rows[slot],
                    arrays["frames"][slot],
                    xy_px[slot],
                    visibility[slot],
                )
            elif self._with_frames:
                bad = self._fill_frames(
                    sources[slot], augmentation, versions[slot], rows[slot], arrays["frames"][slot]
                )
            if tokens is not None:
                bad += self._fill_tokens(tokens[slot], rows[slot], arrays["features"][slot])
            if bad:
                faults += bad
                bad_slots.append(slot)
        to_input = np.stack([augmentation.matrix for augmentation in drawn]) @ to_input
        arrays["late_matrix"][:], arrays["late_colour"][:] = IDENTITY.matrix, SAME_COLOUR
        if spec.late:
            arrays["late_matrix"][:] = [augmentation.matrix for augmentation in drawn]
            arrays["late_colour"][:] = [
                SAME_COLOUR if augmentation.colour is None else augmentation.colour for augmentation in drawn
            ]
        arrays["xy_px"][:], arrays["visibility"][:] = xy_px, visibility
        self._fill_targets(to_input, xy_px, visibility, arrays["heatmaps"], arrays["weights"])
        for name in ("valid", "weights", "heatmaps"):
            arrays[name][bad_slots] = 0
        if spec.augment is not None and spec.augment.mixup.prob > 0:
            whole = [n for n in range(0, len(draws) - 1, 2) if arrays["valid"][n : n + 2].all()]
            mixup, seed = spec.augment.mixup, spec.seed
            rngs = (pair_rng(seed, int(epochs[first]), int(window_ids[first])) for first in whole)
            mix_pairs(arrays, zip(whole, (draw_share(mixup, rng) for rng in rngs), strict=True))
        arrays["to_frame"][:] = np.linalg.inv(to_input)
        return tuple(faults)

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

    def _fill_frames(
        self,
        source: CachedFrames,
        augmentation: Augmentation,
        version: Version,
        rows: list[int],
        frames: npt.NDArray[np.uint8],
    ) -> list[Fault]:
        """Fills the T frames of a window, uint8 `[T, H, W, 3]`; returns those that could not be had."""
        faults: list[Fault] = []
        shared = self.spec.shares_warped_frames
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
                faults.append(Fault.bad(row, error))
                frames[position] = NOTHING_RGB
                continue
            if shared:
                frames[position] = frame
            else:
                augmentation.apply(frame, out=frames[position])
        return faults

    def _fill_changed(
        self,
        source: CachedFrames,
        augmentation: Augmentation,
        randomness: Version,
        window: int,
        rows: npt.NDArray[np.int64],
        frames: npt.NDArray[np.uint8],
        xy_px: npt.NDArray[np.float64],
        visibility: npt.NDArray[np.int8],
    ) -> tuple[Augmentation, list[Fault]]:
        """As `_fill_frames`, with the ball changed before: its labels `[M, 2]` and `[M]` too, in place.

        Returns:
            The transform with the window's own magnification, and the frames that could not be had.
        """
        spec, asked = self.spec, 0
        assert self._changes is not None and spec.augment is not None

        def read(row: int) -> Frame:
            nonlocal asked
            asked = row
            return source.read(row)

        def read_beside(row: int) -> Frame:
            nonlocal asked
            asked = row
            return source.read_beside(row)

        distinct, place = np.unique(rows, return_inverse=True)
        to_input = _scaling(Size(*self.table.source_size[rows[0]].tolist()), spec.input_size)
        points = transform_points(to_input, self.table.xy_px[distinct])
        rng = ball_rng(spec.seed, *randomness)
        try:
            shown = Shown([read(row) for row in distinct.tolist()], points, self.table.visibility[distinct])
            changed = self._changes.change(window, distinct, shown, rng, read_beside)
        except CacheError:
            raise
        except RunError as error:
            if not self._skip:
                raise
            frames[:] = NOTHING_RGB
            return augmentation, [Fault.bad(asked, error)]
        augmentation = zoomed(augmentation, spec.augment.zoom, spec.input_size, changed.points, rng)
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

    def _fill_tokens(
        self, source: CachedFrames, rows: list[int], tokens: npt.NDArray[np.float16]
    ) -> list[Fault]:
        """Fills the tokens of T frames, float16 `[T, Hp, Wp, C]`; returns those that could not be had."""
        faults: list[Fault] = []
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
                faults.append(Fault.bad(row, error))
                room[position] = 0
        return faults

    def _fill_targets(
        self,
        to_input: npt.NDArray[np.float64],
        xy_px: npt.NDArray[np.float64],
        visibility: npt.NDArray[np.int8],
        heatmaps: npt.NDArray[np.float16],
        weights: npt.NDArray[np.float32],
    ) -> None:
        """Draws the maps `[B, M, h, w]` of all windows with labels `[B, M, 2]`, and sets their weights `[B, M]`."""
        spec = self.spec
        points = transform_points(to_input, xy_px)
        inside = spec.input_size.contains_each(points[..., 0], points[..., 1])
        weights[:] = self._class_weights[visibility]
        # Augmentation moved the ball out of the picture: it is as absent as any.
        weights[~np.isnan(points[..., 0]) & ~inside] = spec.class_weights[0]
        heatmaps.fill(0)
        cells = transform_points(self._to_heatmap, points)[inside]
        maps = [heatmaps[slot, number] for slot, number in np.argwhere(inside).tolist()]
        draw_gaussians(maps, cells, spec.sigma_cells)
