"""A model in one file, loaded: what `export` wrote, as an object that predicts as a `TrackNet` does.

.onnx   run by onnxruntime; needs neither transformers nor the model folder. Data only: safe to load from others.
.pt2    run by torch (`torch.export`). Loading one evaluates expressions in it and may unpickle: as with any
        program, load only what you or somebody you trust has written.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from tracknet.models.persistence import SavedModel, read_description
from tracknet.models.precision import resolve_device
from tracknet.utils.config import from_plain, to_plain
from tracknet.utils.errors import RunError, UserError
from tracknet.utils.heatmap import locate
from tracknet.utils.settings import SequenceConfig

EXPORT_VERSION = 1
METADATA_KEY = "tracknet"
"""Of an ONNX file's metadata; of a .pt2 the name of the extra file."""
INPUT_NAME = "frames"
OUTPUT_NAMES = ("logits", "points_px", "scores")
"""The last two where points were asked for."""
SUFFIXES = {"onnx": ".onnx", "torch-export": ".pt2"}


@dataclass(frozen=True)
class ExportMetadata:
    """What an exported file says of itself, as JSON.

    Attributes:
        saved: the model: sizes, window, heatmap, threshold, provenance.
        batch: windows that it takes at once; `None` takes any number.
        points: whether it gives points and scores beside the logits.
        half: whether its weights are float16.
    """

    saved: SavedModel
    batch: int | None
    points: bool
    half: bool
    format: str = "tracknet-export"
    format_version: int = EXPORT_VERSION

    def to_json(self) -> str:
        """As `read_metadata` takes it."""
        return json.dumps(to_plain(self), ensure_ascii=False, default=str)


class Graph(Protocol):
    """The network itself: windows in, named outputs out."""

    def run(self, frames: torch.Tensor, outputs: Sequence[str]) -> list[torch.Tensor]:
        """Frames uint8 `[B, T, 3, H, W]` on any device to the outputs named, on the graph's own."""
        ...


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
        every, anchor_only = tuple(range(saved.num_frames)), (self.sequence.anchor_index,)
        self.map_frames = every if saved.model.head.maps == "all" else anchor_only
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
        UserError: no such file, not written by `export`, another version, an ONNX graph that is not what its metadata
            say, or a package or device is missing.
        RunError: the file is damaged.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise UserError(
            f"there is no exported model {path}", remedy="name the .onnx or .pt2 file that export wrote"
        )
    suffix = path.suffix.lower()
    if suffix == SUFFIXES["onnx"]:
        onnx_graph = OnnxGraph(path, device)
        model = ExportedModel(onnx_graph, read_metadata(onnx_graph.metadata, str(path)))
        _check_fit(onnx_graph, model, str(path))
        return model
    if suffix == SUFFIXES["torch-export"]:
        # First, so that no program of unknown origin is loaded.
        metadata = read_metadata(_program_metadata(path), str(path))
        return ExportedModel(ProgramGraph(path, device), metadata)
    raise UserError(f"{path} is no exported model: its name ends neither in .onnx nor in .pt2")


def _check_fit(graph: OnnxGraph, model: ExportedModel, where: str) -> None:
    """Refuses a graph that takes or gives other things than its metadata say."""
    metadata, size, cells = model.metadata, model.input_size, model.config.heatmap.size
    batch, maps = metadata.batch, model.num_maps
    outputs = {
        "logits": (batch, maps, cells.height, cells.width),
        "points_px": (batch, maps, 2),
        "scores": (batch, maps),
    }
    problems = _misfits(
        graph.inputs, {INPUT_NAME: (batch, model.num_frames, 3, size.height, size.width)}, "takes"
    )
    if set(graph.inputs) - {INPUT_NAME}:
        problems.append(f"it takes {', '.join(graph.inputs)}, and its metadata know {INPUT_NAME} alone")
    wanted = OUTPUT_NAMES if metadata.points else OUTPUT_NAMES[:1]
    problems += _misfits(graph.outputs, {name: outputs[name] for name in wanted}, "gives")
    if problems:
        raise UserError(
            f"the graph in {where} is not the one that its metadata describe",
            problems=problems,
            remedy="export the model again",
        )


def _misfits(
    found: Mapping[str, tuple[Any, ...]], told: Mapping[str, tuple[int | None, ...]], verb: str
) -> list[str]:
    problems = []
    for name, shape in told.items():
        if name not in found:
            problems.append(f"it {verb} {', '.join(found) or 'nothing'}, and by its metadata {name}")
            continue
        own = [side if isinstance(side, int) else None for side in found[name]]
        # A batch of any size must be so in both; of other sides a graph need not say the size.
        fits = len(own) == len(shape) and own[0] == shape[0]
        if not fits or any(a not in (None, b) for a, b in zip(own[1:], shape[1:], strict=True)):
            problems.append(f"it {verb} {name} of {_shape(own)}, and by its metadata of {_shape(shape)}")
    return problems


def _shape(sides: Sequence[int | None]) -> str:
    return "[" + ", ".join("any" if side is None else str(side) for side in sides) + "]"


def read_metadata(text: str | None, where: str) -> ExportMetadata:
    """The checked metadata of a file named `where`. Raises UserError."""
    try:
        plain: Any = json.loads(text or "null")
    except ValueError:
        plain = None
    if not isinstance(plain, dict) or plain.get("format") != "tracknet-export":
        raise UserError(
            f"{where} was not written by this software: it says nothing of windows, heatmaps and threshold",
            remedy="python -m tracknet.scripts.export MODEL --format onnx",
        )
    version, saved = plain.get("format_version"), plain.get("saved")
    if version != EXPORT_VERSION or not isinstance(saved, dict):
        raise UserError(
            f"{where} is an export of version {version}, this software reads {EXPORT_VERSION}",
            remedy="export the model again",
        )
    read_description(saved, where)
    return from_plain(ExportMetadata, plain, where=where)


class OnnxGraph:
    """An ONNX file run by onnxruntime.

    Attributes:
        metadata: what the file says of itself; `None` where it says nothing.
        inputs: name -> shape, in which what is not a number is any size.
        outputs: likewise.
    """

    def __init__(self, path: Path, device: str) -> None:
        try:
            import onnxruntime as ort
        except ImportError:
            raise UserError(
                f"{path}: onnxruntime, which runs ONNX files, is not installed",
                remedy='pip install -e ".[export]"',
            ) from None
        options = ort.SessionOptions()
        # As many threads as torch would take; idle ones must not spin while others decode video.
        options.intra_op_num_threads = torch.get_num_threads()
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        try:
            self._session = ort.InferenceSession(
                str(path), options, providers=_providers(device, ort.get_available_providers())
            )
        except UserError:
            raise
        except Exception as error:  # onnxruntime has a family of its own for every kind of fault
            first = str(error).strip().splitlines()[0]
            raise RunError(
                f"{path} is damaged, or needs a newer onnxruntime: {first}", remedy="copy or export it again"
            ) from error
        self.metadata: str | None = self._session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
        self.inputs = {item.name: tuple(item.shape) for item in self._session.get_inputs()}
        self.outputs = {item.name: tuple(item.shape) for item in self._session.get_outputs()}

    def run(self, frames: torch.Tensor, outputs: Sequence[str]) -> list[torch.Tensor]:
        """Only what the named outputs need is computed."""
        found = self._session.run(list(outputs), {INPUT_NAME: frames.cpu().numpy()})
        return [torch.from_numpy(array) for array in found]


class ProgramGraph:
    """A `torch.export` program."""

    def __init__(self, path: Path, device: str) -> None:
        from torch.export.passes import move_to_device_pass

        self._device = resolve_device(device)
        try:
            program = torch.export.load(path)
        except Exception as error:  # zip, JSON, schema and pickle errors
            first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise RunError(
                f"{path} is damaged, or of another torch than {torch.__version__}: {first}",
                remedy="copy or export it again",
            ) from error
        if self._device.type != "cpu":
            program = move_to_device_pass(program, str(self._device))
        self._module = program.module()

    @torch.no_grad()
    def run(self, frames: torch.Tensor, outputs: Sequence[str]) -> list[torch.Tensor]:
        """All outputs are computed, those named are returned."""
        found = dict(zip(OUTPUT_NAMES, self._module(frames.to(self._device)), strict=False))
        return [found[name] for name in outputs]


def _providers(device: str, available: Sequence[str]) -> list[str]:
    """Of onnxruntime, for a torch device name."""
    cuda = "CUDAExecutionProvider"
    if device.startswith("cuda") and cuda not in available:
        raise UserError(
            f"the device {device} cannot be used: the installed onnxruntime computes on the CPU only",
            remedy="pip install onnxruntime-gpu in place of onnxruntime, or leave the device to `auto`",
        )
    wants_cuda = device.startswith("cuda") or (device == "auto" and cuda in available)
    return [cuda, "CPUExecutionProvider"] if wants_cuda else ["CPUExecutionProvider"]


def _program_metadata(path: Path) -> str | None:
    """The metadata beside a program, read without loading it."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith(f"/extra/{METADATA_KEY}.json")]
            return archive.read(names[0]).decode() if names else None
    except (zipfile.BadZipFile, OSError, UnicodeDecodeError) as error:
        raise RunError(f"{path} is damaged: {error}", remedy="copy or export it again") from error
