"""A model in one file, loaded: what `export` wrote, as an object that predicts as a `TrackNet` does.

.onnx   run by onnxruntime; needs neither transformers nor the model folder. Data only: safe to load from others.
.pt2    run by torch (`torch.export`). Loading one evaluates expressions in it and may unpickle: as with any
        program, load only what you or somebody you trust has written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from tracknet.inference.export_format import (
    INPUT_NAME,
    OUTPUT_NAMES,
    SUFFIXES,
    ExportMetadata,
    read_metadata,
)
from tracknet.inference.graph_runtimes import Graph, OnnxGraph, Port, ProgramGraph, program_metadata
from tracknet.utils.errors import UserError
from tracknet.utils.heatmap import locate
from tracknet.utils.settings import SequenceConfig


class ExportedModel:
    """Has of a `TrackNet` what a predictor needs; the weights cannot be trained.

    Attributes:
        metadata: all that the file says of itself.
    """

    def __init__(self, graph: Graph, metadata: ExportMetadata) -> None:
        saved = metadata.saved
        self._graph = graph
        self.metadata = metadata
        self.config = saved.model
        self.input_size = saved.input_size
        self.num_frames = saved.num_frames
        self.anchor = saved.anchor
        self.frame_stride = saved.frame_stride
        self.sequence = SequenceConfig(
            length=saved.num_frames, stride=saved.frame_stride, anchor=saved.anchor
        )
        self.map_frames = self.sequence.map_frames(saved.model.head.maps)
        self.num_maps = len(self.map_frames)
        self.score_threshold = saved.score_threshold
        self.provenance = saved.provenance

    def __call__(self, frames: torch.Tensor) -> torch.Tensor:
        """Frames uint8 RGB `[B, T, 3, H, W]` to float32 logits `[B, M, h, w]` on the frames' device, for any B."""
        return self.outputs(frames, OUTPUT_NAMES[:1])[0]

    def outputs(self, frames: torch.Tensor, names: Sequence[str] | None = None) -> list[torch.Tensor]:
        """What the file computes: logits `[B, M, h, w]` and, where it has them, points `[B, M, 2]` and scores `[B, M]`.

        Args:
            frames: uint8 RGB `[B, T, 3, H, W]`.
            names: of `OUTPUT_NAMES`; all that there are by default.

        """
        if frames.dtype != torch.uint8:
            raise TypeError(f"frames must be uint8 (normalisation happens in here), got {frames.dtype}")
        expected = (self.num_frames, 3, self.input_size.height, self.input_size.width)
        if frames.ndim != 5 or tuple(frames.shape[1:]) != expected:
            raise ValueError(
                f"frames are {list(frames.shape)}, the model takes [B, {', '.join(map(str, expected))}]"
            )
        names = names or (OUTPUT_NAMES if self.metadata.points else OUTPUT_NAMES[:1])
        size = self.metadata.batch or max(len(frames), 1)
        parts = [self._graph.run(part.contiguous(), names) for part in torch.split(frames, size)]
        return [torch.cat(of_one_name).to(frames.device) for of_one_name in zip(*parts, strict=True)]

    def decode(self, logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits `[B, M, h, w]` to xy in *input* pixels `[B, M, 2]` and scores `[B, M]`, as `TrackNet.decode`."""
        heatmap = self.config.heatmap
        return locate(logits, heatmap.decode, heatmap.sigma, self.input_size)

    def eval(self) -> ExportedModel:
        """Itself: an exported model does nothing else."""
        return self


def is_exported(path: str | Path) -> bool:
    """Whether a name is that of an exported file: `.onnx` or `.pt2`, in upper or lower case."""
    return Path(path).suffix.lower() in SUFFIXES.values()


def load_exported(path: str | Path, device: str = "auto") -> ExportedModel:
    """The model in a file that `export` wrote.

    Args:
        path: `.onnx` or `.pt2`.
        device: torch's name, or `auto`. For ONNX it says where onnxruntime computes: `cuda` needs its GPU build.

    Raises:
        UserError: no such file, not written by `export`, another version, a graph that is not what its metadata say,
            or a package or device is missing.
        RunError: the file is damaged.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise UserError(
            f"there is no exported model {path}", remedy="name the .onnx or .pt2 file that export wrote"
        )
    suffix = path.suffix.lower()
    graph: Graph
    if suffix == SUFFIXES["onnx"]:
        graph = onnx_graph = OnnxGraph(path, device)
        metadata = read_metadata(onnx_graph.metadata, str(path))
    elif suffix == SUFFIXES["torch-export"]:
        # First, so that no program of unknown origin is loaded.
        metadata = read_metadata(program_metadata(path), str(path))
        graph = ProgramGraph(path, device)
    else:
        raise UserError(f"{path} is no exported model: its name ends neither in .onnx nor in .pt2")
    model = ExportedModel(graph, metadata)
    _check_fit(graph, model, str(path))
    return model


def _check_fit(graph: Graph, model: ExportedModel, where: str) -> None:
    """Refuses a graph that takes or gives other things than its metadata say."""
    metadata, size, cells = model.metadata, model.input_size, model.config.heatmap.size
    batch, maps = metadata.batch, model.num_maps
    takes = {INPUT_NAME: Port((batch, model.num_frames, 3, size.height, size.width), "uint8")}
    outputs = {
        "logits": Port((batch, maps, cells.height, cells.width), "float32"),
        "points_px": Port((batch, maps, 2), "float32"),
        "scores": Port((batch, maps), "float32"),
    }
    gives = {name: outputs[name] for name in (OUTPUT_NAMES if metadata.points else OUTPUT_NAMES[:1])}
    problems = [*_misfits(graph.inputs, takes, "takes"), *_misfits(graph.outputs, gives, "gives")]
    if problems:
        raise UserError(
            f"the graph in {where} is not the one that its metadata describe",
            problems=problems,
            remedy="export the model again",
        )


def _misfits(found: Mapping[str, Port], told: Mapping[str, Port], verb: str) -> list[str]:
    problems = []
    for name, port in told.items():
        if name not in found:
            problems.append(f"it {verb} {', '.join(found) or 'nothing'}, and by its metadata {name}")
            continue
        own, said = found[name], port.shape
        # A batch of any size must be so in both; of other sides a graph need not say the size.
        fits = own.dtype == port.dtype and len(own.shape) == len(said) and own.shape[0] == said[0]
        if not fits or any(a not in (None, b) for a, b in zip(own.shape[1:], said[1:], strict=True)):
            problems.append(f"it {verb} {name} as {own}, and by its metadata as {port}")
    if set(told) < set(found):
        problems.append(f"it {verb} {', '.join(found)}, and its metadata know {', '.join(told)} alone")
    return problems
