"""Another way for a window's ball, or another exposure of it: it is taken out of the frames and put down again."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracknet.datasets.lenders import Lenders, Rows
from tracknet.datasets.sprites import Frame, Sprite, erase, lift
from tracknet.datasets.table import FrameTable
from tracknet.datasets.windows import Windows
from tracknet.utils.geometry import FloatArray, Size, scaling, transform_points
from tracknet.utils.settings import AugmentConfig

# How far around its label a ball is looked for, in diameters: a streak of five is still lifted whole.
_REACH_BALLS = 2.5
_PLACES_TRIED = 4
# The covered area of the same ball from frame to frame, most by least. More, and a racket or a line hangs on to one.
_MOST_GROWTH = 2.0


@dataclass
class Shown:
    """The distinct frames of a window, U of T: at a clip's ends some come twice.

    Attributes:
        frames: U pictures uint8 RGB `[H, W, 3]`, input size. Not to be written to.
        points: float64 `[U, 2]`, the ball in input pixels; NaN where there is none.
        visibility: int8 `[U]`.
    """

    frames: list[Frame]
    points: FloatArray
    visibility: npt.NDArray[np.int8]


class Flights:
    """Moves and streaks the balls of one table's windows."""

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
        self._size = size
        self._lenders = Lenders(table, windows)

    def fly(
        self,
        window: int,
        rows: Rows,
        shown: Shown,
        read: Callable[[int], Frame],
        *,
        to_place: FloatArray | None,
        exposure: float,
    ) -> Shown:
        """The window with its ball elsewhere, or with a longer exposure of it in its place.

        Args:
            window: its id.
            rows: int64 `[U]`, of its frames.
            shown: the frames as stored, with their labels.
            read: gives any frame of the table.
            to_place: 3 + 3 * 4 values in 0..1 that decide the new place; `None` leaves the ball in its own.
            exposure: share of the time between two frames, added to the ball's own; 0 for none.

        Returns:
            Copies of the frames; the very same `shown` where the ball cannot be told from what is behind it, where
            only some of the frames have one, or where no place is found for it.
        """
        to_input = scaling(Size(*self._table.source_size[rows[0]].tolist()), self._size)
        borrow = float(to_place[2]) if to_place is not None and self._config.paste.empty else None
        lifted = self._lift(window, rows, shown, read, to_input, borrow)
        if lifted is None:
            return shown
        lent, balls, backgrounds = lifted
        frames = [frame.copy() for frame in shown.frames]
        if backgrounds is not None:
            for frame, ball in zip(frames, balls, strict=True):
                erase(frame, backgrounds, ball)
        if to_place is not None:
            mirror_x, mirror_y = (bool(draw < 0.5) for draw in to_place[:2])
            balls = [ball.mirrored(x=mirror_x, y=mirror_y) for ball in balls]
        if exposure > 0 and len(balls) > 1:
            motion = np.gradient(np.array([ball.place for ball in balls]), axis=0) * exposure
            trailing = self._config.streak.label == "leading"
            balls = [
                ball.streaked(dx, dy, trailing=trailing)
                for ball, (dx, dy) in zip(balls, motion.tolist(), strict=True)
            ]
        if to_place is not None:
            places = transform_points(to_input, self._lenders.places(rows))
            placed = self._placed(balls, frames, places, to_place[3:])
            if placed is None:
                return shown
            balls = placed
        elif not _all_show(balls, frames):
            return shown
        for frame, ball in zip(frames, balls, strict=True):
            ball.put_down(frame)
        return Shown(frames, np.array([ball.place for ball in balls]), self._table.visibility[lent])

    def _lift(
        self,
        window: int,
        rows: Rows,
        shown: Shown,
        read: Callable[[int], Frame],
        to_input: FloatArray,
        borrow: float | None,
    ) -> tuple[Rows, list[Sprite], Frame | None] | None:
        """A window's balls or those it is lent: the rows they are of, and what is behind them if they are its own."""
        scale = float(to_input[0, 0])
        reach = math.ceil(_REACH_BALLS * self._config.ball_px * scale) + 2
        lent, seen, behind = rows, shown.frames, None
        if self._lenders.seen[rows].all():
            row = self._lenders.background(
                rows, self._config.ball_px + reach / min(scale, float(to_input[1, 1]))
            )
            if row is None:
                return None
            behind = read(row)
            backgrounds = [behind] * len(rows)
        elif borrow is not None and np.isnan(shown.points).all():
            found = self._lenders.with_balls(window, borrow)
            if found is None or len(found) < len(rows):
                return None
            # A window at its clip's end has fewer frames than the one that lends.
            lent = found[: len(rows)]
            seen, backgrounds = [read(row) for row in lent.tolist()], shown.frames
        else:
            return None
        points = transform_points(to_input, self._table.xy_px[lent]).tolist()
        balls: list[Sprite] = []
        for frame, background, (x, y) in zip(seen, backgrounds, points, strict=True):
            ball = lift(frame, background, (x, y), reach=reach, ball_px=self._config.ball_px * scale)
            if ball is None:
                return None
            balls.append(ball)
        areas = [float(ball.cover.sum()) for ball in balls]
        return None if max(areas) > _MOST_GROWTH * min(areas) else (lent, balls, behind)

    def _placed(
        self, balls: Sequence[Sprite], frames: Sequence[Frame], places: FloatArray, draws: FloatArray
    ) -> list[Sprite] | None:
        """All balls moved by the same whole pixels, near one of the clip's own places, to where they can be seen."""
        own = np.array([ball.place for ball in balls])
        size, spread_px = np.array(self._size), self._config.paste.spread * self._size.width
        lowest = np.ceil(-own.min(axis=0)).astype(int)
        highest = np.floor(size - 1 - own.max(axis=0)).astype(int)
        if (lowest > highest).any():
            return None
        for pick, x, y in draws[: 3 * _PLACES_TRIED].reshape(-1, 3).tolist():
            place = places[int(pick * len(places))]
            shift = np.rint(place + (2.0 * np.array([x, y]) - 1.0) * spread_px - own[len(own) // 2]).astype(
                int
            )
            dx, dy = np.clip(shift, lowest, highest).tolist()
            moved = [ball.moved(dx, dy) for ball in balls]
            if _all_show(moved, frames):
                return moved
        return None


def _all_show(balls: Sequence[Sprite], frames: Sequence[Frame]) -> bool:
    return all(ball.shows_on(frame) for ball, frame in zip(balls, frames, strict=True))
