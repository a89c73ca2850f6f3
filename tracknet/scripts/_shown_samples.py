"""What `inspect` shows of a build: frames as stored, or windows as a training with given settings would see them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tracknet.datasets.shard_set import ShardSet
    from tracknet.reporting.sample_sheet import ShownFrame
    from tracknet.reporting.window_sheet import ShownWindow

_VISIBILITY_WORDS = {0: "0 absent", 1: "1 clear", 2: "2 hard to see", 3: "3 occluded"}


def stored_frames(splits: Sequence[ShardSet], count: int) -> list[ShownFrame]:
    """Evenly spread frames with their labels.

    Args:
        splits: of a build.
        count: how many frames, of all splits together.
    """
    from tracknet.datasets.reader import ShardReader
    from tracknet.datasets.schema import Status, Visibility
    from tracknet.datasets.spread import spread_rows
    from tracknet.datasets.table import NO_STATUS
    from tracknet.reporting.sample_sheet import ShownFrame
    from tracknet.utils.geometry import Size, scaling, transform_points

    readers = [ShardReader(shards) for shards in splits]
    frames = []
    for which, row in spread_rows([shards.table for shards in splits], count):
        shards, table = splits[which], splits[which].table
        to_stored = scaling(Size(*table.source_size[row].tolist()), shards.manifest.image_size)
        frame_xy = table.xy_px[row]
        absent = table.visibility[row] == Visibility.ABSENT
        game, clip = table.clips[table.clip_id[row]]
        frames.append(
            ShownFrame(
                key=table.keys[row],
                split=shards.split,
                game=game,
                clip=clip,
                visibility=_VISIBILITY_WORDS[int(table.visibility[row])],
                status="" if table.status[row] == NO_STATUS else Status(int(table.status[row])).name.lower(),
                xy_px=None if absent else _pair(transform_points(to_stored, frame_xy)),
                frame_xy_px=None if absent else _pair(frame_xy),
                image=readers[which].read(row),
                file=readers[which].read_bytes(row),
            )
        )
    return frames


def augmented_windows(shards: ShardSet, overrides: Sequence[str], count: int) -> list[ShownWindow]:
    """Evenly spread windows, each as in the first epoch.

    Args:
        shards: of a split, the training's if there is one.
        overrides: of the configuration, as `train` takes them.
        count: how many windows.

    Raises:
        UserError: the settings are wrong.
    """
    from dataclasses import replace

    import numpy as np

    from tracknet.datasets.batch_assembler import BatchAssembler
    from tracknet.datasets.reader import ShardReader
    from tracknet.datasets.sample_spec import SampleSpec
    from tracknet.datasets.spread import spread_rows
    from tracknet.datasets.windows import make_windows
    from tracknet.reporting.window_sheet import ShownWindow
    from tracknet.utils.config import load_config
    from tracknet.utils.geometry import transform_points

    config = load_config(overrides=overrides)
    # As stored: what steps of other sizes make of a window is the same picture.
    spec = replace(SampleSpec.for_training(config, shards.manifest.image_size), sizes=None)
    ids = np.array([row for _, row in spread_rows([shards.table], count)])
    assembler = BatchAssembler(shards.table, make_windows(shards.table, spec.sequence), spec)
    batch = assembler.assemble(ShardReader(shards), ids)
    anchor = spec.sequence.anchor_index
    column = spec.map_frames.index(anchor)
    to_input = np.linalg.inv(batch.to_frame.numpy())
    shown = []
    for slot, row in enumerate(batch.rows[:, column].tolist()):
        x, y = transform_points(to_input[slot], batch.xy_px[slot, column].numpy()).tolist()
        present = not np.isnan(x)
        shown.append(
            ShownWindow(
                caption=f"{shards.table.keys[row]}  {_VISIBILITY_WORDS[int(batch.visibility[slot, column])]}",
                frames=[np.ascontiguousarray(frame.permute(1, 2, 0).numpy()) for frame in batch.frames[slot]],
                anchor=anchor,
                xy_px=(x, y) if present else None,
                target=batch.heatmaps[slot, column].float().numpy(),
            )
        )
    return shown


def _pair(xy: Any) -> tuple[float, float]:
    return float(xy[0]), float(xy[1])
