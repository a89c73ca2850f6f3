"""Pictures of predictions on frames: arrays in, arrays out."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from tracknet.utils.geometry import Size, scaling, transform_points

Image = npt.NDArray[np.uint8]
Point = tuple[float, float]

TRUTH_RGB = (80, 255, 80)
PREDICTION_RGB = (255, 60, 60)
# OpenCV draws at fractions of a pixel when coordinates are given in 1/16.
_SHIFT = 4
_ZOOM = 5.0
_TEXT_SIZE = 0.42


def heat_over(frame: Image, heatmap: npt.NDArray[np.floating], *, strength: float = 0.65) -> Image:
    """A heatmap laid over a frame as a glow.

    Args:
        frame: uint8 RGB `[H, W, 3]`.
        heatmap: `[h, w]`, 0..1; resized to the frame.
        strength: opacity where the heatmap is 1.
    """
    height, width = frame.shape[:2]
    # warpAffine with the half-pixel matrix, because the map's cells are not aligned with resize's corners
    # when the ratio is no whole number.
    matrix = scaling(Size(heatmap.shape[1], heatmap.shape[0]), Size(width, height))[:2]
    glow = cv2.warpAffine(
        np.clip(heatmap, 0, 1).astype(np.float32), matrix, (width, height), flags=cv2.INTER_LINEAR
    )
    colours = cv2.cvtColor(
        cv2.applyColorMap(np.round(glow * 255).astype(np.uint8), cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB
    )
    alpha = (glow * strength)[..., None]
    return np.asarray(np.round(frame * (1 - alpha) + colours * alpha), np.uint8)


def mark(
    frame: Image, xy_px: Point | None, rgb: tuple[int, int, int], *, radius_px: float, cross: bool = False
) -> None:
    """Draws a ring, or a cross, around a point, in place. Nothing for `None` or NaN."""
    if xy_px is None or np.isnan(xy_px[0]):
        return
    x, y = (round(c * 2**_SHIFT) for c in xy_px)
    reach = round(radius_px * 2**_SHIFT)
    if cross:
        cv2.line(frame, (x - reach, y), (x + reach, y), rgb, 1, cv2.LINE_AA, _SHIFT)
        cv2.line(frame, (x, y - reach), (x, y + reach), rgb, 1, cv2.LINE_AA, _SHIFT)
    else:
        cv2.circle(frame, (x, y), reach, rgb, 1, cv2.LINE_AA, _SHIFT)


def overlay(
    frame: Image,
    *,
    target: npt.NDArray[np.floating],
    prediction: npt.NDArray[np.floating],
    true_xy_px: Point | None,
    predicted_xy_px: Point,
    caption: str,
) -> Image:
    """The frame with truth (green ring) and prediction (red cross), then three close-ups: frame, target, prediction.

    The close-ups are squares as high as the frame, magnified, around the truth (the prediction where there is none).

    Args:
        frame: uint8 RGB `[H, W, 3]`.
        target: `[h, w]`, 0..1.
        prediction: `[h, w]`, 0..1.
        true_xy_px: in the frame's own pixels; `None` or NaN where the ball is absent.
        predicted_xy_px: in the frame's own pixels; `None` or NaN where nothing was predicted.
        caption: written into the first panel's corner.

    Returns:
        uint8 RGB `[H, W + 3 H, 3]`.
    """
    whole = frame.copy()
    mark(whole, true_xy_px, TRUTH_RGB, radius_px=7)
    mark(whole, predicted_xy_px, PREDICTION_RGB, radius_px=5, cross=True)
    write(whole, caption)
    centre = predicted_xy_px if true_xy_px is None or np.isnan(true_xy_px[0]) else true_xy_px
    height = frame.shape[0]
    panels = [whole]
    for title, picture in (
        ("frame", frame),
        ("target", heat_over(frame, target)),
        ("prediction", heat_over(frame, prediction)),
    ):
        square = close_up(
            picture,
            centre,
            side_px=height,
            zoom=_ZOOM,
            true_xy_px=true_xy_px,
            predicted_xy_px=predicted_xy_px,
        )
        write(square, title)
        panels.append(square)
    return np.concatenate(panels, axis=1)


def close_up(
    picture: Image,
    centre: Point,
    *,
    side_px: int,
    zoom: float,
    true_xy_px: Point | None,
    predicted_xy_px: Point | None,
) -> Image:
    """A magnified square of a picture with the truth (green ring) and the prediction (red cross).

    Args:
        picture: uint8 RGB `[H, W, 3]`; black beyond its borders.
        centre: (x, y) in the picture's pixels, in the middle of the square.
        side_px: of the square.
        zoom: pixels of the square per pixel of the picture.
        true_xy_px: in the picture's pixels; `None` or NaN where the ball is absent.
        predicted_xy_px: in the picture's pixels; `None` or NaN where nothing was predicted.

    Returns:
        uint8 RGB `[side_px, side_px, 3]`.
    """
    middle = (side_px - 1) / 2
    matrix = np.array([[zoom, 0.0, middle - zoom * centre[0]], [0.0, zoom, middle - zoom * centre[1]]])
    square = np.asarray(cv2.warpAffine(picture, matrix, (side_px, side_px)), np.uint8)
    mark(square, moved(matrix, true_xy_px), TRUTH_RGB, radius_px=24)
    mark(square, moved(matrix, predicted_xy_px), PREDICTION_RGB, radius_px=8, cross=True)
    return square


def labelled(picture: Image, xy_px: Point | None, caption: str, *, height_px: int) -> Image:
    """A picture at some height with a ring around its ball and words in its corner.

    Args:
        picture: uint8 RGB `[H, W, 3]`.
        xy_px: the ball in the picture's pixels, `None` where it is absent.
        caption: as `write` takes it.
        height_px: of what is returned; its width keeps the picture's shape.
    """
    size = Size(picture.shape[1], picture.shape[0])
    target = Size(round(size.width * height_px / size.height), height_px)
    how = cv2.INTER_AREA if height_px < size.height else cv2.INTER_LINEAR
    whole = np.asarray(cv2.resize(picture, target, interpolation=how), np.uint8)
    mark(whole, moved(scaling(size, target), xy_px), TRUTH_RGB, radius_px=7)
    write(whole, caption)
    return whole


def middle_of(picture: Image) -> Point:
    """The middle of a picture in its pixels: what a close-up shows where there is no ball."""
    return (picture.shape[1] - 1) / 2, (picture.shape[0] - 1) / 2


def moved(matrix: npt.NDArray[np.floating], xy_px: Point | None) -> Point | None:
    """The point moved by an affine matrix; `None` stays `None`."""
    if xy_px is None:
        return None
    x, y = transform_points(matrix, xy_px)
    return float(x), float(y)


def write(frame: Image, text: str, *, scale: float = 1.0) -> None:
    """Small white text on a dark box in the upper left corner, in place; `scale` makes it larger.

    OpenCV's letters are ASCII; it draws question marks for others.
    """
    if not text:
        return
    size, line = _TEXT_SIZE * scale, max(1, round(scale))
    (width, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, line)
    cv2.rectangle(frame, (0, 0), (width + round(11 * scale), round(21 * scale)), (16, 16, 16), cv2.FILLED)
    place = (round(6 * scale), round(15 * scale))
    cv2.putText(frame, text, place, cv2.FONT_HERSHEY_SIMPLEX, size, (255, 255, 255), line, cv2.LINE_AA)


def sheet(images: Sequence[Image], *, columns: int = 1, gap_px: int = 4) -> Image:
    """Pictures of one size on a dark sheet, row by row: uint8 RGB."""
    height, width = images[0].shape[:2]
    rows = -(-len(images) // columns)
    page = np.full((rows * (height + gap_px) - gap_px, columns * (width + gap_px) - gap_px, 3), 24, np.uint8)
    for number, image in enumerate(images):
        y, x = number // columns * (height + gap_px), number % columns * (width + gap_px)
        page[y : y + height, x : x + width] = image
    return page
