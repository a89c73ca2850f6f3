"""How deep in a ViT each of its weights lies."""

from __future__ import annotations

from torch import nn

from tracknet.utils.errors import UserError


def layer_depths(vit: nn.Module, num_layers: int) -> dict[str, int]:
    """The depth of every weight, by its name in `vit`: 0 for embeddings, 1..L for the layers, L + 1 above them.

    Told by the order in which a ViT registers its parts, for the parts' names differ between kinds: what comes before
    the list of L layers feeds them (patches, positions, class and register tokens), what comes after reads them (the
    last norm).

    Args:
        vit: a plain ViT, with or without adapters.
        num_layers: L, as its config says.

    Raises:
        UserError: it has no list of that many layers.

    """
    lists = [
        name
        for name, part in vit.named_modules()
        if isinstance(part, nn.ModuleList) and len(part) == num_layers
    ]
    if not lists:
        raise UserError(
            f"training.optimizer.layer_decay: {type(vit).__name__} has no list of {num_layers} layers",
            remedy="set it to 1, or use vit, dinov2 or dinov3_vit",
        )
    # The outermost: a layer may hold a list of as many parts.
    prefix = f"{min(lists, key=lambda name: name.count('.'))}."
    depths: dict[str, int] = {}
    above = 0
    for name, _ in vit.named_parameters():
        if name.startswith(prefix):
            depths[name] = int(name.removeprefix(prefix).partition(".")[0]) + 1
            above = num_layers + 1
        else:
            depths[name] = above
    return depths
