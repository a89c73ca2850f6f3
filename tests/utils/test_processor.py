"""The numbers taken from a checkpoint's image processor, and what happens without one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tracknet.utils.errors import UserError
from tracknet.utils.geometry import Size
from tracknet.utils.processor import IMAGENET_MEAN, IMAGENET_STD, read_processor
from tracknet.utils.settings import BackboneConfig

CROPPING = {
    "image_processor_type": "BitImageProcessor",
    "do_center_crop": True,
    "crop_size": {"height": 224, "width": 224},
    "size": {"shortest_edge": 256},
    "image_mean": [0.1, 0.2, 0.3],
    "image_std": [0.4, 0.5, 0.6],
}
SQUEEZING = {
    "image_processor_type": "ViTImageProcessor",
    "size": {"height": 96, "width": 160},
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.25, 0.25, 0.25],
}


def checkpoint(folder: Path, processor: dict[str, Any] | str | None) -> BackboneConfig:
    if processor is not None:
        text = processor if isinstance(processor, str) else json.dumps(processor)
        (folder / "preprocessor_config.json").write_text(text)
    return BackboneConfig(name=str(folder), pretrained=True)


@pytest.mark.parametrize("resize", [Size(512, 288), Size(96, 48)])
@pytest.mark.parametrize("processor", [CROPPING, SQUEEZING])
def test_the_size_asked_for_wins_and_nothing_is_cropped(
    tmp_path: Path, processor: dict[str, Any], resize: Size
) -> None:
    spec = read_processor(checkpoint(tmp_path, processor), resize)
    assert spec.size == resize
    assert spec.mean == tuple(processor["image_mean"])
    assert spec.std == tuple(processor["image_std"])
    assert spec.source == f"the processor of {tmp_path}"


@pytest.mark.parametrize(
    ("processor", "size"),
    [
        (CROPPING, Size(224, 224)),
        ({**CROPPING, "do_center_crop": False}, Size(256, 256)),
        ({**CROPPING, "crop_size": {"height": 98, "width": 196}}, Size(196, 98)),
        (SQUEEZING, Size(160, 96)),
    ],
)
def test_the_checkpoints_own_size(tmp_path: Path, processor: dict[str, Any], size: Size) -> None:
    assert read_processor(checkpoint(tmp_path, processor), None).size == size


def test_a_processor_that_does_not_normalise(tmp_path: Path) -> None:
    spec = read_processor(checkpoint(tmp_path, {**SQUEEZING, "do_normalize": False}), None)
    assert (spec.mean, spec.std) == ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


def test_one_number_for_all_channels(tmp_path: Path) -> None:
    spec = read_processor(checkpoint(tmp_path, {**SQUEEZING, "image_mean": 0.5, "image_std": 0.25}), None)
    assert (spec.mean, spec.std) == ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


@pytest.mark.parametrize(("resize", "size"), [(None, Size(224, 224)), (Size(160, 96), Size(160, 96))])
def test_a_bare_type_needs_no_checkpoint(resize: Size | None, size: Size) -> None:
    spec = read_processor(BackboneConfig(name="vit", pretrained=False), resize)
    assert (spec.size, spec.mean, spec.std) == (size, IMAGENET_MEAN, IMAGENET_STD)
    assert spec.source == "transformers' default for a model without weights"


def test_random_weights_of_a_hub_name_need_no_checkpoint() -> None:
    name = "facebook/dinov3-vitb16-pretrain-lvd1689m"
    spec = read_processor(BackboneConfig(name=name, pretrained=False), Size(64, 32))
    assert (spec.size, spec.mean) == (Size(64, 32), IMAGENET_MEAN)


def test_a_folder_of_bare_weights_takes_imagenets_values_at_a_size_that_is_given(tmp_path: Path) -> None:
    backbone = checkpoint(tmp_path, None)
    spec = read_processor(backbone, Size(64, 32))
    assert (spec.size, spec.mean, spec.std) == (Size(64, 32), IMAGENET_MEAN, IMAGENET_STD)
    assert "no processor there" in spec.source
    with pytest.raises(UserError, match=f"image processor of {tmp_path} cannot be read"):
        read_processor(backbone, None)


@pytest.mark.parametrize("content", ["{not json", "{}", '{"image_processor_type": "NoSuchProcessor"}'])
def test_a_garbled_processor_is_not_passed_over(tmp_path: Path, content: str) -> None:
    for resize in (None, Size(64, 32)):
        with pytest.raises(UserError, match=f"image processor of {tmp_path} cannot be read") as caught:
            read_processor(checkpoint(tmp_path, content), resize)
        assert "mend its preprocessor_config.json" in str(caught.value.remedy)


@pytest.mark.parametrize("resize", [None, Size(512, 288)])
def test_a_hub_name_that_cannot_be_read_names_the_ways_out(resize: Size | None) -> None:
    name = "facebook/no-such-model-of-this-name"
    with pytest.raises(UserError) as caught:
        read_processor(BackboneConfig(name=name), resize)
    assert caught.value.what.startswith(f"cannot load {name}, which is no folder here: ")
    assert "\n" not in caught.value.what
    ways = (
        "hf auth login",
        "model.backbone.name=PATH",
        "facebook/dinov2-small",
        "model.backbone.pretrained=false",
    )
    for way in ways:
        assert way in str(caught.value.remedy)
