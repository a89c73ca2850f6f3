"""What a sample looks like, by the configuration."""

from __future__ import annotations

import pytest

from tests.datasets.conftest import CELLS, STORED
from tracknet.datasets.sample_spec import SampleSpec
from tracknet.utils.config import load_config


def test_for_training_takes_its_numbers_from_the_config() -> None:
    config = load_config(
        overrides=[
            "data.resize=[96,48]",
            "model.heatmap.size=[48,24]",
            "model.heatmap.sigma=1.5",
            "model.head.maps=all",
            "data.sequence.length=5",
            "training.seed=9",
            "training.loss.visibility_weights={2: 0.5}",
        ]
    )
    spec = SampleSpec.for_training(config, STORED)
    assert (spec.input_size, spec.heatmap_size, spec.sigma_cells, spec.seed) == (STORED, CELLS, 1.5, 9)
    assert spec.map_frames == (0, 1, 2, 3, 4)
    assert spec.class_weights == (0.0, 1.0, 0.5, 1.0)  # absent balls are masked
    assert spec.augment == config.data.augment


@pytest.mark.parametrize(
    ("overrides", "map_frames", "absent_weight", "augmented"),
    [
        (["data.sequence.anchor=last"], (2,), 0.0, True),
        (["training.loss.absent=negative"], (1,), 1.0, True),
        (["training.loss.absent=negative", "training.loss.visibility_weights={0: 0.1}"], (1,), 0.1, True),
        (["data.augment.enabled=false"], (1,), 0.0, False),
    ],
)
def test_for_training_variants(
    overrides: list[str], map_frames: tuple[int, ...], absent_weight: float, augmented: bool
) -> None:
    spec = SampleSpec.for_training(load_config(overrides=overrides), STORED)
    assert spec.map_frames == map_frames
    assert spec.class_weights[0] == absent_weight
    assert (spec.augment is not None) == augmented
