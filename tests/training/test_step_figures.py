"""A step's figures are those of its parts, and nothing is read from the device before they are asked for."""

from __future__ import annotations

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tests.models.conftest import build_tiny_model
from tracknet.datasets.batch import Batch
from tracknet.training.step_figures import StepFigures
from tracknet.utils.geometry import Size, scaling


class NoReading(TorchDispatchMode):
    """Fails where a number of a tensor is read, for which a GPU would be waited for."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        assert "_local_scalar_dense" not in str(func), "a number was read"
        assert "nonzero" not in str(func), "a size was read"
        return func(*args, **(kwargs or {}))


def part_of(cells: list[tuple[int, int] | None], size: Size, heatmap: Size) -> tuple[Batch, torch.Tensor]:
    """Windows with a ball at these cells, or none, and logits that find each one cell to the right."""
    count = len(cells)
    heatmaps = torch.zeros(count, 1, heatmap.height, heatmap.width, dtype=torch.float16)
    logits = torch.full(heatmaps.shape, -5.0)
    xy_px = torch.full((count, 1, 2), float("nan"))
    to_input = torch.as_tensor(scaling(heatmap, size))
    for number, cell in enumerate(cells):
        x, y = cell or (0, 0)
        logits[number, 0, y, x + 1] = 5.0
        if cell is not None:
            heatmaps[number, 0, y, x] = 1.0
            point = to_input @ torch.tensor([float(x), float(y), 1.0], dtype=torch.float64)
            xy_px[number, 0] = point[:2].float()
    batch = Batch(
        frames=torch.zeros(count, 3, 3, size.height, size.width, dtype=torch.uint8),
        heatmaps=heatmaps,
        weights=torch.ones(count, 1),
        xy_px=xy_px,
        visibility=torch.ones(count, 1, dtype=torch.uint8),
        to_frame=torch.eye(3, dtype=torch.float64).expand(count, 3, 3),
        late_matrix=torch.eye(3, dtype=torch.float64).expand(count, 3, 3),
        late_colour=torch.eye(3, 4, dtype=torch.float64).expand(count, 3, 4),
        rows=torch.zeros(count, 1, dtype=torch.int64),
        valid=torch.tensor([cell is not None for cell in cells]),
        padded=torch.zeros(count, dtype=torch.bool),
    )
    return batch, logits


def test_figures_of_two_batches_in_parts() -> None:
    model = build_tiny_model()
    size, heatmap = model.input_size, model.config.heatmap.size
    step_px = size.width / heatmap.width
    figures = StepFigures(model)
    with NoReading():
        figures.begin_batch()
        figures.add(*part_of([(1, 1), None], size, heatmap), torch.tensor(0.25))
        figures.add(*part_of([(3, 2)], size, heatmap), torch.tensor(0.5))
        figures.begin_batch()
        figures.add(*part_of([(2, 2)], size, heatmap), torch.tensor(2.0))
    far = figures.fetch(torch.tensor(7.0), distance_px=step_px - 0.01)
    near = figures.fetch(torch.tensor(7.0), distance_px=step_px + 0.01)
    assert (far.losses, far.grad_norm) == ([0.75, 2.0], 7.0)
    assert (far.windows, far.maps, far.masked, far.balls) == (4, 4, 1, 3)
    assert (far.found, near.found) == (0, 3)
    assert far.peak == pytest.approx(4 / (1 + torch.exp(torch.tensor(-5.0)).item()))


def test_reading_a_number_is_noticed() -> None:
    with NoReading(), pytest.raises(AssertionError, match="a number was read"):
        float(torch.ones(1))


def test_balls_that_another_windows_map_would_find() -> None:
    """Of three windows two have their ball in one place: each finds the other's. Batches are apart."""
    model = build_tiny_model()
    size, heatmap = model.input_size, model.config.heatmap.size
    figures = StepFigures(model)
    figures.begin_batch()
    figures.add(*part_of([(1, 1), (3, 2)], size, heatmap), torch.tensor(0.0))
    figures.add(*part_of([(1, 1)], size, heatmap), torch.tensor(0.0))
    figures.begin_batch()
    figures.add(*part_of([(1, 1)], size, heatmap), torch.tensor(0.0))
    fetched = figures.fetch(torch.tensor(0.0), distance_px=size.width / heatmap.width + 0.01)
    assert (fetched.found, fetched.found_by_chance) == (4, pytest.approx(2 / 2))
