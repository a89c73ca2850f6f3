"""A frozen backbone by itself: frames in, tokens out, and what they depend on."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from tracknet.models import persistence
from tracknet.models.backbones.build import build_vit_backbone
from tracknet.models.backbones.vit_backbone import ViTBackbone, patch_grid
from tracknet.models.model import TrackNet
from tracknet.models.normalise import normalised
from tracknet.models.precision import Precision
from tracknet.utils.backbone_identity import BackboneIdentity
from tracknet.utils.config import to_plain
from tracknet.utils.errors import UserError
from tracknet.utils.geometry import Size
from tracknet.utils.processor import read_processor
from tracknet.utils.settings import BackboneConfig, Config

# Of `model.backbone`: what the digest of the weights stands for, or what changes no token.
_NOT_OF_THE_TOKENS = ("name", "pretrained", "freeze", "config")
Normalisation = tuple[tuple[float, float, float], tuple[float, float, float]]


class FrameEncoder:
    """Frames to tokens.

    Attributes:
        identity: of the backbone.
        precision: device and arithmetic.
    """

    def __init__(
        self,
        backbone: ViTBackbone,
        config: BackboneConfig,
        size: Size,
        normalisation: Normalisation,
        on: Precision,
    ) -> None:
        """Prepares a backbone, which is frozen and moved to its device.

        Args:
            backbone: with its weights.
            config: of the backbone.
            size: of the frames.
            normalisation: mean and deviation per channel, of pixels in 0..1.
            on: device and arithmetic.

        Raises:
            UserError: the frames are no whole number of patches.
        """
        self.identity = identify(backbone, config, size, normalisation)
        self.precision = on
        backbone.set_frozen(True)
        self._backbone = backbone.eval().to(on.device)
        self._mean, self._std = (torch.tensor(values, device=on.device) for values in normalisation)

    @classmethod
    def of_config(cls, config: Config, size: Size, on: Precision) -> FrameEncoder:
        """The backbone that a training of this configuration would start with. Raises as `build_vit_backbone` does."""
        backbone = config.model.backbone
        if backbone.is_none:
            raise UserError(
                "this model has no backbone (model.backbone.name=none): there are no tokens to compute",
                remedy="name a model config with a ViT, such as --model dinov2_small",
            )
        processor = read_processor(backbone, size)
        # As the training does: random weights are then the same ones.
        torch.manual_seed(config.training.seed)
        vit = build_vit_backbone(backbone, size)
        return cls(vit, backbone, size, (processor.mean, processor.std), on)

    @classmethod
    def of_model(cls, folder: Path, size: Size, on: Precision) -> FrameEncoder:
        """The backbone of a saved model.

        Raises:
            UserError: it has none, or sees frames of another size; and as `TrackNet.from_pretrained` does.
        """
        _, saved = persistence.read_config(folder)
        if saved.input_size != size:
            raise UserError(
                f"the model in {folder} takes frames of {saved.input_size}, the shards hold {size}",
                remedy="give the shards that it was trained on, or others of that size",
            )
        model = TrackNet.from_pretrained(folder)
        if not isinstance(model.backbone, ViTBackbone):
            raise UserError(
                f"the model in {folder} has no backbone: there are no tokens to compute",
                remedy="name a model with a ViT",
            )
        return cls(model.backbone, model.config.backbone, size, model.normalisation, on)

    @torch.no_grad()
    def __call__(self, frames: npt.NDArray[np.uint8]) -> npt.NDArray[np.float16]:
        """Frames uint8 RGB `[N, H, W, 3]` to tokens float16 `[N, Hp, Wp, C]`; infinite where float16 ends."""
        pixels = torch.from_numpy(frames).to(self.precision.device, non_blocking=True).permute(0, 3, 1, 2)
        with self.precision.autocast():
            tokens = self._backbone(normalised(pixels, self._mean, self._std))
        return np.asarray(tokens.permute(0, 2, 3, 1).contiguous().half().cpu(), np.float16)


def identity_of(model: TrackNet) -> BackboneIdentity:
    """What the tokens of a model's backbone depend on. Raises UserError where it has none."""
    if not isinstance(model.backbone, ViTBackbone):
        raise UserError(
            "data.features: this model has no backbone whose features these could be",
            remedy="take out data.features, or choose a model with a ViT",
        )
    return identify(model.backbone, model.config.backbone, model.input_size, model.normalisation)


def identify(
    backbone: ViTBackbone, config: BackboneConfig, size: Size, normalisation: Normalisation
) -> BackboneIdentity:
    """As `identity_of`, of the parts. Raises UserError where the frames are no whole number of patches."""
    settings = {name: value for name, value in to_plain(config).items() if name not in _NOT_OF_THE_TOKENS}
    return BackboneIdentity(
        name=config.name,
        weights_sha256=weights_sha256(backbone),
        image_size=size,
        grid=patch_grid(size, backbone.patch_size),
        channels=backbone.out_channels,
        mean=normalisation[0],
        std=normalisation[1],
        settings=settings,
    )


def weights_sha256(module: torch.nn.Module) -> str:
    """A hash of all weights, by name and shape, in float32: 64 hex digits. A ViT-B takes about half a second."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        digest.update(f"{name} {list(value.shape)}\n".encode())
        digest.update(np.ascontiguousarray(value.detach().float().cpu().numpy(), "<f4").data)
    return digest.hexdigest()
