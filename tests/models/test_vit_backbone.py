"""Backbones: real weights, tokens and registers, and what is said when a model cannot be had."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModel,
    DINOv3ViTConfig,
    DINOv3ViTModel,
    Swinv2Config,
    Swinv2Model,
    ViTConfig,
    ViTModel,
)

from tracknet.models.backbones.build import build_vit_backbone
from tracknet.models.backbones.vit_backbone import ViTBackbone, patch_grid
from tracknet.utils import hub
from tracknet.utils.errors import UserError
from tracknet.utils.geometry import Size
from tracknet.utils.settings import BackboneConfig

torch.set_num_threads(1)
SMALL: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}


def random_vit(name: str, size: Size, **config: Any) -> ViTBackbone:
    return build_vit_backbone(
        BackboneConfig(name=name, pretrained=False, config={**SMALL, **config}), size
    ).eval()


@pytest.fixture(scope="module")
def dinov2_folder(shared_data: Path) -> str:
    folder = shared_data / "models" / "dinov2_small"
    if not folder.is_dir():
        pytest.skip("no shared data: models/dinov2_small is not there")
    return str(folder)


def test_real_weights_give_huggingfaces_own_tokens(dinov2_folder: str) -> None:
    backbone = build_vit_backbone(BackboneConfig(name=dinov2_folder, freeze=True), Size(504, 280)).eval()
    pixels = torch.randn(1, 3, 280, 504, generator=torch.Generator().manual_seed(0))
    features = backbone(pixels)
    assert features.shape == (1, 384, 20, 36)
    with torch.no_grad():
        reference, loading = AutoModel.from_pretrained(
            dinov2_folder, dtype=torch.float32, output_loading_info=True
        )
        tokens = reference.eval()(pixel_values=pixels).last_hidden_state[:, 1:]
    assert not loading["missing_keys"]
    assert torch.equal(features.flatten(2).transpose(1, 2), tokens)
    assert backbone.patch_size == 14
    assert {p.dtype for p in backbone.parameters()} == {torch.float32}


def test_real_weights_that_do_not_fit_their_config_are_refused(dinov2_folder: str) -> None:
    with pytest.raises(UserError, match=r"lacks 18 of the weights.*\n  - missing: encoder\.layer\.12"):
        build_vit_backbone(BackboneConfig(name=dinov2_folder, config={"num_hidden_layers": 13}), Size(56, 28))
    shorter = build_vit_backbone(
        BackboneConfig(name=dinov2_folder, config={"num_hidden_layers": 2}), Size(56, 28)
    )
    assert shorter.hf_config.num_hidden_layers == 2


@pytest.mark.parametrize("registers", [0, 4])
def test_registers_are_stripped(registers: int) -> None:
    backbone = random_vit("dinov3_vit", Size(64, 32), num_register_tokens=registers)
    pixels = torch.randn(2, 3, 32, 64)
    with torch.no_grad():
        tokens = backbone.vit(pixel_values=pixels).last_hidden_state
        assert tokens.shape[1] == 1 + registers + 8
        assert torch.equal(backbone(pixels).flatten(2), tokens[:, 1 + registers :].transpose(1, 2))


@pytest.mark.parametrize("name", ["vit", "dinov2", "dinov3_vit"])
def test_the_grid_keeps_rows_and_columns(name: str) -> None:
    """A change in one patch shows most in its own cell: the tokens are not transposed."""
    backbone = random_vit(name, Size(80, 48), patch_size=16)
    pixels = torch.zeros(1, 3, 48, 80)
    changed = pixels.clone()
    changed[..., 16:32, 48:64] = 1.0
    with torch.no_grad():
        difference = (backbone(changed) - backbone(pixels)).norm(dim=1)[0]
    assert difference.shape == (3, 5)
    assert divmod(int(difference.argmax()), 5) == (1, 3)


def test_a_vit_of_another_size_interpolates_its_positions() -> None:
    vit = ViTModel(ViTConfig(**SMALL, intermediate_size=64, image_size=64), add_pooling_layer=True)
    backbone = ViTBackbone(vit).eval()
    assert not any("pooler" in name for name, _ in backbone.named_parameters())
    assert backbone(torch.zeros(1, 3, 32, 64)).shape == (1, 32, 2, 4)
    assert backbone(torch.zeros(1, 3, 64, 64)).shape == (1, 32, 4, 4)


def test_positions_learned_from_scratch_have_the_inputs_grid() -> None:
    assert random_vit("vit", Size(64, 32)).vit.embeddings.position_embeddings.shape[1] == 1 + 4 * 2
    assert random_vit("dinov2", Size(64, 32), patch_size=16).hf_config.image_size == 3 * 16
    assert random_vit("vit", Size(64, 32), image_size=96).vit.embeddings.position_embeddings.shape[1] == 37


def test_a_narrow_vit_gets_a_narrow_mlp() -> None:
    assert random_vit("vit", Size(64, 32)).hf_config.intermediate_size == 4 * 32
    assert random_vit("vit", Size(64, 32), intermediate_size=48).hf_config.intermediate_size == 48


def test_random_weights_from_a_local_config(tmp_path: Path) -> None:
    DINOv3ViTModel(DINOv3ViTConfig(**SMALL, num_register_tokens=4, intermediate_size=64)).save_pretrained(
        tmp_path
    )
    (tmp_path / "model.safetensors").unlink()
    backbone = build_vit_backbone(BackboneConfig(name=str(tmp_path), pretrained=False), Size(64, 32))
    assert backbone.hf_config.num_register_tokens == 4
    with pytest.raises(UserError, match=r"cannot load the model in .*safetensors"):
        build_vit_backbone(BackboneConfig(name=str(tmp_path)), Size(64, 32))


@pytest.mark.parametrize(
    ("size", "patch", "offered"),
    [
        (Size(512, 288), 14, ("[504,280]", "[518,294]")),
        (Size(500, 288), 16, ("[496,288]", "[512,288]")),
        (Size(5, 7), 8, ("[8,8]", "[8,8]")),
    ],
)
def test_an_input_that_is_no_whole_number_of_patches(
    size: Size, patch: int, offered: tuple[str, str]
) -> None:
    with pytest.raises(UserError, match="no whole number") as caught:
        patch_grid(size, patch)
    assert all(pair in str(caught.value) for pair in offered)
    with pytest.raises(UserError, match="no whole number"):
        random_vit("vit", size, patch_size=patch)


@pytest.mark.parametrize(
    ("name", "config", "said"),
    [
        ("vit", {"hiden_size": 32}, "did you mean hidden_size"),
        ("vit", {"hidden_size": 30, "num_attention_heads": 4}, "one of [1, 2, 3, 5, 6, 10, 15, 30]"),
        ("vit", {"hidden_size": "wide"}, "expected int"),
        ("swin", {}, "no plain ViT"),
        ("bert", {}, "no plain ViT"),
    ],
)
def test_configs_that_make_no_vit(name: str, config: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as caught:
        build_vit_backbone(BackboneConfig(name=name, pretrained=False, config=config), Size(64, 32))
    assert said in str(caught.value)


def test_a_hierarchical_model_is_refused_by_its_tokens() -> None:
    swin = Swinv2Model(Swinv2Config(image_size=64, embed_dim=16, depths=[1, 1], num_heads=[1, 2]))
    swin.config.patch_size, swin.config.num_attention_heads = 4, 2
    with pytest.raises(UserError, match="hierarchical"):
        ViTBackbone(swin)(torch.zeros(1, 3, 64, 64))


@pytest.mark.parametrize("name", ["facebook/dinov3-vitb16-pretrain-lvd1689m", "owner/absent"])
@pytest.mark.parametrize("offline", [True, False])
def test_a_model_that_cannot_be_had_fails_at_once(
    name: str, offline: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise ConnectionError("Name or service not known")

    monkeypatch.setattr(hub.HfApi, "model_info", unreachable)
    monkeypatch.setattr(hub.constants, "HF_HUB_OFFLINE", offline)
    begin = time.monotonic()
    with pytest.raises(UserError) as caught:
        build_vit_backbone(BackboneConfig(name=name), Size(512, 288))
    assert time.monotonic() - begin < 2.0
    text = str(caught.value)
    assert ("HF_HUB_OFFLINE forbids" if offline else "cannot be reached") in text
    for way in ("hf auth login", "HF_TOKEN", "model.backbone.name=PATH", "facebook/dinov2-small"):
        assert way in text
    assert "model.backbone.pretrained=false" in text


@pytest.mark.parametrize(
    ("error", "said"), [("GatedRepoError", "is gated"), ("RepositoryNotFoundError", "no such model")]
)
def test_what_the_hub_refuses_is_told(error: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        kind = getattr(hub, error)
        raise kind.__new__(kind)

    monkeypatch.setattr(hub.HfApi, "model_info", lambda *_, **__: None)
    monkeypatch.setattr(hub.HfApi, "auth_check", refuse)
    monkeypatch.setattr(hub.constants, "HF_HUB_OFFLINE", False)
    with pytest.raises(UserError, match=said):
        hub.on_hub(
            "owner/model", lambda name, local_files_only: (_ for _ in ()).throw(OSError("absent")), remedy="x"
        )


def test_what_is_cached_needs_no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "_obstacle", lambda _: pytest.fail("asked the hub"))
    assert hub.on_hub("owner/model", lambda name, local_files_only: (name, local_files_only), remedy="") == (
        "owner/model",
        True,
    )


def test_names_that_cannot_be_on_the_hub(tmp_path: Path) -> None:
    for name, said in (
        (str(tmp_path / "absent"), "there is no model folder"),
        ("./absent", "there is no model folder"),
        (str(tmp_path), "cannot load the model in"),
    ):
        with pytest.raises(UserError, match=said):
            build_vit_backbone(BackboneConfig(name=name), Size(64, 32))
    with pytest.raises(UserError, match="is a model type, which has no pretrained weights"):
        build_vit_backbone(BackboneConfig(name="vit"), Size(64, 32))
