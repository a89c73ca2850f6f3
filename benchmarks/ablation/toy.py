"""A row of an experiment made so small that its whole way can be rehearsed in a minute."""

from __future__ import annotations

from benchmarks.ablation.experiment import STEPS_KEY
from benchmarks.ablation.sizes import grid_of, sized
from tracknet.utils.geometry import Size
from tracknet.utils.settings import Config

# A rehearsal's input, in cells of the coarsest grid: halved four times, or cut into patches, it has whole cells.
_TOY_CELLS = Size(6, 3)
_TOY_VIT = {"hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}


def toy_overrides(config: Config, steps: int) -> list[str]:
    """What makes a configuration small enough for a rehearsal on three rendered games.

    Args:
        config: of a row; it says `data.resize`, as all experiments do.
        steps: optimizer steps, of two windows each.

    Returns:
        `key=value`, to come after all others: about 96x48 pixels and a backbone of random weights.
    """
    is_vit, cell = not config.model.backbone.is_none, grid_of(config)
    overrides = [
        *sized(config, Size(_TOY_CELLS.width * cell, _TOY_CELLS.height * cell)),
        "data.val_games=[2]",
        "data.test_games=[3]",
        "data.num_shards=2",
        "data.loader.workers=0",
        "training.batch_size=2",
        "training.accumulate=1",
        f"{STEPS_KEY}={steps}",
        "training.epochs=1",
        "training.device=cpu",
        "training.amp=off",
        "training.threads=1",
    ]
    if is_vit:
        overrides += [
            f"model.backbone.name={'dinov2' if cell == 14 else 'vit'}",
            "model.backbone.pretrained=false",
            *(f"model.backbone.config.{key}={value}" for key, value in _TOY_VIT.items()),
        ]
        if layers := config.model.backbone.layers:
            overrides.append(f"model.backbone.layers=[{','.join(str(n + 1) for n in range(len(layers)))}]")
            overrides.append(f"model.backbone.config.num_hidden_layers={len(layers)}")
        if cell == 14:
            # DINOv2 says the width of its MLP as a ratio.
            overrides.remove("model.backbone.config.intermediate_size=32")
    return overrides
