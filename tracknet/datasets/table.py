"""Frames as columns: who they are and where their ball is, whatever they are stored in.

The plan, the windows and the targets work on these columns alone, so that shards and raw folders give the
same samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tracknet.datasets.schema import LabelledClip, frame_key

NO_STATUS = -1


@dataclass(frozen=True)
class FrameTable:
    """N frames in canonical order: by game, clip and frame number, each clip in one piece.

    Attributes:
        keys: N sample keys.
        clips: (game, clip) of every clip id.
        clip_id: int32 `[N]`.
        frame: int32 `[N]`, the frame's number in its clip.
        xy_px: float64 `[N, 2]`, (x, y) in frame pixels; NaN where the ball is absent.
        visibility: int8 `[N]`.
        status: int8 `[N]`, -1 where there is none.
        source_size: int32 `[N, 2]`, (width, height) of the frame space.
    """

    keys: Sequence[str]
    clips: Sequence[tuple[str, str]]
    clip_id: npt.NDArray[np.int32]
    frame: npt.NDArray[np.int32]
    xy_px: npt.NDArray[np.float64]
    visibility: npt.NDArray[np.int8]
    status: npt.NDArray[np.int8]
    source_size: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.keys)

    @classmethod
    def from_clips(cls, clips: Sequence[LabelledClip]) -> FrameTable:
        """The table of labelled clips, in the order given."""
        frames = [(index, clip, frame) for index, clip in enumerate(clips) for frame in clip.frames]
        missing = (float("nan"), float("nan"))
        return cls(
            keys=[frame_key(clip.game, clip.clip, frame.number) for _, clip, frame in frames],
            clips=[(clip.game, clip.clip) for clip in clips],
            clip_id=np.array([index for index, _, _ in frames], np.int32),
            frame=np.array([frame.number for _, _, frame in frames], np.int32),
            xy_px=np.array([frame.xy_px or missing for _, _, frame in frames], np.float64).reshape(-1, 2),
            visibility=np.array([frame.visibility for _, _, frame in frames], np.int8),
            status=np.array(
                [NO_STATUS if frame.status is None else frame.status for _, _, frame in frames], np.int8
            ),
            source_size=np.array([clip.frame_size for _, clip, _ in frames], np.int32).reshape(-1, 2),
        )

    @classmethod
    def concat(cls, tables: Sequence[FrameTable]) -> FrameTable:
        """Several tables as one, in the order given. Clips of the same name in two of them stay two clips."""
        clips_before = np.cumsum([0, *(len(table.clips) for table in tables)])
        return cls(
            keys=[key for table in tables for key in table.keys],
            clips=[clip for table in tables for clip in table.clips],
            clip_id=np.concatenate(
                [table.clip_id + before for table, before in zip(tables, clips_before, strict=False)]
            ).astype(np.int32),
            frame=np.concatenate([table.frame for table in tables]),
            xy_px=np.concatenate([table.xy_px for table in tables]),
            visibility=np.concatenate([table.visibility for table in tables]),
            status=np.concatenate([table.status for table in tables]),
            source_size=np.concatenate([table.source_size for table in tables]),
        )

    def take(self, rows: npt.NDArray[np.integer[Any]]) -> FrameTable:
        """The frames of some rows, in the order given; clip ids keep their meaning."""
        return FrameTable(
            keys=[self.keys[row] for row in rows.tolist()],
            clips=self.clips,
            clip_id=self.clip_id[rows],
            frame=self.frame[rows],
            xy_px=self.xy_px[rows],
            visibility=self.visibility[rows],
            status=self.status[rows],
            source_size=self.source_size[rows],
        )

    def run_bounds(self) -> npt.NDArray[np.int64]:
        """`[R, 2]` first row and one past the last of every run of consecutive frames of one clip.

        A frame that is missing (dropped, or in a shard that was not given) ends a run: no window reaches
        over the gap.
        """
        if not len(self):
            return np.zeros((0, 2), np.int64)
        breaks = (np.diff(self.clip_id) != 0) | (np.diff(self.frame) != 1)
        starts = np.concatenate([[0], np.flatnonzero(breaks) + 1])
        return np.stack([starts, np.append(starts[1:], len(self))], axis=1).astype(np.int64)
