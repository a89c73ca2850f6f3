"""Settings of parts that a model does not have, or that see nothing: they would be taken and change nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields
from typing import Any

from tracknet.utils.settings.model import DecoderConfig, FusionConfig, ModelConfig

_OF_THE_STEM = ("channels", "levels", "input", "kernel", "finest")


def of_parts_not_there(model: ModelConfig) -> Iterator[tuple[str, str]]:
    """What is set of a baseline's fusion and decoder, or of a missing backbone, as (dotted key, message).

    A file may say of them what they are by default.
    """
    if model.architecture != "modular":
        usual: dict[str, Any] = {"fusion": FusionConfig(), "decoder": DecoderConfig()}
        for part, default in usual.items():
            for name in (f.name for f in fields(default)):
                if getattr(getattr(model, part), name) != getattr(default, name):
                    yield (
                        f"model.{part}.{name}",
                        f"{model.architecture} is of one piece and has no {part} to set: take it out",
                    )
    elif model.backbone.is_none:
        if model.fusion.kind != "concat":
            yield (
                "model.fusion.kind",
                f"{model.fusion.kind} is of a backbone's tokens, and there is none: set it to concat",
            )
        if model.fusion.layers != "concat":
            yield (
                "model.fusion.layers",
                f"{model.fusion.layers} is of a backbone's layers, and there is none: set it to concat",
            )
    if model.backbone.is_none and model.backbone.freeze:
        yield "model.backbone.freeze", "there is no backbone (model.backbone.name=none): set it to false"


def unheard(model: ModelConfig, length: int, asked: Callable[[str], bool]) -> Iterator[str]:
    """What is asked for that changes nothing, where a file of configs/model may say it for good reason.

    Args:
        model: its settings.
        length: frames of a window.
        asked: of a dotted key, whether a person set it by name.

    Yields:
        A line for each.
    """
    if model.architecture != "modular":
        return
    if model.decoder.skip == "none":
        for name in (f"model.decoder.detail_{name}" for name in _OF_THE_STEM):
            if asked(name):
                yield f"{name} is of the detail stem, which model.decoder.skip=none leaves out: it changes nothing"
    elif (
        length == 1
        and model.decoder.detail_input == "frames_and_differences"
        and asked("model.decoder.detail_input")
    ):
        yield (
            "model.decoder.detail_input=frames_and_differences: data.sequence.length=1 shows one frame, which differs "
            "from none: the stem sees that frame alone"
        )
