"""Where a backbone comes from: a pretrained model, a model's config with random weights, or a bare model type.

A bare type (`vit`, `dinov2`, `dinov3_vit`) with `pretrained: false` needs no network at all.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import CONFIG_MAPPING, MODEL_MAPPING, AutoConfig, AutoModel, PreTrainedModel

from tracknet.models.backbones.no_backbone import NoBackbone
from tracknet.models.backbones.vit_backbone import ViTBackbone, patch_grid, patch_size_of
from tracknet.models.baselines import BASELINES
from tracknet.utils.errors import UserError
from tracknet.utils.geometry import Size
from tracknet.utils.hub import on_hub, ways_out
from tracknet.utils.naming import did_you_mean
from tracknet.utils.settings import BackboneConfig, ModelConfig

_DERIVED_KEYS = ("out_features", "out_indices", "stage_names")


def build_backbone(config: ModelConfig, input_size: Size) -> ViTBackbone | NoBackbone:
    """The backbone of a model, or what stands in its place.

    Raises:
        UserError: as `build_vit_backbone` does; an input that cannot be halved as often as the model does.

    """
    return no_backbone(config) if config.backbone.is_none else build_vit_backbone(config.backbone, input_size)


def no_backbone(config: ModelConfig) -> NoBackbone:
    """What stands in a backbone's place, at the coarsest stride of the convolutions that do its work."""
    baseline = BASELINES.get(config.architecture)
    return NoBackbone(2**config.decoder.detail_levels if baseline is None else baseline.stride)


def build_vit_backbone(config: BackboneConfig, input_size: Size) -> ViTBackbone:
    """The backbone a config asks for, with weights.

    Args:
        config: name, whether pretrained, whether frozen, overrides of the Hugging Face config, layers to read.
        input_size: what the model sees; sets the size of position embeddings learned from scratch.

    Raises:
        UserError: no such model, no access, no weights, overrides that do not fit, layers that it does not
            have, an input size that is no whole number of patches.

    """
    is_type = config.name in CONFIG_MAPPING and not Path(config.name).is_dir()
    if is_type and config.pretrained:
        raise UserError(
            f"model.backbone.name={config.name} is a model type, which has no pretrained weights",
            remedy="name a model, for example model.backbone.name=facebook/dinov2-small, "
            "or set model.backbone.pretrained=false",
        )
    if is_type:
        hf_config = AutoConfig.for_model(config.name)
    else:
        hf_config = on_hub(config.name, AutoConfig.from_pretrained, remedy=ways_out(config.name))
    if config.pretrained:
        hf_config = _as_deep_as_read(_overridden(hf_config, config.config), config.layers)
        patch_grid(input_size, patch_size_of(hf_config))  # refused before the weights are downloaded
        vit = _load_vit(config.name, hf_config)
    else:
        hf_config = _as_deep_as_read(_from_scratch(hf_config, config.config, input_size), config.layers)
        vit = vit_from_config(hf_config)
    backbone = ViTBackbone(vit, freeze=config.freeze, layers=config.layers)
    if config.lora is not None:
        backbone.adapt(config.lora)
    return backbone


def vit_from_config(hf_config: Any) -> PreTrainedModel:
    """A ViT with random float32 weights; needs no network."""
    try:
        return AutoModel.from_config(hf_config, dtype=torch.float32, **_without_pooler(hf_config))
    except (ValueError, TypeError, RuntimeError, AttributeError) as error:
        raise UserError(
            f"no ViT of type {getattr(hf_config, 'model_type', '?')!r} can be made of this config: {error}",
            remedy="check the entries of model.backbone.config",
        ) from error


def hf_config_from_dict(plain: dict[str, Any]) -> Any:
    """The Hugging Face config that `to_dict` gave, from a model folder; needs no network."""
    return AutoConfig.for_model(**plain)


def _load_vit(name: str, hf_config: Any) -> PreTrainedModel:
    load = partial(
        AutoModel.from_pretrained,
        config=hf_config,
        dtype=torch.float32,
        use_safetensors=True,  # nothing is unpickled
        ignore_mismatched_sizes=True,  # reported below, by name
        output_loading_info=True,
        **_without_pooler(hf_config),
    )
    vit, loading = on_hub(name, load, remedy=ways_out(name))
    problems = sorted(f"missing: {key}" for key in loading["missing_keys"] if "pooler" not in key)
    problems += [
        f"{key}: {list(there)} in the checkpoint, {list(here)} by the config"
        for key, there, here in sorted(loading["mismatched_keys"])
    ]
    if problems:
        raise UserError(
            f"{name} lacks {len(problems)} of the weights that its config asks for",
            problems=problems[:8] + (["..."] if len(problems) > 8 else []),
            remedy="use a complete checkpoint, or take out the entries of model.backbone.config",
        )
    return cast(PreTrainedModel, vit)


def _from_scratch(hf_config: Any, overrides: dict[str, Any], input_size: Size) -> Any:
    """The config of a ViT that is to be trained from random weights at this input size."""
    overrides = dict(overrides)
    if isinstance(overrides.get("hidden_size"), int) and hasattr(hf_config, "intermediate_size"):
        # Otherwise a ViT of width 96 keeps the MLP of width 3072 of ViT-B.
        ratio = hf_config.intermediate_size / hf_config.hidden_size
        overrides.setdefault("intermediate_size", round(ratio * overrides["hidden_size"]))
    hf_config = _overridden(hf_config, overrides)
    patch = patch_size_of(hf_config)
    grid = patch_grid(input_size, patch)
    if "image_size" not in overrides:
        if hf_config.model_type == "vit":
            hf_config.image_size = [input_size.height, input_size.width]
        elif hf_config.model_type.startswith("dinov2"):
            # DINOv2 resamples its position embeddings from a square grid only.
            hf_config.image_size = math.ceil(math.sqrt(grid.width * grid.height)) * patch
    return hf_config


def _as_deep_as_read(hf_config: Any, layers: tuple[int, ...] | None) -> Any:
    """The config without the layers above the last one that is read: they would be computed for nothing."""
    if layers is None:
        return hf_config
    patch_size_of(hf_config)  # anything but a plain ViT is refused as that
    depth = hf_config.num_hidden_layers
    if layers[-1] > depth:
        raise UserError(
            f"model.backbone.layers: the ViT has {depth} layers, and {layers[-1]} is asked for",
            remedy=f"set model.backbone.layers=[{','.join(str(max(1, depth * n // 4)) for n in range(1, 5))}]"
            if depth >= 4
            else f"name layers from 1 to {depth}",
        )
    return _overridden(hf_config, {"num_hidden_layers": layers[-1]}) if layers[-1] < depth else hf_config


def _overridden(hf_config: Any, overrides: dict[str, Any]) -> Any:
    plain = hf_config.to_dict()
    # Hugging Face configs take any key and ignore what they do not know.
    problems = [
        f"model.backbone.config.{key}: no such key{did_you_mean(key, plain)}"
        for key in overrides
        if key not in plain
    ]
    where = f"model.backbone.config does not fit a {hf_config.model_type}"
    if problems:
        raise UserError(where, problems=problems)
    if not overrides:
        return hf_config
    try:
        # Names of stages follow from the number of layers, which may be among the overrides.
        kept = {key: value for key, value in plain.items() if key not in _DERIVED_KEYS}
        return AutoConfig.for_model(**{**kept, **overrides})
    except (TypeError, ValueError, StrictDataclassError) as error:
        raise UserError(where, problems=[" ".join(str(error).split())]) from error


def _without_pooler(hf_config: Any) -> dict[str, bool]:
    model = MODEL_MAPPING.get(type(hf_config), None)
    if model is None or isinstance(model, Sequence):
        return {}
    takes = "add_pooling_layer" in inspect.signature(model.__init__).parameters
    return {"add_pooling_layer": False} if takes else {}
