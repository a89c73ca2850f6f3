"""One shard of features, read once: every member against its row of the index, and every row against its member."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tracknet.datasets.contents import Contents
from tracknet.datasets.feature_format import SUFFIX, FeatureInfo, decode_tokens
from tracknet.datasets.manifest import ShardEntry
from tracknet.datasets.sample_json import split_name
from tracknet.datasets.schema import INDEX_NAME, MANIFEST_NAME
from tracknet.datasets.verify_shard import BuildFault, Rows, ShardCheck
from tracknet.utils.tar_header import shown
from tracknet.utils.tar_walk import TarMember


class FeatureShardCheck(ShardCheck):
    """As `ShardCheck`, of members `KEY.feat`, which have no label beside them.

    `good_frames` counts frames whose tokens are as the index says.
    """

    suffix = SUFFIX
    content = "map of tokens"

    def __init__(self, contents: Contents, entry: ShardEntry, rows: Rows, *, decode: bool) -> None:
        super().__init__(contents, entry, rows, decode=decode)
        self._info = FeatureInfo.of(contents.manifest, str(contents.folder / MANIFEST_NAME))

    def _member(self, member: TarMember) -> Iterator[BuildFault]:
        key, suffix = split_name(member.name)
        if suffix != SUFFIX:
            yield self._fault(shown(member.name), f"is no {SUFFIX}, which is all that feature shards hold")
            return
        row = self._missing.pop(member.offset, None)
        if row is None:
            yield self._fault(shown(member.name), f"has no row in {INDEX_NAME} that points to it")
            return
        yield from self._picture(member, key, row)

    def _bad_content(self, content: bytes, row: int) -> str | None:
        del row
        if len(content) != self._info.stored_bytes:
            return (
                f"has {len(content):,} bytes; {self._info.backbone.tokens} in {self._info.dtype} "
                f"have {self._info.stored_bytes:,}"
            )
        if self._decode and not np.isfinite(decode_tokens(content, self._info)).all():
            return "does not consist of numbers"
        return None
