"""Models take other sizes while they are trained, and no other time."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch

from tests.models.test_contract import KINDS
from tracknet.models.backbones.positions import GridPositions
from tracknet.models.model import TrackNet
from tracknet.utils.config import load_config
from tracknet.utils.geometry import Size

MakeModel = Callable[..., TrackNet]


def window(model: TrackNet, size: Size) -> torch.Tensor:
    return torch.randint(0, 256, (1, model.num_frames, 3, size.height, size.width), dtype=torch.uint8)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("patch", [14, 16])
def test_a_vit_trains_at_other_sizes(tiny_model: MakeModel, kind: str, patch: int) -> None:
    model = tiny_model(kind, patch, fusion="attention", subpixel=2)
    assert model.size_unit == patch
    cells = model.config.heatmap.size.width // (model.input_size.width // patch)
    for columns, rows in ((3, 2), (5, 3)):
        size = Size(columns * patch, rows * patch)
        with pytest.raises(ValueError, match=f"frames are {size}, the model takes {model.input_size}"):
            model(window(model, size))
        model.training_sizes = (size,)
        logits = model(window(model, size))
        assert logits.shape == (1, 1, rows * cells, columns * cells)
        logits.square().mean().backward()
        assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
        with pytest.raises(ValueError, match="the model takes"):
            model.eval()(window(model, size))
        model.train()


@pytest.mark.parametrize("name", ["detail_fine", "tracknet_v2", "wasb"])
def test_nets_without_a_vit_train_at_other_sizes(name: str) -> None:
    narrow = ["model.decoder.channels=[C,8,8,8,8]", "model.decoder.detail_channels=4"]
    narrow = narrow if name == "detail_fine" else []
    config = load_config(model=name, overrides=["model.heatmap.size=[64,48]", *narrow]).model
    model = TrackNet(config, input_size=Size(64, 48), num_frames=3)
    size = Size(48, 32)
    assert size.width % model.size_unit == size.height % model.size_unit == 0
    model.training_sizes = (size,)
    assert model(window(model, size)).shape[-2:] == (32, 48)


def test_positions_of_a_grid_that_is_no_square_stay_where_they_are(tiny_model: MakeModel) -> None:
    """4x2 patches have no root; of 32x18 transformers makes 24x24."""
    vit = tiny_model("vit", 16).backbone.vit
    embeddings = vit.embeddings
    mended = embeddings.interpolate_pos_encoding
    assert isinstance(mended, GridPositions)
    with torch.no_grad():
        places = torch.stack(torch.meshgrid(torch.arange(2.0), torch.arange(4.0), indexing="ij"), -1)
        embeddings.position_embeddings[0, 1:, :2] = places.reshape(8, 2)
        own = mended(torch.empty(0), 32, 64)
        torch.testing.assert_close(own, embeddings.position_embeddings)
        finer = mended(torch.empty(0), 64, 128)[0, 1:, :2].reshape(4, 8, 2)
    # A column of patches becomes two, a quarter to either side of it; a bicubic bends at the borders.
    np.testing.assert_allclose(finer[:, 2:6, 1].mean(0), [0.75, 1.25, 1.75, 2.25], atol=0.09)
    np.testing.assert_allclose(finer.diff(dim=1)[..., 0].numpy(), 0, atol=1e-5)
    assert (finer[..., 0].diff(dim=0) > 0.1).all() and (finer[..., 1].diff(dim=1) > 0.1).all()


def test_a_copied_model_has_positions_of_its_own(tiny_model: MakeModel) -> None:
    model = tiny_model("vit", 16)
    other = copy.deepcopy(model)
    with torch.no_grad():
        other.backbone.vit.embeddings.position_embeddings.fill_(7)
        found = [
            one.backbone.vit.embeddings.interpolate_pos_encoding(torch.empty(0), 64, 128)
            for one in (model, other)
        ]
    assert (found[1] == 7).all() and not (found[0] == 7).any()
