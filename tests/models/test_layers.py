"""Several layers of a ViT: the tokens that are read, what becomes of them, and what is refused."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Dinov2Backbone

from tests.models.test_contract import KINDS, TIMES
from tracknet.models.backbones.build import build_vit_backbone
from tracknet.models.depth_fusion import ConcatLayers, WeightedLayers
from tracknet.models.model import TrackNet
from tracknet.utils.config import load_config
from tracknet.utils.errors import UserError
from tracknet.utils.geometry import Size
from tracknet.utils.settings import BackboneConfig, LoraConfig

MakeModel = Callable[..., TrackNet]
MakeFrames = Callable[..., torch.Tensor]


@pytest.mark.parametrize("kind", KINDS)
def test_tokens_are_those_of_the_layers_through_the_final_norm(
    tiny_model: MakeModel, some_frames: MakeFrames, kind: str
) -> None:
    model = tiny_model(kind, depth=4, layers=(1, 3, 4)).eval()
    vit = model.backbone.vit
    special = 1 + int(getattr(vit.config, "num_register_tokens", 0) or 0)
    frames = some_frames(model)[:, 0]
    with torch.no_grad():
        features = model.encode_frames(frames)
        states = vit(pixel_values=model._normalise(frames), output_hidden_states=True).hidden_states
        norm = vit.norm if kind == "dinov3_vit" else vit.layernorm
        # The last state comes with the norm from some of the models and without it from others.
        last = vit(pixel_values=model._normalise(frames)).last_hidden_state
    expected = [norm(states[1]), norm(states[3]), last]
    assert features.shape == (2, 3 * 32, 2, 4)
    for number, tokens in enumerate(expected):
        found = features[:, 32 * number : 32 * (number + 1)].flatten(2).transpose(1, 2)
        assert torch.allclose(found, tokens[:, special:], atol=1e-6), number


@pytest.mark.parametrize("kind", KINDS)
def test_the_deepest_layer_alone_is_the_model_as_it_was(
    tiny_model: MakeModel, some_frames: MakeFrames, kind: str
) -> None:
    plain, named = (tiny_model(kind, depth=2, layers=layers).eval() for layers in (None, (2,)))
    frames = some_frames(plain)
    assert plain.state_dict().keys() == named.state_dict().keys()
    with torch.no_grad():
        assert torch.equal(plain(frames), named(frames))


def test_real_weights_give_huggingfaces_own_layers(shared_data: Path) -> None:
    folder = shared_data / "models" / "dinov2_small"
    if not folder.is_dir():
        pytest.skip("no shared data: models/dinov2_small is not there")
    config = BackboneConfig(name=str(folder), freeze=True, layers=(3, 6, 9))
    backbone = build_vit_backbone(config, Size(56, 28)).eval()
    assert backbone.hf_config.num_hidden_layers == 9  # of 12: what nothing reads is not there
    reference = Dinov2Backbone.from_pretrained(folder, out_indices=[3, 6, 9], dtype=torch.float32).eval()
    pixels = torch.randn(2, 3, 28, 56, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        maps = reference(pixels).feature_maps
        assert torch.allclose(backbone(pixels), torch.cat(maps, dim=1), atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layer_fusion", ["concat", "sum"])
@pytest.mark.parametrize("time", TIMES)
def test_what_mixes_the_layers_learns(
    tiny_model: MakeModel, some_frames: MakeFrames, kind: str, layer_fusion: str, time: dict[str, Any]
) -> None:
    model = tiny_model(kind, **time, depth=3, layers=(1, 3), layer_fusion=layer_fusion)
    # A head that is not near zero: gradients of the layers' weights are no rounding.
    torch.nn.init.normal_(model.head.conv.weight, std=0.5)
    model(some_frames(model)).square().mean().backward()
    weights = dict(model.depth_fusion.named_parameters())
    assert weights and all(weight.grad is not None and weight.grad.any() for weight in weights.values())


def test_the_layers_are_in_the_models_card(tiny_model: MakeModel, tmp_path: Path) -> None:
    folder = tiny_model(depth=3, layers=(1, 3)).save_pretrained(tmp_path / "model")
    assert "layers 1, 3" in (folder / "README.md").read_text()


def test_a_copy_listens_to_its_own_layers(tiny_model: MakeModel, some_frames: MakeFrames) -> None:
    model = tiny_model(depth=2, layers=(1, 2)).eval()
    frames = some_frames(model)
    with torch.no_grad():
        expected = model(frames)
        copied = copy.deepcopy(model)
        for parameter in model.backbone.parameters():
            parameter.zero_()
        assert torch.equal(copied(frames), expected)
        assert not torch.equal(model(frames), expected)


def test_frozen_layers_keep_no_graph(tiny_model: MakeModel, some_frames: MakeFrames) -> None:
    model = tiny_model(depth=2, layers=(1, 2), freeze=True).train()
    frames = some_frames(model)
    assert not model.encode_frames(frames[:, 0]).requires_grad
    model(frames).square().mean().backward()
    assert all(parameter.grad is not None for parameter in model.depth_fusion.parameters())
    assert all(parameter.grad is None for parameter in model.backbone.parameters())


def test_a_sum_begins_as_the_mean_and_concat_is_a_1x1_convolution() -> None:
    features = torch.randn(2, 3, 2 * 4, 5, 6)
    first, second = features[:, :, :4], features[:, :, 4:]
    summed = WeightedLayers(4, 2)
    assert torch.allclose(summed(features), (first + second) / 2, atol=1e-6)
    with torch.no_grad():
        summed.weight.copy_(torch.tensor([0.0, 30.0]))
        assert torch.allclose(summed(features), second, atol=1e-6)
        concat = ConcatLayers(4, 2)
        weight = concat.mix.weight[:, :, 0, 0]
        expected = torch.einsum("oc,btcyx->btoyx", weight, features) + concat.mix.bias[:, None, None]
        assert torch.allclose(concat(features), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        ("[]", "is empty"),
        ("[3,1]", "must ascend"),
        ("[1,1]", "must ascend"),
        ("[0,1]", "must ascend"),
        ("[a]", "whole number"),
    ],
)
def test_layers_that_cannot_be_are_refused(layers: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        load_config(model="vit_tiny", overrides=[f"model.backbone.layers={layers}"])
    assert said in str(caught.value)


def test_layers_that_a_model_does_not_have_are_refused() -> None:
    with pytest.raises(UserError, match="has no layers: leave it null"):
        load_config(model="detail_small", overrides=["model.backbone.layers=[1]"])
    small: dict[str, Any] = {"hidden_size": 32, "num_attention_heads": 2, "num_hidden_layers": 8}
    config = BackboneConfig(name="vit", pretrained=False, config=small, layers=(3, 9))
    with pytest.raises(UserError, match=r"has 8 layers, and 9 is asked for") as caught:
        build_vit_backbone(config, Size(64, 32))
    assert "[2,4,6,8]" in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_depths_are_those_of_the_layers_that_are_left(tiny_model: MakeModel, kind: str) -> None:
    depths = tiny_model(kind, depth=6, layers=(2, 4)).backbone.depths()
    assert sorted(set(depths.values())) == [0, 1, 2, 3, 4, 5]  # embeddings, four layers, the norm above them


def test_adapters_leave_the_layers_that_are_read(tiny_model: MakeModel, some_frames: MakeFrames) -> None:
    pytest.importorskip("peft", reason='peft is not installed: pip install -e ".[lora]"')
    model = tiny_model("dinov3_vit", depth=3, layers=(1, 3)).eval()
    frames = some_frames(model)
    with torch.no_grad():
        before = model(frames)
        model.backbone.adapt(LoraConfig(rank=2))
        assert torch.equal(model(frames), before)
    model(frames).sum().backward()
    trained = [name for name, weight in model.backbone.named_parameters() if weight.grad is not None]
    assert trained and all("lora_" in name for name in trained)
    assert any(".0." in name for name in trained) and any(".2." in name for name in trained)


def test_layers_are_read_from_a_compiled_model_too(tiny_model: MakeModel, some_frames: MakeFrames) -> None:
    model = tiny_model("dinov3_vit", depth=3, layers=(1, 3), subpixel=2).eval()
    torch._dynamo.reset()
    fast = torch.compile(model, backend="eager")
    for count in (1, 2):
        frames = some_frames(model)[:count]
        assert torch.allclose(fast(frames), model(frames), atol=1e-6)
