"""One frame of a report as small JPEGs: the whole with the heatmap's glow, and two close-ups."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracknet.reporting.overlays import (
    PREDICTION_RGB,
    TRUTH_RGB,
    Image,
    Point,
    close_up,
    heat_over,
    mark,
    moved,
)
from tracknet.utils.geometry import Size, scaling
from tracknet.utils.images import encode_jpeg, resize_frame

# 512x288 at quality 72 takes about 35 KB of broadcast picture: a hundred of them stay under 5 MB.
_WIDTH = 512
_QUALITY = 72
_CLOSE_UP_PX = 200
_CLOSE_UP_ZOOM = 5.0
# A lower peak than this is no guess but noise, and is not blown up.
_FAINTEST_PEAK = 0.1


@dataclass(frozen=True)
class FramePicture:
    """The pictures of one frame.

    Attributes:
        key: the sample's key in the prediction file.
        size: of the whole frame's picture.
        frame_jpeg: the whole frame with glow (scaled to its own peak), truth (green ring) and prediction (red cross).
        close_up_jpeg: two squares side by side: the plain frame around the truth (around the prediction
            where there is no ball), and the frame with the glow around the prediction.
    """

    key: str
    size: Size
    frame_jpeg: bytes
    close_up_jpeg: bytes


def frame_picture(
    key: str,
    frame: Image,
    heatmap: npt.NDArray[np.floating] | None,
    true_xy_px: Point | None,
    predicted_xy_px: Point | None,
) -> FramePicture:
    """Draws a frame for a report.

    Args:
        key: the sample's key.
        frame: uint8 RGB `[H, W, 3]`, of any size; pictures wider than 512 are made smaller.
        heatmap: `[h, w]`, 0..1, of the whole frame; None where there is only a point (others' predictions).
        true_xy_px: (x, y) in the given frame's own pixels; None or NaN where the ball is absent.
        predicted_xy_px: (x, y) in the given frame's own pixels; None or NaN where nothing was predicted.
    """
    truth, predicted = _known(true_xy_px), _known(predicted_xy_px)
    # A miss is a weak peak: unscaled its glow would not be seen.
    glowing = (
        frame if heatmap is None else heat_over(frame, heatmap / max(_FAINTEST_PEAK, float(heatmap.max())))
    )
    source = Size(frame.shape[1], frame.shape[0])
    shown = Size(min(_WIDTH, source.width), max(1, round(source.height * min(1.0, _WIDTH / source.width))))
    whole = resize_frame(glowing, shown).copy()
    to_shown = scaling(source, shown)
    mark(whole, moved(to_shown, truth), TRUTH_RGB, radius_px=9)
    mark(whole, moved(to_shown, predicted), PREDICTION_RGB, radius_px=6, cross=True)
    middle = ((source.width - 1) / 2, (source.height - 1) / 2)
    centres = (truth or predicted or middle, predicted or truth or middle)
    squares = [
        close_up(
            picture,
            centre,
            side_px=_CLOSE_UP_PX,
            zoom=_CLOSE_UP_ZOOM,
            true_xy_px=truth,
            predicted_xy_px=predicted,
        )
        for picture, centre in zip((frame, glowing), centres, strict=True)
    ]
    return FramePicture(
        key=key,
        size=shown,
        frame_jpeg=encode_jpeg(whole, _QUALITY),
        close_up_jpeg=encode_jpeg(np.concatenate(squares, axis=1), _QUALITY),
    )


def _known(point: Point | None) -> Point | None:
    return None if point is None or np.isnan(point).any() else point
