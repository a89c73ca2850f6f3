"""`inspect --augment`: windows of a build as a training with these settings would see them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tracknet.datasets.shard_set import ShardSet
    from tracknet.reporting.window_sheet import ShownWindow

VISIBILITY_WORDS = {0: "0 absent", 1: "1 clear", 2: "2 hard to see", 3: "3 occluded"}


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
                caption=f"{shards.table.keys[row]}  {VISIBILITY_WORDS[int(batch.visibility[slot, column])]}",
                frames=[np.ascontiguousarray(frame.permute(1, 2, 0).numpy()) for frame in batch.frames[slot]],
                anchor=anchor,
                xy_px=(x, y) if present else None,
                target=batch.heatmaps[slot, column].float().numpy(),
            )
        )
    return shown
