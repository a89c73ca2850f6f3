"""The contract of feature shards: a frozen backbone's tokens of every frame of a build, in members `KEY.feat`.

A feature build has the shards, keys, index columns and manifest of the build whose frames it is of; `offset`, `size`
and `crc32c` are those of the tokens. Labels are copied for the eye: those of the frames' build have authority.
Imports neither torch nor pyarrow at module level: the builder's `--help` reads this file too.

    float16   tokens [Hp, Wp, C], little-endian: 2 C bytes a token
    int8      scales float32 [C], then whole numbers [Hp, Wp, C]: token = number x scale, C bytes a token
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tracknet.datasets.manifest import Manifest
from tracknet.utils.backbone_identity import BackboneIdentity
from tracknet.utils.config import from_plain, to_plain
from tracknet.utils.errors import UserError

SUFFIX = ".feat"
"""No longer than `.json`: the keys of frames fit a tar's header with that."""
DTYPES = ("float16", "int8")
_MOST_INT8 = 127

Tokens = npt.NDArray[np.float16]


@dataclass(frozen=True)
class FeatureInfo:
    """What a feature build is of, beside its index: `features` in its manifest.

    Attributes:
        backbone: whose tokens.
        dtype: how they are stored.
        computed_in: `fp32`, `bf16` or `fp16`: the arithmetic of the backbone.
        frames_build: build id of the frames, whose labels are copied.
        frames: shard -> `frames_digest` of the frames that its tokens are of.
    """

    backbone: BackboneIdentity
    dtype: Literal["float16", "int8"]
    computed_in: str
    frames_build: str
    frames: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, manifest: Manifest, where: str) -> FeatureInfo:
        """What a manifest says.

        Raises:
            UserError: it is one of frames, or its description is damaged.
        """
        if not manifest.features:
            raise UserError(
                f"{where} holds frames, not features",
                remedy="compute them: python -m pipelines.build_features SHARDS --model MODEL --out FEATURES",
            )
        return from_plain(cls, manifest.features, where=f"the description of the features in {where}")

    def to_plain(self) -> dict[str, Any]:
        """As the manifest holds it."""
        plain: dict[str, Any] = to_plain(self)
        return plain

    @property
    def shape(self) -> tuple[int, int, int]:
        """(Hp, Wp, C) of a frame's tokens."""
        return self.backbone.grid.height, self.backbone.grid.width, self.backbone.channels

    @property
    def stored_bytes(self) -> int:
        """Of a frame's member."""
        numbers = math.prod(self.shape)
        return 2 * numbers if self.dtype == "float16" else 4 * self.backbone.channels + numbers

    @property
    def served_bytes(self) -> int:
        """Of a frame's tokens in a batch, where they are float16."""
        return 2 * math.prod(self.shape)


def frames_digest(
    keys: Sequence[str], size: npt.NDArray[np.integer[Any]], crc32c: npt.NDArray[np.integer[Any]]
) -> str:
    """A hash of the pictures of one shard, whatever their labels and places: 64 hex digits.

    Args:
        keys: of the N frames, in the index's order.
        size: `[N]`, bytes of the pictures.
        crc32c: `[N]`, of the pictures.
    """
    digest = hashlib.sha256("\n".join(keys).encode())
    digest.update(np.ascontiguousarray(size, "<i8").tobytes())
    digest.update(np.ascontiguousarray(crc32c, "<u4").tobytes())
    return digest.hexdigest()


def encode_tokens(tokens: Tokens, dtype: str) -> bytes:
    """A member's bytes of a frame's tokens float16 `[Hp, Wp, C]`."""
    if dtype == "float16":
        return bytes(tokens.astype("<f2", copy=False).tobytes())
    whole = tokens.astype(np.float32)
    # A channel that is zero everywhere stays zero, whatever its scale.
    scales = np.maximum(np.abs(whole).max(axis=(0, 1)), np.finfo(np.float32).tiny) / _MOST_INT8
    numbers = np.rint(whole / scales).clip(-_MOST_INT8, _MOST_INT8).astype(np.int8)
    return bytes(scales.astype("<f4").tobytes() + numbers.tobytes())


def decode_tokens(content: bytes, info: FeatureInfo) -> Tokens:
    """A frame's tokens float16 `[Hp, Wp, C]` of its member's bytes, which must be `stored_bytes` many.

    Those stored as float16 are not copied, and not to be written to.
    """
    if info.dtype == "float16":
        return np.frombuffer(content, np.float16).reshape(info.shape)
    scales = np.frombuffer(content, np.float32, info.backbone.channels)
    numbers = np.frombuffer(content, np.int8, offset=scales.nbytes).reshape(info.shape)
    return (numbers * scales).astype(np.float16)
