"""Parameter groups and the learning rate's course."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from tracknet.training.optim import build_optimizer, build_scheduler, fit_state
from tracknet.utils.settings import OptimizerConfig, SchedulerConfig


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Linear(2, 2)
        self.head = nn.Linear(2, 1)


def groups_of(
    model: nn.Module, *, pretrained: bool, **settings: float
) -> dict[str, tuple[float, float, int]]:
    optimizer = build_optimizer(
        model, OptimizerConfig(lr=0.01, weight_decay=0.1, **settings), pretrained=pretrained
    )
    return {g["name"]: (g["lr"], g["weight_decay"], len(g["params"])) for g in optimizer.param_groups}


def test_pretrained_backbone_learns_at_a_tenth_and_vectors_do_not_decay():
    assert groups_of(Net(), pretrained=True) == {
        "backbone": (0.001, 0.1, 1),
        "backbone_no_decay": (0.001, 0.0, 1),
        "decoder": (0.01, 0.1, 1),
        "decoder_no_decay": (0.01, 0.0, 1),
    }


def test_random_backbone_learns_like_the_rest_and_a_stated_rate_wins():
    assert groups_of(Net(), pretrained=False)["backbone"][0] == 0.01
    assert groups_of(Net(), pretrained=True, backbone_lr=0.005)["backbone"][0] == 0.005


def test_frozen_weights_are_left_out():
    model = Net()
    model.backbone.requires_grad_(False)
    assert set(groups_of(model, pretrained=True)) == {"decoder", "decoder_no_decay"}


def rates(config: SchedulerConfig, *, steps_per_epoch: int, total: int) -> list[float]:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = build_scheduler(optimizer, config, steps_per_epoch=steps_per_epoch, total_steps=total)
    seen = []
    for _ in range(total):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return seen


def test_warmup_rises_evenly_then_a_cosine_falls_to_the_floor():
    seen = rates(SchedulerConfig(warmup_epochs=1, min_lr_ratio=0.1), steps_per_epoch=4, total=24)
    assert seen[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert seen[14] == pytest.approx(0.55)
    assert all(a > b for a, b in itertools.pairwise(seen[4:]))
    assert seen[-1] == pytest.approx(0.1, abs=0.01)


def test_a_short_training_warms_up_for_half_of_it_at_most():
    seen = rates(SchedulerConfig(warmup_epochs=5), steps_per_epoch=100, total=10)
    assert max(seen) == seen[5] == 1.0


def test_constant_stays():
    assert rates(SchedulerConfig(name="constant", warmup_epochs=0), steps_per_epoch=5, total=5) == [1.0] * 5


def test_moments_go_on_in_another_layout_and_another_kernel():
    """A plain run over weights in rows goes on fused over weights in channels-last, and the other way round."""
    torch.manual_seed(0)
    start = nn.Conv2d(3, 4, 3).state_dict()
    inputs = torch.randn(2, 3, 8, 8)

    def trained(layouts: list[torch.memory_format], fused: list[bool]) -> tuple[torch.Tensor, dict]:
        weights, moments = start, None
        for layout, kernel in zip(layouts, fused, strict=True):
            net = nn.Sequential(nn.Conv2d(3, 4, 3))
            net[0].load_state_dict(weights)
            net.to(memory_format=layout)
            optimizer = build_optimizer(net, OptimizerConfig(lr=0.01), pretrained=False, fused=kernel)
            if moments is not None:
                optimizer.load_state_dict(moments)
                for group in optimizer.param_groups:
                    group["fused"] = kernel
                fit_state(optimizer)
            for _ in range(2):
                optimizer.zero_grad()
                net(inputs).square().sum().backward()
                optimizer.step()
            weights, moments = net[0].state_dict(), optimizer.state_dict()
        return weights["weight"], moments["state"]

    last, rows = torch.channels_last, torch.contiguous_format
    for layouts, fused in (([rows, last], [False, True]), ([last, rows], [True, False])):
        weight, state = trained(layouts, fused)
        plain, plain_state = trained([rows, rows], [False, False])
        assert torch.allclose(weight, plain, atol=1e-6)
        # The bias's come first: its group does not decay.
        assert torch.allclose(state[1]["exp_avg"], plain_state[1]["exp_avg"], atol=1e-5)
        assert state[1]["exp_avg"].stride() == weight.stride()
        assert float(state[1]["step"]) == 4


def test_fused_is_what_it_is_asked_to_be():
    for fused in (True, False):
        optimizer = build_optimizer(Net(), OptimizerConfig(), pretrained=False, fused=fused)
        assert optimizer.defaults["fused"] is fused
    nowhere = Net().to("meta")
    assert (
        build_optimizer(nowhere, OptimizerConfig(), pretrained=False, fused=True).defaults["fused"] is False
    )
