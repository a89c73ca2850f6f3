"""The README of a model folder: what the model takes and gives, how good it was measured to be, and on what.

Every figure in it comes from a file that some command wrote; what is not known is said to be unknown.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tracknet import __version__
from tracknet.models.backbones.lora import is_adapter
from tracknet.models.backbones.vit_backbone import ViTBackbone
from tracknet.utils.naming import counted

if TYPE_CHECKING:
    from tracknet.models.model import TrackNet

Evaluation = Mapping[str, Any]
"""The content of a `metrics.json` that `evaluate` wrote."""

_FIGURES = (("F1", "f1"), ("precision", "precision"), ("recall", "recall"), ("AP", "ap"))
_PLACE = "PATH/OF/THIS/FOLDER"


def model_card(
    model: TrackNet,
    *,
    name: str | None = None,
    evaluations: Sequence[Evaluation] = (),
    license: str | None = None,
) -> str:
    """The text of a model's README.

    Args:
        model: whose card.
        name: the hub name (`owner/name`) or folder that the example loads.
        evaluations: of these very weights.
        license: an identifier such as `mit`; left open where `None`, for that is the publisher's to say.

    """
    sections = [
        _front_matter(license),
        ["# TrackNet" if name is None else f"# {name.rpartition('/')[2]}", "Finds the ball in sports video."],
        _usage(model, name or _PLACE),
        _facts(model),
        list(_measured(model, evaluations)),
        ["## Score threshold", _threshold(model)],
        list(_training_data(model)),
        ["## Licence", _licence(license)],
        _origin(model),
    ]
    return "\n\n".join("\n".join(lines) for lines in sections if lines) + "\n"


def _front_matter(license: str | None) -> list[str]:
    return [
        "---",
        "library_name: tracknet",
        *([f"license: {license}"] if license else []),
        "tags: [ball-tracking, heatmap, vision-transformer]",
        "---",
    ]


def _usage(model: TrackNet, name: str) -> list[str]:
    size = model.input_size
    return [
        "## Use",
        "```python",
        "import torch",
        "from tracknet import TrackNet",
        "",
        f'model = TrackNet.from_pretrained("{name}")',
        "# RGB frames of a video, resized to the input size: "
        f"[B, {model.num_frames}, 3, {size.height}, {size.width}]",
        f"frames = torch.zeros(1, {model.num_frames}, 3, {size.height}, {size.width}, dtype=torch.uint8)",
        "with torch.no_grad():",
        "    logits = model(frames)  # normalisation is inside",
        "points_px, scores = model.decode(logits)  # (x, y) in input pixels, highest probability",
        "found = scores >= model.score_threshold",
        "```",
    ]


def _facts(model: TrackNet) -> list[str]:
    heatmap = model.config.heatmap
    apart = f", {model.frame_stride} apart" if model.frame_stride > 1 else ""
    maps = ", ".join(str(index) for index in model.map_frames)
    parameters = sum(p.numel() for name, p in model.named_parameters() if not is_adapter(name)) / 1e6
    return [
        "| | |",
        "|---|---|",
        f"| input | {counted(model.num_frames, 'frame')} of {model.input_size}{apart}, uint8 RGB |",
        f"| output | {model.num_maps} heatmap(s) of {heatmap.size}, for frame {maps} (from 0) of the window |",
        f"| sigma, decoding | {heatmap.sigma:g} cells, {heatmap.decode} |",
        f"| score threshold | {model.score_threshold:g} |",
        f"| network | {_network(model)} |",
        f"| parameters | {parameters:.2f} M |",
        f"| written by | tracknet {__version__} |",
    ]


def _network(model: TrackNet) -> str:
    backbone, config = model.backbone, model.config
    if isinstance(backbone, ViTBackbone):
        lora = config.backbone.lora
        return (
            f"{backbone.hf_config.model_type}, patch {backbone.patch_size}, width {backbone.width}, "
            f"{_layers(config.backbone.layers)}from {config.backbone.name}"
            + ("" if lora is None else f", tuned by adapters of rank {lora.rank}, which are merged")
        )
    return "convolutions alone" if config.architecture == "modular" else config.architecture


def _layers(layers: tuple[int, ...] | None) -> str:
    return "" if layers is None else f"layers {', '.join(map(str, layers))}, "


def _measured(model: TrackNet, evaluations: Sequence[Evaluation]) -> Iterator[str]:
    yield "## Measured"
    for evaluation in evaluations:
        yield from _evaluation(evaluation)
    if evaluations:
        return
    figures = model.provenance.get("validation")
    if not isinstance(figures, Mapping):
        yield "Not evaluated: `python -m tracknet.scripts.evaluate` measures it under the field's protocols."
        return
    yield "By the validation during training, which also chose checkpoint and threshold (so it flatters):"
    yield ""
    yield "| " + " | ".join(figures) + " |"
    yield "|" + "---|" * len(figures)
    yield "| " + " | ".join(_number(value) for value in figures.values()) + " |"


def _evaluation(evaluation: Evaluation) -> Iterator[str]:
    games = ", ".join(evaluation.get("games") or ()) or "unknown games"
    sizes = ", ".join(evaluation.get("frame_sizes") or ())
    resampled = evaluation.get("bootstrap") or {}
    yield (
        f"Split `{evaluation.get('split')}` of build {str(evaluation.get('build_id'))[:12]} ({games}): "
        f"{evaluation.get('frames', 0):,} frames{f' of {sizes}' if sizes else ''} in {evaluation.get('clips', 0):,} "
        f"clips, {evaluation.get('balls', 0):,} of them with a ball; threshold {_number(evaluation.get('threshold'))}, "
        f"overlap {evaluation.get('overlap')}{', with the mirror image' if evaluation.get('flip') else ''}. "
        f"In brackets {100 * float(resampled.get('level', 0.95)):g} % intervals over clips."
    )
    yield ""
    yield "| protocol | counts as found | " + " | ".join(title for title, _ in _FIGURES) + " |"
    yield "|---|---|" + "---|" * len(_FIGURES)
    for name, protocol in (evaluation.get("protocols") or {}).items():
        intervals = protocol.get("intervals") or {}
        cells = [_with_interval(protocol.get(key), intervals.get(key)) for _, key in _FIGURES]
        yield f"| {name} | {protocol.get('distance')} | " + " | ".join(cells) + " |"
    error = evaluation.get("error") or {}
    yield ""
    yield (
        f"Distance to the ball where there is one: median {_number(error.get('median'))} px, "
        f"90 % within {_number(error.get('p90'))} px."
    )
    caution = resampled.get("caution")
    for note in [*(evaluation.get("notes") or ()), *([caution] if caution else [])]:
        yield f"- {note}"
    yield ""


def _threshold(model: TrackNet) -> str:
    text = f'Scores below {model.score_threshold:g} mean "no ball"; '
    chosen = model.provenance.get("threshold_chosen_on")
    if not isinstance(chosen, Mapping):
        return text + "how this value was chosen is not recorded."
    text += f"chosen by F1 under {chosen.get('protocol') or 'an unnamed protocol'} on "
    clips = chosen.get("clips")
    text += f"clips {', '.join(clips)} of " if clips else "all of "
    builds = ", ".join(str(build)[:12] for build in chosen.get("build_ids") or ())
    text += f"the split `{chosen.get('split')}`"
    text += f" ({', '.join(chosen['games'])})" if chosen.get("games") else ""
    text += f" of build {builds}" if builds else ""
    how = [f"overlap {chosen['overlap']}"] if chosen.get("overlap") else []
    how += ["the mirror image averaged in"] if chosen.get("flip") else []
    most = chosen.get("most_false_alarms")
    how += [] if most is None else [f"false alarms on at most {most:.3g} of the frames without a ball"]
    return text + (f", with {' and '.join(how)}" if how else "") + "."


def _training_data(model: TrackNet) -> Iterator[str]:
    yield "## Training data"
    games, build = model.provenance.get("games"), model.provenance.get("build_id")
    if not isinstance(games, Mapping):
        yield "Not recorded."
        return
    for split, names in games.items():
        yield f"- {split}: {', '.join(map(str, names))}"
    yield f"- shards of build {build or 'unknown'}"
    if start := model.provenance.get("init_from"):
        yield f"- started from the weights of {start}"


def _licence(license: str | None) -> str:
    if license:
        return f"{license}. The backbone's and the training data's own licences apply beside it."
    return (
        "Not stated. Whoever publishes these weights says which one holds, with those of the backbone and of the "
        "training data in mind."
    )


def _origin(model: TrackNet) -> list[str]:
    if not model.provenance:
        return []
    facts = json.dumps(model.provenance, indent=2, ensure_ascii=False, default=str)
    return ["## Where it comes from", "```json", facts, "```"]


def _number(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _with_interval(value: Any, interval: Any) -> str:
    if value is None:
        return "-"
    text = f"{value:.3f}"
    return text + (f" [{interval[0]:.3f}, {interval[1]:.3f}]" if interval else "")
