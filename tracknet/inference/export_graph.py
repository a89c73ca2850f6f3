"""The network as one graph with nothing left outside, and the two files it is written to."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import nn
from torch.func import functional_call

from tracknet.inference.export_format import INPUT_NAME, METADATA_KEY, OUTPUT_NAMES, ExportMetadata
from tracknet.inference.onnx_seal import seal
from tracknet.models.model import TrackNet
from tracknet.utils.errors import UserError
from tracknet.utils.extras import install_command
from tracknet.utils.heatmap import locate

# A protobuf message, which an ONNX file is, holds no more.
_MOST_ONNX_BYTES = 2**31 - 2**20


class ExportGraph(nn.Module):
    """Frames uint8 `[B, T, 3, H, W]` to logits `[B, M, h, w]`, and to points and scores where asked for.

    Args:
        model: copied, not touched.
        half: keep the weights as float16; arithmetic stays float32, so that every runtime has every operation
            and only the rounding of the weights is lost.
        points: decode in the graph, by the model's own decoder.

    """

    def __init__(self, model: TrackNet, *, half: bool, points: bool) -> None:
        super().__init__()
        self.model = copy.deepcopy(model).cpu().float().eval().requires_grad_(False)
        self.half_weights = half
        self.points = points
        if half:
            for parameter in self.model.parameters():
                parameter.data = parameter.data.half()

    def forward(self, frames: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The outputs, in the order of `OUTPUT_NAMES`."""
        if self.half_weights:
            weights = {name: value.float() for name, value in self.model.named_parameters()}
            logits = functional_call(self.model, weights, (frames,))
        else:
            logits = self.model(frames)
        if not self.points:
            return (logits,)
        heatmap = self.model.config.heatmap
        return (logits, *locate(logits, heatmap.decode, heatmap.sigma, self.model.input_size))

    def example(self, batch: int) -> torch.Tensor:
        """Frames to trace the graph with."""
        size = self.model.input_size
        return torch.zeros(batch, self.model.num_frames, 3, size.height, size.width, dtype=torch.uint8)


def write_onnx(graph: ExportGraph, metadata: ExportMetadata, path: Path) -> None:
    """Writes one ONNX file, weights, metadata and checksum inside.

    Raises:
        UserError: a package is missing, or the weights are more than an ONNX file holds.
    """
    if missing := [name for name in ("onnx", "onnxscript") if find_spec(name) is None]:
        raise UserError(
            f"ONNX files need {' and '.join(missing)}, not installed here",
            remedy=install_command("export"),
        )
    size = sum(value.numel() * value.element_size() for value in graph.state_dict().values())
    if size > _MOST_ONNX_BYTES:
        raise UserError(
            f"the weights are {size / 1e9:.2f} GB, and one ONNX file holds at most {_MOST_ONNX_BYTES / 1e9:.2f}",
            remedy="--format torch-export has no such limit"
            + ("" if graph.half_weights else ", --half halves them"),
        )
    with torch.no_grad(), _quiet():
        program = torch.onnx.export(
            graph,
            (graph.example(metadata.batch or 2),),
            dynamo=True,
            external_data=False,
            verbose=False,
            input_names=[INPUT_NAME],
            output_names=list(OUTPUT_NAMES if graph.points else OUTPUT_NAMES[:1]),
            dynamic_shapes=None if metadata.batch else ({0: "batch"},),
        )
        assert program is not None, "dynamo=True returns the program"
        for node in program.model.graph.all_nodes():
            # Where each operation stands in the source, with this machine's folders: a quarter of a small file.
            node.metadata_props.clear()
        program.model.metadata_props[METADATA_KEY] = metadata.to_json()
        program.save(path, external_data=False)
    seal(path)


def write_program(graph: ExportGraph, metadata: ExportMetadata, path: Path) -> None:
    """Writes one `torch.export` file, weights and metadata inside."""
    batch = {0: torch.export.Dim("batch", min=1)}
    with torch.no_grad(), _quiet():
        program = torch.export.export(
            graph,
            (graph.example(metadata.batch or 2),),
            dynamic_shapes=None if metadata.batch else (batch,),
            strict=False,
        )
        # The frames that it was traced with weigh more than a small model; the source's folders are private.
        program.example_inputs = None
        for node in program.graph.nodes:
            node.meta.pop("stack_trace", None)
        torch.export.save(program, path, extra_files={f"{METADATA_KEY}.json": metadata.to_json()})


WRITERS = {"onnx": write_onnx, "torch-export": write_program}


@contextmanager
def _quiet() -> Iterator[None]:
    """No remarks of the exporter about packages that are not needed and classes of torch's own."""
    logger = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
