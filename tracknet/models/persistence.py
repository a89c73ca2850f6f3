"""A model folder: everything that is needed to use the weights, and nothing that has to be downloaded.

FOLDER/
├── config.json          format, settings, sizes, normalisation, threshold, the backbone's own config
├── model.safetensors    the weights, and their checksum
└── README.md            the model card
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from huggingface_hub import snapshot_download
from transformers.initialization import no_init_weights

from tracknet import __version__
from tracknet.models.backbones.build import hf_config_from_dict, no_backbone, vit_from_config
from tracknet.models.backbones.lora import plain_weights
from tracknet.models.backbones.no_backbone import NoBackbone
from tracknet.models.backbones.vit_backbone import ViTBackbone
from tracknet.models.model_card import model_card
from tracknet.models.weights_file import read_weights, write_weights
from tracknet.utils.bounds import is_above_0
from tracknet.utils.config import from_plain, to_plain
from tracknet.utils.errors import UserError
from tracknet.utils.geometry import Size
from tracknet.utils.hub import looks_like_path, on_hub
from tracknet.utils.settings import ModelConfig

if TYPE_CHECKING:
    from tracknet.models.model import TrackNet

FORMAT_VERSION = 1
CONFIG_NAME, WEIGHTS_NAME, CARD_NAME = "config.json", "model.safetensors", "README.md"


@dataclass(frozen=True)
class SavedModel:
    """The contents of `config.json`."""

    model: ModelConfig
    input_size: Size
    num_frames: int
    anchor: Literal["middle", "last"]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    score_threshold: float
    backbone_config: dict[str, Any] | None
    frame_stride: int = 1
    provenance: dict[str, Any] = field(default_factory=dict)
    format: str = "tracknet"
    format_version: int = FORMAT_VERSION
    tracknet_version: str = __version__


def save(model: TrackNet, folder: Path, *, card: str | None = None, half: bool = False) -> Path:
    """Writes the model folder, whole or not at all where it did not exist before.

    Args:
        model: any device, any dtype of parameters.
        folder: made if absent (through a temporary name and a rename); in an existing one each file is
            replaced at once, the config last.
        card: text of the README; by default what is known without an evaluation.
        half: weights in float16, half the file; loading makes float32 of them.

    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        weights = {name: value.detach().cpu().contiguous() for name, value in plain_weights(model).items()}
        if half:
            weights = {
                name: value.half() if value.is_floating_point() else value for name, value in weights.items()
            }
        write_weights(weights, partial / WEIGHTS_NAME)
        # safetensors makes it readable by its owner alone; the other files are as the umask has it.
        (partial / CARD_NAME).touch()
        (partial / WEIGHTS_NAME).chmod((partial / CARD_NAME).stat().st_mode)
        (partial / CARD_NAME).write_text(model_card(model) if card is None else card, encoding="utf-8")
        text = json.dumps(to_plain(describe(model)), indent=2, ensure_ascii=False, default=str)
        (partial / CONFIG_NAME).write_text(text + "\n", encoding="utf-8")
        if folder.exists():
            for name in (WEIGHTS_NAME, CARD_NAME, CONFIG_NAME):
                (partial / name).replace(folder / name)
        else:
            partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def read_config(folder: str | Path) -> tuple[Path, SavedModel]:
    """The local folder of a saved model and its checked `config.json`.

    Args:
        folder: a folder, or the hub name of one, which is fetched (or found in the local cache).

    """
    source = Path(folder).expanduser()
    if not source.is_dir():
        if looks_like_path(str(folder)) or isinstance(folder, Path):
            raise UserError(
                f"there is no model folder {folder}",
                remedy="name a folder that holds config.json and model.safetensors, "
                "for example runs/NAME/checkpoints/best/model",
            )
        remedy = "name the folder of a model, or log in if it is private (`hf auth login`, or HF_TOKEN)"
        source = on_hub(str(folder), _snapshot, remedy=remedy)
    path = source / CONFIG_NAME
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        # A repository without files becomes no folder.
        items = sorted(item.name for item in source.iterdir()) if source.is_dir() else []
        inside = ", ".join(items[:6]) or "nothing"
        hint = f"; did you mean {source / 'model'}?" if (source / "model" / CONFIG_NAME).is_file() else ""
        raise UserError(f"{folder} is no model folder: no {CONFIG_NAME}, but {inside}{hint}") from None
    except ValueError as error:
        raise UserError(f"{path} is no JSON: {error}") from None
    if not isinstance(plain, dict) or plain.get("format") != "tracknet":
        raise UserError(
            f"{path} describes no TrackNet model",
            remedy="a backbone alone goes into model.backbone.name, not here",
        )
    return source, read_description(plain, str(path))


def _snapshot(name: str, *, local_files_only: bool) -> Path:
    """A model's folder in the cache, from the hub where that is allowed.

    Raises:
        FileNotFoundError: the cache alone was to be looked into, and holds a part of the model: huggingface_hub gives
            that, too, after a download that broke off and after one of another file of the repository.

    """
    folder = Path(snapshot_download(name, local_files_only=local_files_only))
    if local_files_only and not all((folder / part).exists() for part in (CONFIG_NAME, WEIGHTS_NAME)):
        raise FileNotFoundError(f"{folder} does not hold the whole model")
    return folder


def read_description(plain: dict[str, Any], where: str) -> SavedModel:
    """The checked description of a model, from the plain values that `to_plain` made of it.

    Raises:
        UserError: another format version, or values that cannot be; named by `where`.

    """
    version = plain.get("format_version")
    if version != FORMAT_VERSION:
        raise UserError(
            f"{where} has format version {version}, this software reads {FORMAT_VERSION}",
            remedy=f"use the tracknet version that wrote it ({plain.get('tracknet_version', 'unknown')})",
        )
    saved = from_plain(SavedModel, plain, where=where)
    if problems := list(_impossible(saved)):
        raise UserError(
            f"{where} describes a model that cannot be", problems=problems, remedy="copy the model again"
        )
    return saved


def _impossible(saved: SavedModel) -> Iterator[str]:
    for name in ("num_frames", "frame_stride"):
        if (value := getattr(saved, name)) < 1:
            yield f"{name} must be at least 1, got {value}"
    if min(saved.input_size) < 1:
        yield f"input_size must be at least 1x1, got {saved.input_size}"
    if not all(math.isfinite(value) for value in saved.mean):
        yield f"mean must be finite, got {list(saved.mean)}"
    # Pixels are divided by it.
    if not all(map(is_above_0, saved.std)):
        yield f"std must be above 0, got {list(saved.std)}"
    if not 0 <= saved.score_threshold <= 1:
        yield f"score_threshold must be from 0 to 1, got {saved.score_threshold:g}"


def empty_backbone(saved: SavedModel) -> ViTBackbone | NoBackbone:
    """The backbone of a saved model, before its weights."""
    if saved.backbone_config is None:
        return no_backbone(saved.model)
    with no_init_weights():  # `load_weights` sets every one of them; drawing a ViT-B's takes seconds
        vit = vit_from_config(hf_config_from_dict(dict(saved.backbone_config)))
    backbone = saved.model.backbone
    return ViTBackbone(vit, freeze=backbone.freeze, layers=backbone.layers)


def load_weights(model: torch.nn.Module, folder: Path) -> None:
    """Loads `model.safetensors` strictly.

    Raises:
        UserError: tensors are missing, unknown or of another shape; the first of each are named.
        RunError: the file is damaged, or was changed.

    """
    path = folder / WEIGHTS_NAME
    if not path.is_file():
        raise UserError(f"{folder} has no {WEIGHTS_NAME}", remedy="copy the whole model folder")
    weights = read_weights(path)
    expected = model.state_dict()
    problems = [
        *_name_some("missing", sorted(expected.keys() - weights.keys())),
        *_name_some("unknown", sorted(weights.keys() - expected.keys())),
        *_name_some(
            "of another shape",
            [
                f"{name} {list(weights[name].shape)} for {list(expected[name].shape)}"
                for name in sorted(expected.keys() & weights.keys())
                if weights[name].shape != expected[name].shape
            ],
        ),
    ]
    if problems:
        raise UserError(
            f"the weights in {path} do not fit the model its {CONFIG_NAME} describes",
            problems=problems,
            remedy="the two files belong together: copy the whole folder again",
        )
    model.load_state_dict(weights, strict=True)


def describe(model: TrackNet) -> SavedModel:
    """What is to be known of a model beside its weights."""
    backbone_config = None
    if isinstance(model.backbone, ViTBackbone):
        backbone_config = model.backbone.hf_config.to_dict()
        backbone_config.pop("_name_or_path", None)
    return SavedModel(
        model=model.config,
        input_size=model.input_size,
        num_frames=model.num_frames,
        anchor=model.anchor,
        frame_stride=model.frame_stride,
        mean=model.normalisation[0],
        std=model.normalisation[1],
        score_threshold=float(model.score_threshold),
        backbone_config=backbone_config,
        provenance=model.provenance,
    )


def _name_some(kind: str, names: list[str]) -> list[str]:
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return [f"{len(names)} {kind}: {', '.join(names[:4])}{more}"] if names else []
