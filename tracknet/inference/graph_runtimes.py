"""What runs an exported graph: onnxruntime an .onnx file, torch a .pt2."""

from __future__ import annotations

import logging
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch

from tracknet.inference.export_format import INPUT_NAME, METADATA_KEY, OUTPUT_NAMES
from tracknet.inference.onnx_seal import UNSEALING, check_seal
from tracknet.models.precision import resolve_device
from tracknet.utils.checksums import CHECKSUM_KEY, check_archive
from tracknet.utils.errors import RunError, UserError, first_line
from tracknet.utils.extras import install_command


class Port(NamedTuple):
    """What a graph takes or gives under a name.

    Attributes:
        shape: sizes; `None` is any.
        dtype: as torch calls it, such as `uint8`.
    """

    shape: tuple[int | None, ...]
    dtype: str

    def __str__(self) -> str:
        sides = ", ".join("any" if side is None else str(side) for side in self.shape)
        return f"{self.dtype} [{sides}]"


class Graph(Protocol):
    """The network itself: windows in, named outputs out.

    Attributes:
        inputs: what it takes.
        outputs: what it gives.
    """

    inputs: dict[str, Port]
    outputs: dict[str, Port]

    def run(self, frames: torch.Tensor, outputs: Sequence[str]) -> list[torch.Tensor]:
        """Frames uint8 `[B, T, 3, H, W]` on any device to the outputs named, on the graph's own."""
        ...


class OnnxGraph:
    """An ONNX file run by onnxruntime.

    Attributes:
        metadata: what the file says of itself; `None` where it says nothing.
        inputs: what it takes.
        outputs: what it gives.
    """

    def __init__(self, path: Path, device: str) -> None:
        try:
            import onnxruntime as ort
        except ImportError:
            raise UserError(
                f"{path}: onnxruntime, which runs ONNX files, is not installed",
                remedy=install_command("export"),
            ) from None
        sealed = check_seal(path)
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
            first = first_line(error)
            raise RunError(
                f"{path} is damaged, or needs a newer onnxruntime: {first}", remedy="copy or export it again"
            ) from error
        entries = self._session.get_modelmeta().custom_metadata_map
        if CHECKSUM_KEY in entries and not sealed:
            raise RunError(
                f"{path} was written anew by another program since it was exported, and its checksum is not of it",
                remedy=UNSEALING,
            )
        self.metadata: str | None = entries.get(METADATA_KEY)
        self.inputs = {item.name: _onnx_port(item) for item in self._session.get_inputs()}
        self.outputs = {item.name: _onnx_port(item) for item in self._session.get_outputs()}

    def run(self, frames: torch.Tensor, outputs: Sequence[str]) -> list[torch.Tensor]:
        """Only what the named outputs need is computed."""
        found = self._session.run(list(outputs), {INPUT_NAME: frames.cpu().numpy()})
        return [torch.from_numpy(array) for array in found]


class ProgramGraph:
    """A `torch.export` program.

    Attributes:
        inputs: what it takes.
        outputs: what it gives; a program has no names for them, and so they are named in our order.
    """

    def __init__(self, path: Path, device: str) -> None:
        from torch.export.passes import move_to_device_pass

        self._device = resolve_device(device)
        logger = logging.getLogger("torch.export")
        level = logger.level
        logger.setLevel(logging.ERROR)  # it prints the traceback of what it then raises
        try:
            program = torch.export.load(path)
        except Exception as error:  # zip, JSON, schema and pickle errors
            first = first_line(error)
            raise RunError(
                f"{path} is damaged, or of another torch than {torch.__version__}: {first}",
                remedy="copy or export it again",
            ) from error
        finally:
            logger.setLevel(level)
        nodes: dict[str, Any] = {node.name: node for node in program.graph.nodes}
        signature = program.graph_signature
        self.inputs = {str(name): _program_port(nodes.get(str(name))) for name in signature.user_inputs}
        given = [str(name) for name in signature.user_outputs]
        names = [*OUTPUT_NAMES, *(f"output {number}" for number in range(len(OUTPUT_NAMES), len(given)))]
        self.outputs = {
            name: _program_port(nodes.get(node)) for name, node in zip(names, given, strict=False)
        }
        if self._device.type != "cpu":
            program = move_to_device_pass(program, str(self._device))
        self._module = program.module()

    @torch.no_grad()
    def run(self, frames: torch.Tensor, outputs: Sequence[str]) -> list[torch.Tensor]:
        """All outputs are computed, those named are returned."""
        found = dict(zip(OUTPUT_NAMES, self._module(frames.to(self._device)), strict=False))
        return [found[name] for name in outputs]


_ONNX_DTYPES = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(double)": "float64"}


def _onnx_port(item: Any) -> Port:
    sides = tuple(side if isinstance(side, int) else None for side in item.shape)
    return Port(sides, _ONNX_DTYPES.get(item.type, item.type.removeprefix("tensor(").removesuffix(")")))


def _program_port(node: Any) -> Port:
    value = None if node is None else node.meta.get("val")
    if not isinstance(value, torch.Tensor):
        return Port((), "no tensor")
    sides = tuple(side if isinstance(side, int) else None for side in value.shape)
    return Port(sides, str(value.dtype).removeprefix("torch."))


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


def program_metadata(path: Path) -> str | None:
    """The metadata beside a program, read without loading it; checks that the file is as it was written.

    Raises:
        RunError: it is damaged.
    """
    try:
        check_archive(path)
    except ValueError as error:
        raise RunError(f"{path} is damaged: {error}", remedy="copy or export it again") from error
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.endswith(f"/extra/{METADATA_KEY}.json")]
        return archive.read(names[0]).decode() if names else None
