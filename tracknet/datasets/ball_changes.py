"""What is done to a window's ball before the picture as a whole is turned, moved and coloured.

In this order: the ball is taken out and put down elsewhere, or in its place with a streak (`flights`); an occluder
stands in front of it; everything is blurred. No frame has two balls afterwards, and labels are exact: moves are by
whole pixels, a blur's kernel leaves the label where it was, and what nobody can see any more is called what the data
call it. Frames are copied before they are changed: others read the same memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np

from tracknet.datasets.flights import Flights, Shown
from tracknet.datasets.lenders import Rows
from tracknet.datasets.line_blur import line_kernel
from tracknet.datasets.occluders import draw_occluder
from tracknet.datasets.schema import Visibility
from tracknet.datasets.sprites import Frame
from tracknet.datasets.table import FrameTable
from tracknet.datasets.windows import Windows
from tracknet.utils.geometry import FloatArray, Size
from tracknet.utils.settings import AugmentConfig

# Covered share of a ball: of one with a tenth left nobody says where it is, and one of which half is left is hard.
_HIDDEN, _HALF_HIDDEN = 0.9, 0.5
_DRAWS = 32


class BallChanges:
    """Changes windows of one table as the settings say."""

    def __init__(self, config: AugmentConfig, table: FrameTable, windows: Windows, size: Size) -> None:
        """Prepares; reads nothing.

        Args:
            config: of the augmentation.
            table: the frames.
            windows: of the table.
            size: of the pictures.
        """
        self._config = config
        self._table = table
        self._width = size.width
        self._flights = Flights(config, table, windows, size)
        knows_occluded = bool((table.visibility == Visibility.OCCLUDED).any())
        label = config.occlude.label
        self._hidden_is_absent = label == "absent" or (label == "auto" and not knows_occluded)

    def change(
        self,
        window: int,
        rows: Rows,
        shown: Shown,
        rng: np.random.Generator,
        read: Callable[[int], Frame],
    ) -> Shown:
        """The window's frames and labels as they are to be trained on.

        Args:
            window: its id.
            rows: int64 `[U]`, of its distinct frames.
            shown: these frames and their labels; not written to.
            rng: the window's own.
            read: gives any frame of the table.

        Raises:
            RunError: a frame that is read besides cannot be had.
        """
        config = self._config
        # A row for each part, so that no part depends on whether another is in use.
        for_move, for_streak, for_occluder, for_blur = rng.random((4, _DRAWS))
        moves, streaks = for_move[0] < config.paste.prob, for_streak[0] < config.streak.prob
        if moves or streaks:
            exposure = float(for_streak[1]) * config.streak.exposure if streaks else 0.0
            to_place = for_move[1:] if moves else None
            shown = self._flights.fly(window, rows, shown, read, to_place=to_place, exposure=exposure)
        # Frame pixels to input pixels.
        scale = self._width / float(self._table.source_size[rows[0], 0])
        if for_occluder[0] < config.occlude.prob:
            shown = self._occluded(shown, for_occluder[1:], config.ball_px * scale)
        if for_blur[0] < config.motion_blur.prob:
            length_px, angle = for_blur[1] * config.motion_blur.most_px * scale, for_blur[2] * np.pi
            kernel = line_kernel(float(length_px * np.cos(angle)), float(length_px * np.sin(angle)))
            frames = [np.asarray(cv2.filter2D(frame, -1, kernel), np.uint8) for frame in shown.frames]
            shown = replace(shown, frames=frames)
        return shown

    def _occluded(self, shown: Shown, draws: FloatArray, ball_px: float) -> Shown:
        """With an occluder before or beside the ball, where one is found that leaves no doubt about the label."""
        points = shown.points
        occluder = draw_occluder(
            draws, points, shown.frames[0].shape, ball_px=ball_px, most_balls=self._config.occlude.most_balls
        )
        if occluder is None:
            return shown
        frames = [frame.copy() for frame in shown.frames]
        for frame in frames:
            occluder.put_down(frame)
        motion = np.nan_to_num(np.gradient(points, axis=0)) if len(points) > 1 else np.zeros_like(points)
        radius_px = max(ball_px / 2, 1.0)
        new_points, visibility = points.copy(), shown.visibility.copy()
        for number in np.flatnonzero(~np.isnan(points[:, 0])).tolist():
            at_label = occluder.hides(points[number], np.zeros(2), radius_px)
            if at_label >= _HIDDEN and occluder.hides(points[number], motion[number], radius_px) < _HIDDEN:
                # Of a long exposure something sticks out, of a short one nothing: no label would be sure.
                return shown
            if at_label >= _HIDDEN and self._hidden_is_absent:
                new_points[number], visibility[number] = np.nan, Visibility.ABSENT
            elif at_label >= _HIDDEN:
                visibility[number] = Visibility.OCCLUDED
            elif at_label >= _HALF_HIDDEN and visibility[number] == Visibility.CLEAR:
                visibility[number] = Visibility.HARD
        return Shown(frames, new_points, visibility)
