"""What the report's script draws from: every frame in a few bytes, and the list of frames worth a look."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tracknet.reporting.markup import data_uri
from tracknet.reporting.outcomes import OUTCOME_NAMES, Frames
from tracknet.reporting.pictures import FramePicture
from tracknet.utils.outcome import Outcome

# A page of more is slow to open and hard to mail. Base64 adds a third.
_MOST_PICTURE_BYTES = 7_500_000 * 3 // 4
_TENTHS, _THOUSANDTHS = 10, 1000


def clip_traces(frames: Frames, other: Frames | None) -> list[dict[str, Any]]:
    """One entry a clip, in order of first appearance, its frames in the order given.

    Coordinates are in tenths of a frame pixel, scores in thousandths, with None for what is missing; outcomes,
    visibility and status are one character a frame (`-` for an unknown status). About 30 bytes a frame.

    Args:
        frames: N predicted frames.
        other: a second file's frames with the same keys in the same order.
    """
    traces = []
    for rows in frames.rows_of_clips():
        trace = {
            "game": frames.game[rows[0]],
            "clip": frames.clip[rows[0]],
            "size": [int(side) for side in frames.size[rows[0]]],
            "frames": _numbers(frames.frame[rows]),
            **_points("", frames, rows),
            "tx": _scaled(frames.true_xy_px[rows, 0], _TENTHS),
            "ty": _scaled(frames.true_xy_px[rows, 1], _TENTHS),
            "visibility": "".join(map(str, np.clip(frames.visibility[rows], 0, 9))),
            "status": "".join("-" if status < 0 else str(status) for status in frames.status[rows]),
        }
        if other is not None:
            trace |= _points("b_", other, rows)
        traces.append(trace)
    return traces


def picture_budget(pictures: Sequence[FramePicture]) -> list[FramePicture]:
    """The first pictures that fit together into a page of under 10 MB."""
    sizes = np.cumsum([len(picture.frame_jpeg) + len(picture.close_up_jpeg) for picture in pictures])
    return list(pictures[: int(np.searchsorted(sizes, _MOST_PICTURE_BYTES, side="right"))])


def page_data(
    frames: Frames,
    pictures: Sequence[FramePicture],
    shown_rows: Sequence[int],
    *,
    threshold: float,
    other: Frames | None = None,
) -> dict[str, Any]:
    """Everything for the page's script.

    Args:
        frames: N predicted frames.
        pictures: of some of them, found by key.
        shown_rows: frames to list under "frames", the most telling first.
        threshold: from which score on a prediction is a detection.
        other: a second file's frames with the same keys in the same order.
    """
    picture_of = {picture.key: number for number, picture in enumerate(pictures)}
    address = np.zeros((len(frames), 2), np.int64)
    for number, rows in enumerate(frames.rows_of_clips()):
        address[rows, 0], address[rows, 1] = number, np.arange(len(rows))
    return {
        "threshold": threshold,
        "outcomes": [OUTCOME_NAMES[outcome] for outcome in Outcome],
        "clips": clip_traces(frames, other),
        "entries": [[*address[row].tolist(), picture_of.get(frames.key[row], -1)] for row in shown_rows],
        "pictures": [
            {
                "size": list(picture.size),
                "frame": data_uri(picture.frame_jpeg),
                "close": data_uri(picture.close_up_jpeg),
            }
            for picture in pictures
        ],
    }


def _points(prefix: str, frames: Frames, rows: npt.NDArray[np.int64]) -> dict[str, Any]:
    return {
        f"{prefix}x": _scaled(frames.xy_px[rows, 0], _TENTHS),
        f"{prefix}y": _scaled(frames.xy_px[rows, 1], _TENTHS),
        f"{prefix}score": _scaled(frames.score[rows], _THOUSANDTHS),
        f"{prefix}outcome": "".join(map(str, frames.outcome[rows])),
    }


def _numbers(numbers: npt.NDArray[np.int64]) -> list[int] | dict[str, int]:
    """Frame numbers; the first alone where they are consecutive."""
    if np.all(np.diff(numbers) == 1):
        return {"from": int(numbers[0])}
    return [int(number) for number in numbers]


def _scaled(values: npt.NDArray[np.float64], factor: int) -> list[int | None]:
    return [round(value * factor) if np.isfinite(value) else None for value in values.tolist()]
