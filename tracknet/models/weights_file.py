"""The weights of a model folder: a safetensors file, whose format has no checksum, with one in its metadata."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from tracknet.utils.checksums import CHECKSUM_KEY, refuse_if_altered
from tracknet.utils.errors import RunError

_AGAIN = "copy or download it again"


def write_weights(weights: Mapping[str, torch.Tensor], path: Path) -> None:
    """Writes contiguous tensors of the CPU; the same ones give the same bytes."""
    save_file(dict(weights), path, metadata={"format": "pt", CHECKSUM_KEY: checksum_of(weights)})
    _order_metadata(path)


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a file. One without a checksum, as of earlier versions and other programs, is taken as it is.

    Raises:
        RunError: it is damaged, or was changed since it was written.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise RunError(f"{path} is damaged: {error}", remedy=_AGAIN) from error
    if (was := metadata.get(CHECKSUM_KEY)) is not None:
        refuse_if_altered(
            path,
            was,
            checksum_of(weights),
            remedy=f"{_AGAIN}; of a run, an earlier checkpoint may be whole. Where the change was meant, save the "
            f"weights without {CHECKSUM_KEY} in their metadata",
        )
    return weights


def checksum_of(weights: Mapping[str, torch.Tensor]) -> str:
    """CRC-32 of tensors of the CPU by name, type and shape, as 8 hexadecimal digits."""
    crc = 0
    for name, value in sorted(weights.items()):
        crc = zlib.crc32(f"{name} {value.dtype} {list(value.shape)}\n".encode(), crc)
        # As bytes: numpy knows no bfloat16.
        crc = zlib.crc32(value.contiguous().reshape(-1).view(torch.uint8).numpy().data, crc)
    return f"{crc:08x}"


def _order_metadata(path: Path) -> None:
    """Sorts the metadata by name: safetensors writes them in another order in every process."""
    with path.open("r+b") as file:
        header_bytes = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(header_bytes))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        file.seek(8)
        file.write(json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode().ljust(header_bytes))
