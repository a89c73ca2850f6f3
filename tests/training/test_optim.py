"""Parameter groups and the learning rate's course."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from tracknet.training.optim import build_optimizer, build_scheduler
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
