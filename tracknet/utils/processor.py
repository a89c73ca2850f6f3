"""What a checkpoint's image processor says: the size it wants, and how pixels are normalised.

Only numbers are taken from it. The frames are resized by `images.resize_frame` and normalised inside the
model, and nothing is ever centre-cropped: DINOv2's default would drop both sides of a 16:9 frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracknet.utils.errors import UserError, first_line
from tracknet.utils.geometry import Size
from tracknet.utils.settings import BackboneConfig

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
# transformers' own default for its ViT classes, for models made from a bare type.
_DEFAULT_SIZE = Size(224, 224)
_PROCESSOR_FILE = "preprocessor_config.json"


@dataclass(frozen=True, slots=True)
class ProcessorSpec:
    """The numbers of an image processor.

    Attributes:
        size: input size of the model.
        mean: per channel (RGB), of pixels scaled to 0..1.
        std: per channel (RGB), of pixels scaled to 0..1.
        source: where the numbers come from, for people.
    """

    size: Size
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    source: str


def read_processor(backbone: BackboneConfig, resize: Size | None) -> ProcessorSpec:
    """The processor of a model config, its size set by `data.resize` where that is given.

    Args:
        backbone: whose checkpoint to ask. A model with random weights needs no checkpoint: it takes
            ImageNet's mean and deviation, and so does one without a backbone.
        resize: the size to use instead of the checkpoint's own.

    Raises:
        UserError: the checkpoint's processor cannot be read and its numbers are needed.
    """
    folder = Path(backbone.name)
    if backbone.is_none:
        return ProcessorSpec(
            resize or _DEFAULT_SIZE, IMAGENET_MEAN, IMAGENET_STD, "ImageNet's values (no backbone)"
        )
    if not backbone.pretrained and not folder.is_dir():
        source = "transformers' default for a model without weights"
        return ProcessorSpec(resize or _DEFAULT_SIZE, IMAGENET_MEAN, IMAGENET_STD, source)
    if folder.is_dir() and resize is not None and not (folder / _PROCESSOR_FILE).is_file():
        # A folder of bare weights: ImageNet's values are what every open ViT was trained with.
        return ProcessorSpec(resize, IMAGENET_MEAN, IMAGENET_STD, "ImageNet's values (no processor there)")
    from tracknet.utils.hub import on_hub, ways_out

    if folder.is_dir():
        processor = _read_folder(folder)
    else:
        processor = on_hub(backbone.name, _load, remedy=ways_out(backbone.name))
    normalises = bool(processor.do_normalize)
    mean = _per_channel(processor.image_mean if normalises else 0.0)
    std = _per_channel(processor.image_std if normalises else 1.0)
    return ProcessorSpec(resize or _own_size(processor), mean, std, f"the processor of {backbone.name}")


def _load(name: str | Path, **options: Any) -> Any:
    """A checkpoint's processor. DINOv3's own class needs torchvision, which is not asked for here: its
    preprocessor_config.json is read by the ViT class for PIL, which knows the same keys.
    """
    from transformers import AutoImageProcessor, ViTImageProcessorPil

    try:
        return AutoImageProcessor.from_pretrained(name, **options)
    except ImportError:
        return ViTImageProcessorPil.from_pretrained(name, **options)


def _read_folder(folder: Path) -> Any:
    try:
        return _load(folder)
    except (OSError, ValueError, ImportError) as error:
        raise UserError(
            f"the image processor of {folder} cannot be read: {first_line(error)}",
            remedy=f"mend its {_PROCESSOR_FILE}; without that file, data.resize=[WIDTH,HEIGHT] takes ImageNet's values",
        ) from None


def _per_channel(value: float | Sequence[float]) -> tuple[float, float, float]:
    """A processor's number for R, G and B, of which it may hold one for all."""
    red, green, blue = value if isinstance(value, Sequence) else (value, value, value)
    return float(red), float(green), float(blue)


def _own_size(processor: Any) -> Size:
    """The size that a processor's pictures end up with."""
    for attribute in ("crop_size" if getattr(processor, "do_center_crop", False) else "size", "size"):
        size = getattr(processor, attribute, None)
        if size is None:
            continue
        get = size.get if hasattr(size, "get") else lambda key, size=size: getattr(size, key, None)
        width, height, edge = get("width"), get("height"), get("shortest_edge")
        if width and height:
            return Size(int(width), int(height))
        if edge:
            return Size(int(edge), int(edge))
    return _DEFAULT_SIZE
