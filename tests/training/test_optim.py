"""Parameter groups and the learning rate's course."""

from __future__ import annotations

import itertools
import re

import pytest
import torch
from torch import nn

from tracknet.models.backbones.build import build_vit_backbone
from tracknet.models.backbones.depths import layer_depths
from tracknet.training.optim import build_optimizer, build_scheduler, fit_state
from tracknet.utils.errors import UserError
from tracknet.utils.geometry import Size
from tracknet.utils.settings import BackboneConfig, OptimizerConfig, SchedulerConfig


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


KINDS = {
    "vit": {"embeddings.cls_token", "embeddings.position_embeddings", "embeddings.patch_embeddings"},
    "dinov2": {"embeddings.cls_token", "embeddings.position_embeddings", "embeddings.patch_embeddings"},
    "dinov2_with_registers": {"embeddings.register_tokens", "embeddings.patch_embeddings"},
    "dinov3_vit": {"embeddings.cls_token", "embeddings.register_tokens", "embeddings.patch_embeddings"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_layer_learns_at_its_own_rate(kind: str):
    """Three layers at half the rate of the one above: 1, 1/2, 1/4 and 1/8 for what feeds them."""
    settings = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "patch_size": 16}
    if kind == "dinov3_vit":
        settings["num_register_tokens"] = 4
    model = nn.Module()
    model.backbone = build_vit_backbone(
        BackboneConfig(name=kind, pretrained=False, config=settings), Size(64, 32)
    )
    model.head = nn.Linear(16, 1)
    config = OptimizerConfig(lr=0.08, backbone_lr=0.008, layer_decay=0.5)
    optimizer = build_optimizer(model, config, pretrained=True, depths=model.backbone.depths())
    by_name = {
        name: next(g for g in optimizer.param_groups if any(p is parameter for p in g["params"]))
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }
    assert sum(len(g["params"]) for g in optimizer.param_groups) == len(by_name)
    for name, group in by_name.items():
        layer = re.search(r"\.layers?\.(\d)\.", name)
        if name.startswith("head."):
            rate, part = 0.08, "decoder"
        elif ".embeddings." in name:
            rate, part = 0.001, "backbone_embeddings"
        elif layer:
            number = int(layer[1]) + 1
            rate, part = 0.008 * 0.5 ** (3 - number), f"backbone_layer_0{number}"
        else:
            assert re.fullmatch(r"backbone\.vit\.(layer)?norm\.(weight|bias)", name), name
            rate, part = 0.008, "backbone_top"
        no_decay = "" if model.get_parameter(name).ndim > 1 else "_no_decay"
        assert (group["name"], group["lr"]) == (part + no_decay, pytest.approx(rate)), name
    # What the kind is known to have was among them.
    for part in KINDS[kind]:
        assert any(name.startswith(f"backbone.vit.{part}") for name in by_name), part
    assert {"backbone_layer_01", "backbone_layer_03", "backbone_top_no_decay"} <= {
        g["name"] for g in optimizer.param_groups
    }


def test_a_backbone_of_no_list_of_layers_is_refused():
    with pytest.raises(UserError, match="Linear has no list of 3 layers"):
        layer_depths(nn.Linear(1, 1), 3)


def test_without_decay_the_groups_are_as_ever():
    model = Net()
    optimizer = build_optimizer(model, OptimizerConfig(), pretrained=True, depths={"weight": 1, "bias": 1})
    assert sorted(g["name"] for g in optimizer.param_groups) == [
        "backbone",
        "backbone_no_decay",
        "decoder",
        "decoder_no_decay",
    ]


def test_a_thawed_backbone_warms_up_by_itself():
    optimizer = build_optimizer(Net(), OptimizerConfig(lr=1.0, backbone_lr=0.1), pretrained=True)
    scheduler = build_scheduler(
        optimizer,
        SchedulerConfig(name="constant", warmup_epochs=1),
        steps_per_epoch=3,
        total_steps=20,
        unfreeze_at=8,
    )
    seen = {"backbone": [], "decoder": []}
    for _ in range(14):
        for group in optimizer.param_groups:
            if group["name"] in seen:
                seen[group["name"]].append(group["lr"])
        optimizer.step()
        scheduler.step()
    assert seen["decoder"] == pytest.approx([0.25, 0.5, 0.75] + [1.0] * 11)
    assert seen["backbone"] == pytest.approx([0.0] * 8 + [0.025, 0.05, 0.075] + [0.1] * 3)


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
