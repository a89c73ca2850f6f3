"""Sizes of an experiment's rows: what another input size means for a row, and whether its model takes its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from tracknet.utils.errors import UserError
from tracknet.utils.geometry import Size
from tracknet.utils.settings import BackboneConfig, Config

if TYPE_CHECKING:
    from benchmarks.ablation.request import Request


def grid_of(config: Config) -> int:
    """Pixels that a row's width and height are whole multiples of: patches of 14, or what is halved four times."""
    size = size_of(config)
    return 14 if not config.model.backbone.is_none and size.width % 16 else 16


def size_of(config: Config) -> Size:
    """The input size.

    Raises:
        UserError: it is left to the checkpoint, which is not there before the training.
    """
    if config.data.resize is None:
        raise UserError(
            "data.resize is null: a row's size has to be said",
            remedy="say it in the experiment's overrides or the row's, such as data.resize=[512,288]",
        )
    return config.data.resize


def sized(config: Config, size: Size) -> list[str]:
    """What gives a row another input size: `key=value` of the size, and of the heatmap in the same proportion."""
    old, heatmap = size_of(config), config.model.heatmap.size
    return [
        f"data.resize=[{size.width},{size.height}]",
        f"model.heatmap.size=[{heatmap.width * size.width // old.width},"
        f"{heatmap.height * size.height // old.height}]",
    ]


def nearest_whole(config: Config, wanted: Size) -> Size:
    """The size nearest to another one that a row takes: for patches of 14 not the one of the other rows."""
    grid = grid_of(config)
    width, height = (max(1, round(side / grid)) * grid for side in (wanted.width, wanted.height))
    return Size(width, height)


def check_models(wanted: Sequence[Request]) -> None:
    """Builds every row's model, without memory or weights, so that sizes that do not fit are told before any training.

    A backbone of the hub or a folder is stood in for by one layer of random weights with patches of the same size:
    all that sizes depend on.

    Raises:
        UserError: naming every row that cannot be built, with the reason.
    """
    import torch

    from tracknet.models.model import TrackNet

    problems: dict[str, str] = {}
    for request in {one.row: one for one in reversed(wanted)}.values():
        config = request.config()
        backbone = config.model.backbone
        if not backbone.is_none and (backbone.pretrained or "/" in backbone.name):
            kind = "dinov2" if grid_of(config) == 14 or "dinov2" in backbone.name else "vit"
            backbone = BackboneConfig(name=kind, pretrained=False, config={"num_hidden_layers": 1})
        try:
            with torch.device("meta"):
                TrackNet(
                    replace(config.model, backbone=backbone),
                    input_size=size_of(config),
                    num_frames=config.data.sequence.length,
                    anchor=config.data.sequence.anchor,
                )
        except UserError as error:
            problems[request.row] = f"{request.row}: {error}"
    if problems:
        told = [problems[row] for row in dict.fromkeys(one.row for one in wanted) if row in problems]
        raise UserError("not every row's model can be built", problems=told)
