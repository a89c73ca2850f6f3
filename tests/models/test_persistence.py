"""Model folders: what is in them, and what is said about broken ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tracknet.models import weights_file
from tracknet.models.model import TrackNet
from tracknet.utils import hub
from tracknet.utils.errors import RunError, UserError

MakeModel = Callable[..., TrackNet]
MakeFrames = Callable[..., torch.Tensor]


@pytest.fixture
def folder(tiny_model: MakeModel, tmp_path: Path) -> Path:
    model = tiny_model("dinov3_vit")
    model.score_threshold = 0.37
    model.provenance = {"run": "first", "games": ["game1", "game2"], "steps": 100}
    return model.save_pretrained(tmp_path / "deep" / "model")


def edit_config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def edit_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    path = folder / "model.safetensors"
    weights = load_file(path)
    change(weights)
    save_file(weights, path)


def test_a_folder_holds_everything(folder: Path) -> None:
    assert sorted(item.name for item in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    assert [item.name for item in folder.parent.iterdir()] == ["model"]  # no partial folder is left
    model = TrackNet.from_pretrained(str(folder))
    assert not model.training
    assert model.score_threshold == 0.37
    assert model.provenance["games"] == ["game1", "game2"]
    assert model.backbone.hf_config.num_register_tokens == 4
    config = json.loads((folder / "config.json").read_text())
    assert config["format_version"] == 1
    assert config["input_size"] == [64, 32]
    assert "_name_or_path" not in config["backbone_config"]


def test_the_card_tells_how_to_use_it(folder: Path) -> None:
    card = (folder / "README.md").read_text()
    for text in ("TrackNet.from_pretrained", "[B, 3, 3, 32, 64]", "0.37", "64x32", "16x8", '"run": "first"'):
        assert text in card


def test_loading_needs_no_network(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["model"]["backbone"] = {"name": "facebook/dinov3-vitb16-pretrain-lvd1689m", "pretrained": True}
    edit_config(folder, **config)
    monkeypatch.setattr(hub, "_obstacle", lambda _: pytest.fail("asked the hub"))
    assert TrackNet.from_pretrained(folder).config.backbone.pretrained


def test_saving_again_replaces_the_files(folder: Path) -> None:
    model = TrackNet.from_pretrained(folder)
    (folder / "notes.txt").write_text("mine")
    with torch.no_grad():
        model.head.conv.weight.fill_(-1.0)
    model.save_pretrained(folder)
    assert (TrackNet.from_pretrained(folder).head.conv.weight == -1.0).all()
    assert (folder / "notes.txt").read_text() == "mine"


def test_a_failed_save_leaves_nothing(
    tiny_model: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(weights_file, "save_file", fail)
    with pytest.raises(OSError, match="No space"):
        tiny_model().save_pretrained(tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_channels_last_and_checkpointed_models_save_the_same(
    tiny_model: MakeModel, some_frames: MakeFrames, tmp_path: Path
) -> None:
    model = tiny_model()
    frames = some_frames(model)
    plain = model.save_pretrained(tmp_path / "plain")
    model.gradient_checkpointing()
    model.to(memory_format=torch.channels_last).save_pretrained(tmp_path / "other")
    assert (plain / "model.safetensors").read_bytes() == (
        tmp_path / "other" / "model.safetensors"
    ).read_bytes()
    loaded = TrackNet.from_pretrained(tmp_path / "other")
    with torch.no_grad():
        assert torch.equal(loaded(frames), TrackNet.from_pretrained(plain)(frames))


def test_weights_that_do_not_fit_are_named(folder: Path) -> None:
    def change(weights: dict[str, torch.Tensor]) -> None:
        del weights["head.conv.bias"]
        weights["head.extra"] = torch.zeros(2)
        weights["head.conv.weight"] = torch.zeros(1, 9, 1, 1)

    edit_weights(folder, change)
    with pytest.raises(UserError) as caught:
        TrackNet.from_pretrained(folder)
    text = str(caught.value)
    assert "1 missing: head.conv.bias" in text
    assert "1 unknown: head.extra" in text
    assert "head.conv.weight [1, 9, 1, 1] for [1, 8, 1, 1]" in text


def test_a_damaged_file_is_no_wrong_request(folder: Path) -> None:
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    with pytest.raises(RunError, match="damaged"):
        TrackNet.from_pretrained(folder)
    flipped = bytearray(whole)
    flipped[-100] ^= 1
    path.write_bytes(flipped)
    with pytest.raises(RunError, match="is damaged, or was changed: it has the checksum") as caught:
        TrackNet.from_pretrained(folder)
    assert "copy or download it again" in str(caught.value.remedy)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"format_version": 99}, "format version 99, this software reads 1"),
        ({"std": [0, 0.2, 0.2]}, r"std must be above 0, got \[0.0, 0.2, 0.2\]"),
        ({"frame_stride": 0}, "frame_stride must be at least 1, got 0"),
        ({"format": "other"}, "describes no TrackNet model"),
        ({"num_frames": "three"}, "num_frames: needs a whole number"),
        ({"surprise": 1}, "surprise: no such key"),
    ],
)
def test_configs_it_cannot_read(folder: Path, changes: dict[str, Any], said: str) -> None:
    edit_config(folder, **changes)
    with pytest.raises(UserError, match=said):
        TrackNet.from_pretrained(folder)


def test_folders_that_are_no_model(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no model folder"):
        TrackNet.from_pretrained(tmp_path / "absent")
    with pytest.raises(UserError, match=r"did you mean .*model\?"):
        TrackNet.from_pretrained(folder.parent)
    with pytest.raises(UserError, match=r"cannot load owner/absent, which is no folder.*HF_HUB_OFFLINE"):
        TrackNet.from_pretrained("owner/absent")
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"has no model\.safetensors"):
        TrackNet.from_pretrained(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(UserError, match="is no JSON"):
        TrackNet.from_pretrained(folder)
