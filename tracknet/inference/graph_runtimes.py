"""What runs an exported graph: onnxruntime an .onnx file, torch a .pt2."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import torch

from tracknet.inference.export_format import INPUT_NAME, METADATA_KEY, OUTPUT_NAMES
from tracknet.models.precision import resolve_device
from tracknet.utils.errors import RunError, UserError


class Graph(Protocol):
    """The network itself: windows in, named outputs out."""

    def run(self, frames: torch.Tensor, outputs: Sequence[str]) -> list[torch.Tensor]:
        """Frames uint8 `[B, T, 3, H, W]` on any device to the outputs named, on the graph's own."""
        ...


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


def program_metadata(path: Path) -> str | None:
    """The metadata beside a program, read without loading it."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith(f"/extra/{METADATA_KEY}.json")]
            return archive.read(names[0]).decode() if names else None
    except (zipfile.BadZipFile, OSError, UnicodeDecodeError) as error:
        raise RunError(f"{path} is damaged: {error}", remedy="copy or export it again") from error
