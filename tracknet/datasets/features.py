"""A frozen backbone's tokens in place of running it: a feature build beside the frames that it is of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tracknet.datasets.feature_command import feature_command, noted_request
from tracknet.datasets.feature_format import FeatureInfo, Tokens, decode_tokens, frames_digest
from tracknet.datasets.index import open_shards
from tracknet.datasets.index_checks import OnLost
from tracknet.datasets.manifest import THE_BUILD_COMMAND, NoBuild
from tracknet.datasets.reader import Frame, ShardReader
from tracknet.datasets.remote_path import RemotePath
from tracknet.datasets.shard_names import read_manifest
from tracknet.datasets.shard_set import ShardSet
from tracknet.utils.backbone_identity import BackboneIdentity
from tracknet.utils.errors import RunError, UserError, shorten

AskedBy = Callable[[str | None], Sequence[str]]
"""How tokens that are there were asked for (`--model`), if that is known -> the options that ask for them."""


@dataclass(frozen=True)
class FeatureSet:
    """The tokens of the frames of one split.

    Attributes:
        shards: where the tokens lie; row for row those of the frames' table.
        info: whose tokens, and how they are stored.
        with_frames: whether the frames are wanted too; else they are not read.
    """

    shards: ShardSet
    info: FeatureInfo
    with_frames: bool

    def open_source(self) -> TokenReader:
        """Opens the tokens' storage: once in each process or thread."""
        return TokenReader(self)


class TokenReader:
    """Reads tokens by row of the frames' table, as `ShardReader` does frames: a `FrameSource`.

    Attributes:
        stored: where the bytes are.
    """

    def __init__(self, features: FeatureSet) -> None:
        self.stored = ShardReader(features.shards)
        self._info = features.info

    def read(self, row: int) -> Frame:
        """The bytes of the tokens of one row, float16 `[Hp, Wp, C]`: uint8 `[2 Hp Wp C]`. Not to be written to.

        Raises:
            RunError: the bytes are not those that the index promises; names shard, key and position.
        """
        return self.tokens(row).reshape(-1).view(np.uint8)

    def tokens(self, row: int) -> Tokens:
        """The tokens of one row, float16 `[Hp, Wp, C]`. Raises as `read` does."""
        content = self.stored.read_bytes(row)
        if len(content) != self._info.stored_bytes:
            raise RunError(
                f"{self.origin(row)}: has {len(content):,} bytes, {self._info.backbone.tokens} in {self._info.dtype} "
                f"have {self._info.stored_bytes:,}",
                remedy=_anew(self.stored.shards),
            )
        return decode_tokens(content, self._info)

    def origin(self, row: int) -> str:
        """Shard and key of a row."""
        return self.stored.origin(row)


def open_features(
    folder: Path | RemotePath,
    frames: ShardSet,
    backbone: BackboneIdentity,
    *,
    with_frames: bool,
    asked_by: AskedBy = lambda noted: ("--model", noted or "MODEL"),
    on_lost: OnLost | None = None,
) -> FeatureSet:
    """The features of some shards.

    Args:
        folder: of the feature build.
        frames: whole shards of one build.
        backbone: whose tokens are wanted.
        with_frames: whether the frames are wanted too.
        asked_by: what `pipelines.build_features` is to be told to compute these tokens.
        on_lost: of `open_shards`, told of shards of tokens.

    Raises:
        UserError: they are of another backbone or of other frames, and every difference is named; or there are none.
        RunError: a shard or the index is damaged.
    """
    if frames.parts:
        raise UserError(
            "data.features goes with the shards of one build, not with several (data.sources)",
            remedy="build shards and features of all of them together",
        )

    def build(out: object) -> str:
        return feature_command(frames.folder, out, asked_by(None))

    # Of those behind a URL nothing is noted, and they are mended by whoever put them there.
    noted = noted_request(folder)

    def again(alike: tuple[str, str] | None) -> str:
        return f"`{feature_command(frames.folder, folder, asked_by(noted.get('model')), alike)}`"

    try:
        manifest = read_manifest(folder, again((noted["amp"], noted["dtype"]) if noted else None))
    except NoBuild as error:
        # Its own remedy would build frames there.
        address = "check the address, or " if isinstance(folder, RemotePath) else ""
        raise UserError(
            f"data.features: {error.what}",
            remedy=f"{address}compute the features: {build(folder)}; an interrupted build goes on where it stopped",
        ) from None
    info = FeatureInfo.of(manifest, str(folder))
    if problems := info.backbone.differences(backbone):
        raise UserError(
            f"the features in {folder} are of another backbone than this model's",
            problems=problems,
            remedy=f"choose the model that they are of, or compute this one's: {build('ANOTHER_FOLDER')}",
        )
    command = THE_BUILD_COMMAND
    if not isinstance(folder, RemotePath):
        command = again((info.computed_in, info.dtype))
    if problems := _other_frames(info, frames):
        raise UserError(
            f"the features in {folder} are not of the frames in {frames.folder}",
            problems=shorten(problems),
            remedy=f"name the features of these shards, or compute what is missing: run {command}",
        )
    shards = open_shards(
        [folder / name for name in frames.shard_names], tokens=True, build_command=command, on_lost=on_lost
    )
    return FeatureSet(_aligned(shards, frames), info, with_frames)


def _anew(features: ShardSet) -> str:
    """What mends features that are as they were written, and wrong."""
    return f"remove {features.folder} and run {features.build_command}"


def _other_frames(info: FeatureInfo, frames: ShardSet) -> list[str]:
    """The shards whose frames are not those that tokens were computed of."""
    problems = []
    for number, name in enumerate(frames.shard_names):
        rows = np.flatnonzero(frames.shard_id == number)
        keys = [frames.table.keys[row] for row in rows.tolist()]
        if name not in info.frames:
            problems.append(f"{name}: has no features there")
        elif info.frames[name] != frames_digest(keys, frames.size[rows], frames.crc32c[rows]):
            problems.append(f"{name}: its frames are not those that the features were computed of")
    return problems


def _aligned(shards: ShardSet, frames: ShardSet) -> ShardSet:
    """The tokens in the order of the frames."""
    row_of = {key: row for row, key in enumerate(shards.table.keys)}
    try:
        rows: npt.NDArray[np.integer[Any]] = np.array([row_of[key] for key in frames.table.keys], np.int64)
    except KeyError as error:
        raise RunError(
            f"{shards.folder}: there are no tokens of {error.args[0]}", remedy=_anew(shards)
        ) from None
    return shards.take(rows)
