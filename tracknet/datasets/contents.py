"""All rows of a build's index as columns, whatever their split: what statistics and verification go through."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tracknet.datasets.index_file import read_index
from tracknet.datasets.manifest import Manifest


@dataclass(frozen=True)
class Contents:
    """A build and its N index rows.

    Attributes:
        folder: of the build.
        manifest: of the build.
        columns: by name, `[N]` each, as `read_index` gives them.
        index_is_the_manifests: whether the index has the hash that the manifest states.
    """

    folder: Path
    manifest: Manifest
    columns: dict[str, npt.NDArray[Any]]
    index_is_the_manifests: bool

    def __len__(self) -> int:
        return len(self.columns["key"])

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        return self.columns[name]

    @property
    def clip_ids(self) -> npt.NDArray[np.int64]:
        """`[N]`: one number per (split, game, clip), in order of appearance in the index."""
        names = [self[name] for name in ("split", "game", "clip")]
        numbers: dict[tuple[str, ...], int] = {}
        return np.array(
            [numbers.setdefault(name, len(numbers)) for name in zip(*names, strict=True)], np.int64
        )

    @classmethod
    def read(cls, folder: Path) -> Contents:
        """Reads manifest and index.

        Raises:
            UserError: there is no manifest, or none of this format.
            RunError: as `read_index`.
        """
        manifest = Manifest.read(folder)
        columns, sha256 = read_index(folder)
        return cls(folder, manifest, columns, sha256 == manifest.index_sha256)
