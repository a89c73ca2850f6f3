"""Losses against plain loops, their masks, and their gradients."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.gaussians import draw_gaussian
from tracknet.training.losses import LOSSES, build_loss
from tracknet.utils.settings import LossConfig

torch.set_num_threads(1)
NAMES: list[Any] = sorted(LOSSES)


def some_batch(
    seed: int = 0, *, batch: int = 2, maps: int = 3, absent: bool = True, dtype: torch.dtype = torch.float64
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    targets = np.zeros((batch, maps, 7, 9))
    for index in np.ndindex(batch, maps):
        if not absent or index != (0, 0):
            draw_gaussian(targets[index], rng.uniform(0, 8), rng.uniform(0, 6), 1.3)
    logits = torch.from_numpy(rng.normal(-1, 2, targets.shape)).to(dtype)
    weights = torch.from_numpy(rng.uniform(0.2, 2, (batch, maps))).to(dtype)
    weights[-1, -1] = 0
    return logits.requires_grad_(), torch.from_numpy(targets).to(dtype), weights


def by_loops(
    name: str, logits: Any, targets: Any, weights: Any, alpha: float, beta: float, positive: float = 1.0
) -> float:
    """The same sums, one cell at a time."""
    z, y, w = logits.detach().numpy(), targets.numpy(), weights.numpy()
    masses = [
        sum(v * v for v in y[b, m].ravel())
        for b, m in np.ndindex(*w.shape)
        if w[b, m] > 0 and y[b, m].max() > 0
    ]
    mass = sum(masses) / len(masses) if masses else 1.0
    total = 0.0
    for b, m in np.ndindex(*w.shape):
        cost, peak = 0.0, y[b, m].max()
        for r, c in np.ndindex(*y.shape[2:]):
            p, t = 1 / (1 + math.exp(-z[b, m, r, c])), y[b, m, r, c]
            of_ball = 1 + (positive - 1) * t
            if name == "mse":
                cost += of_ball * (p - t) ** 2 / mass
            elif name == "focal" and t == peak and peak > 0:
                cost -= positive * (1 - p) ** alpha * math.log(p)
            elif name == "wbce":
                entropy = (1 - p) ** 2 * t * math.log(p) + p**2 * (1 - t) * math.log(1 - p)
                cost -= of_ball * entropy / mass
            elif name == "focal":
                cost -= (1 - t) ** beta * p**alpha * math.log(1 - p)
            else:
                entropy = -(t * math.log(p) + (1 - t) * math.log(1 - p))
                cost += of_ball * abs(t - p) ** alpha * entropy / mass
        total += w[b, m] * cost
    return total / w.sum()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("alpha", "beta"), [(2.0, 4.0), (0.0, 0.0), (1.5, 2.0)])
@pytest.mark.parametrize("seed", [0, 1])
def test_it_is_the_sum_it_says(name: Any, alpha: float, beta: float, seed: int) -> None:
    logits, targets, weights = some_batch(seed)
    loss = build_loss(LossConfig(name=name, focal_alpha=alpha, focal_beta=beta))(logits, targets, weights)
    assert loss.item() == pytest.approx(by_loops(name, logits, targets, weights, alpha, beta), rel=1e-9)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("positive", [0.5, 4.0])
def test_the_balls_cells_weigh_what_they_should(name: Any, positive: float) -> None:
    logits, targets, weights = some_batch()
    loss = build_loss(LossConfig(name=name, positive_weight=positive))(logits, targets, weights)
    expected = by_loops(name, logits, targets, weights, 2.0, 4.0, positive)
    assert loss.item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", ["mse", "quality_focal"])
def test_a_positive_weight_leaves_the_blob_its_shape(name: Any) -> None:
    _, targets, weights = some_batch(absent=False)
    truth = targets.clamp(1e-6, 1 - 1e-6)
    logits = torch.logit(truth).requires_grad_()
    build_loss(LossConfig(name=name, positive_weight=10))(logits, truth, weights).backward()
    assert logits.grad is not None
    assert logits.grad.abs().max() < 1e-6


def costs_of_windows(name: Any, logits: Any, targets: Any, weights: Any) -> torch.Tensor:
    """Each window's part of the weighted sum, before the division."""
    whole = build_loss(LossConfig(name=name))
    parts = []
    for one in range(len(logits)):
        only = torch.zeros_like(weights)
        only[one] = weights[one]
        # The scale of a ball is the batch's.
        mass = targets.square().sum((-2, -1))[weights > 0]
        mass = mass[mass > 0].mean()
        parts.append((whole.per_map(logits, targets, mass) * only).sum())
    return torch.stack(parts)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("fraction", "kept"), [(0.25, 2), (0.5, 3), (0.01, 1), (0.99, 6)])
def test_only_the_hard_windows_are_learned_from(name: Any, fraction: float, kept: int) -> None:
    """Of 7 windows one is masked: it is neither learned from nor part of the share."""
    logits, targets, weights = some_batch(batch=7, maps=2)
    weights[3] = 0
    loss = build_loss(LossConfig(name=name, hard_fraction=fraction))(logits, targets, weights)
    loss.backward()
    assert logits.grad is not None
    costs = costs_of_windows(name, logits.detach(), targets, weights)
    hard = costs.topk(kept).indices.sort().values
    assert logits.grad.flatten(1).abs().amax(1).nonzero().flatten().tolist() == hard.tolist()
    assert loss.item() == pytest.approx((costs[hard].sum() / weights[hard].sum()).item(), rel=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_the_hard_windows_of_two_ranks_are_those_of_the_batch(name: Any) -> None:
    logits, targets, weights = some_batch(batch=6, absent=False)
    config = LossConfig(name=name, hard_fraction=0.34)
    expected = build_loss(config)(logits, targets, weights)
    (gradient,) = torch.autograd.grad(expected, logits)
    # What the ranks would tell each other, worked out beforehand.
    costs = costs_of_windows(name, logits.detach(), targets, weights)
    hard = torch.zeros(6, 1, dtype=torch.bool)
    hard[costs.topk(3).indices] = True
    whole_mass = targets.square().sum((-2, -1))[weights > 0]
    sums = [
        torch.stack([weights.sum(), whole_mass.sum(), (whole_mass > 0).double().sum()]),
        (weights * hard).sum()[None],
    ]
    shares = []
    for part in (slice(0, 3), slice(3, 6)):
        answers = iter(sums)
        shares.append(
            build_loss(config)(
                logits[part],
                targets[part],
                weights[part],
                total=lambda mine, answers=answers: next(answers),  # type: ignore[misc]
                every=lambda mine: costs,
            )
        )
    assert sum(share.item() for share in shares) == pytest.approx(expected.item(), rel=1e-9)
    (parts,) = torch.autograd.grad(shares[0] + shares[1], logits)
    assert torch.allclose(parts, gradient, rtol=1e-9, atol=1e-12)


def test_a_window_that_is_no_number_is_not_overlooked() -> None:
    logits, targets, weights = some_batch(batch=4)
    with torch.no_grad():
        logits[0] = float("nan")
    assert build_loss(LossConfig(hard_fraction=0.25))(logits, targets, weights).isnan()


def test_hard_windows_of_nothing_cost_nothing() -> None:
    logits, targets, weights = some_batch(batch=4)
    loss = build_loss(LossConfig(hard_fraction=0.25))(logits, targets, torch.zeros_like(weights))
    loss.backward()
    assert loss.item() == 0.0


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("alpha", [2.0, 1.0, 0.0])
def test_gradients_are_right(name: Any, alpha: float) -> None:
    logits, targets, weights = some_batch()
    loss = build_loss(LossConfig(name=name, focal_alpha=alpha))
    assert torch.autograd.gradcheck(lambda z: loss(z, targets, weights), (logits,), atol=1e-7)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_masked_has_no_say(name: Any) -> None:
    loss = build_loss(LossConfig(name=name))
    logits, targets, weights = some_batch()
    first = loss(logits, targets, weights)
    first.backward()
    assert logits.grad is not None
    assert not logits.grad[-1, -1].any()
    with torch.no_grad():
        other_logits, other_targets = logits.clone(), targets.clone()
        other_logits[-1, -1], other_targets[-1, -1] = 7.0, 0.9
        assert loss(other_logits, other_targets, weights).item() == pytest.approx(first.item(), rel=1e-12)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_all_masked_is_zero_with_a_zero_gradient(name: Any, dtype: torch.dtype) -> None:
    logits, targets, weights = some_batch(dtype=torch.float32)
    logits = logits.detach().to(dtype).requires_grad_()
    loss = build_loss(LossConfig(name=name))(logits, targets, torch.zeros_like(weights))
    loss.backward()
    assert loss.item() == 0.0
    assert logits.grad is not None
    assert not logits.grad.any()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [-200.0, -20.0, 0.0, 20.0, 200.0])
@pytest.mark.parametrize("absent", [True, False])
def test_extreme_logits_stay_finite(name: Any, value: float, absent: bool) -> None:
    logits = torch.full((1, 1, 7, 9), value, requires_grad=True)
    targets = torch.zeros(1, 1, 7, 9)
    if not absent:
        targets[0, 0, 3, 4] = 1.0
    loss = build_loss(LossConfig(name=name))(logits, targets, torch.ones(1, 1))
    loss.backward()
    assert torch.isfinite(loss)
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_targets_and_autocast_compute_in_float32(name: Any, dtype: torch.dtype) -> None:
    logits, targets, weights = some_batch(dtype=torch.float32)
    loss = build_loss(LossConfig(name=name))
    halved = targets.to(dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(logits, halved, weights)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(loss(logits, halved.float(), weights).item(), rel=1e-6)
    assert value.item() == pytest.approx(loss(logits, targets, weights).item(), rel=0.05)


def test_a_ball_missed_altogether_costs_one() -> None:
    _, targets, weights = some_batch(absent=False, dtype=torch.float32)
    empty = torch.full_like(targets, -30.0)
    loss = build_loss(LossConfig(name="mse"))
    # The mean mass is over the unmasked balls; equal weights make the mean cost exactly 1.
    assert loss(empty, targets, (weights > 0).float()).item() == pytest.approx(1.0, rel=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_scale_does_not_depend_on_the_batch_or_on_a_common_weight(name: Any) -> None:
    logits, targets, weights = some_batch()
    loss = build_loss(LossConfig(name=name))
    value = loss(logits, targets, weights).item()
    doubled = [torch.cat([tensor, tensor]) for tensor in (logits, targets, weights)]
    assert loss(*doubled).item() == pytest.approx(value)
    assert loss(logits, targets, weights * 0.1).item() == pytest.approx(value)


@pytest.mark.parametrize("name", NAMES)
def test_empty_maps_teach_emptiness(name: Any) -> None:
    logits = torch.zeros(2, 1, 7, 9, requires_grad=True)
    build_loss(LossConfig(name=name))(logits, torch.zeros(2, 1, 7, 9), torch.ones(2, 1)).backward()
    assert logits.grad is not None
    assert (logits.grad > 0).all()


@pytest.mark.parametrize("name", ["mse", "quality_focal"])
@settings(max_examples=20, deadline=None)
@given(x=st.floats(0, 8), y=st.floats(0, 6))
def test_the_regressing_losses_are_least_at_the_target(name: Any, x: float, y: float) -> None:
    targets = np.zeros((1, 1, 7, 9))
    draw_gaussian(targets[0, 0], x, y, 1.3)
    truth = torch.from_numpy(targets).clamp(1e-9, 1 - 1e-9)
    logits, ones = torch.logit(truth).requires_grad_(), torch.ones(1, 1)
    loss = build_loss(LossConfig(name=name))
    value = loss(logits, truth, ones)
    assert value.item() == pytest.approx(0, abs=1e-9)
    assert loss(logits.detach() + 0.3, truth, ones) > value
    assert loss(logits.detach() - 0.3, truth, ones) > value


def test_focal_pulls_up_only_the_peak_but_both_of_two_equal_ones() -> None:
    targets = np.zeros((1, 2, 7, 9))
    draw_gaussian(targets[0, 0], 4.2, 3.0, 1.3)
    draw_gaussian(targets[0, 1], 4.5, 3.0, 1.3)
    logits = torch.zeros(1, 2, 7, 9, dtype=torch.float64, requires_grad=True)
    build_loss(LossConfig(name="focal"))(logits, torch.from_numpy(targets), torch.ones(1, 2)).backward()
    assert logits.grad is not None
    assert (logits.grad[0, 0] < 0).nonzero().tolist() == [[3, 4]]
    assert (logits.grad[0, 1] < 0).nonzero().tolist() == [[3, 4], [3, 5]]


@pytest.mark.parametrize("name", NAMES)
def test_shapes_that_do_not_belong_together(name: Any) -> None:
    logits, targets, weights = some_batch()
    with pytest.raises(ValueError, match="do not belong together"):
        build_loss(LossConfig(name=name))(logits, targets[:, :1], weights)
    with pytest.raises(ValueError, match="do not belong together"):
        build_loss(LossConfig(name=name))(logits, targets, weights[:, 0])
