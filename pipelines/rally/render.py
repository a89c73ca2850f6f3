"""Frames and labels of one clip: what stands still, the players, the ball with its blur, the recording.

The ball is laid over the finished scene last, thinned by whatever stands before it. So a frame without
the ball, and how much of the ball is seen and how well, are known exactly; labels come from there.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.rally.ball import DrawnBall, draw_ball, draw_ball_shadow
from pipelines.rally.figures import Part, draw_parts, figure_parts
from pipelines.rally.looks import camera_motion, game_look
from pipelines.rally.physics import FRAMES_PER_S
from pipelines.rally.players import PlayerTrack
from pipelines.rally.points import simulate_rally
from pipelines.rally.sprites import Picture, Sprite, Window, darken, lay_over, meeting
from pipelines.rally.stadium import Stadium, build_stadium
from tracknet.datasets.schema import Status, Visibility

# Below this share of its picture uncovered a ball is occluded.
OCCLUDED_BELOW = 0.35
# A ball is hard to see if it changes the picture (mean of the channels, levels of 255, over the best
# 3x3 pixels) by less than this much, plus a share of how much its surroundings vary anyway.
HARD_BELOW_LEVELS, HARD_CLUTTER_SHARE = 26.0, 0.55
# What may stand before a ball: how far away it stands (world y), and its picture.
Cover = tuple[float, Sprite]


@dataclass(frozen=True)
class FrameTruth:
    """The label of one frame; `xy_px` is the ball's centre at mid-exposure, None where it is absent.

    `diameter_px` is the disc's, without blur; `uncovered` the share of the ball nothing stands before;
    `contrast_levels` how much it changes the picture.
    """

    visibility: Visibility
    xy_px: tuple[float, float] | None
    status: Status | None
    diameter_px: float = 0.0
    uncovered: float = 0.0
    contrast_levels: float = 0.0


@lru_cache(maxsize=2)
def _stadium(seed: int, game: int, width_px: int, height_px: int) -> Stadium:
    """The game's venue, painted once per process for all its clips."""
    rng = np.random.default_rng(np.random.SeedSequence([seed, game, 0]))
    return build_stadium(game_look(seed, game, width_px, height_px), width_px, height_px, rng)


class ClipRenderer:
    """Renders any frame of a clip in any order; everything follows from (seed, game, clip)."""

    def __init__(self, seed: int, game: int, clip: int, frames: int, width_px: int, height_px: int) -> None:
        self.size_px = width_px, height_px
        self.look = game_look(seed, game, width_px, height_px)
        self.stadium = _stadium(seed, game, width_px, height_px)
        rng = np.random.default_rng(np.random.SeedSequence([seed, game, clip]))
        self.rally = simulate_rally(rng, frames / FRAMES_PER_S, self.look.wall_x_m, self.look.wall_y_m)
        self.tracks = [PlayerTrack(self.rally, side, rng) for side in (1, -1)]
        self.status = self.rally.status(frames)
        self.shift_px = camera_motion(self.look, rng, frames)
        self.noise_seed = int(rng.integers(2**31))
        self._noise: NDArray[np.int16] | None = None

    def render(self, frame: int, *, ball: bool = True, noise: bool = True) -> Picture:
        """The frame [H, W, 3], blue, green, red; without ball or noise on request (for tests)."""
        picture = self._finished(frame)[0] if ball else self._graphics(*self._whole_scene(frame)[:2])
        return self._with_noise(picture, frame) if noise else picture

    def frame(self, frame: int) -> tuple[Picture, FrameTruth]:
        """The frame as the camera records it, and its label."""
        picture, truth = self._finished(frame)
        return self._with_noise(picture, frame), truth

    def truth(self, frame: int) -> FrameTruth:
        """The label of a frame; paints only the surroundings of the ball."""
        drawn = self._ball(frame)
        window = self._surroundings(drawn)
        if drawn is None or window is None:
            return FrameTruth(Visibility.ABSENT, None, None)
        before, covers = self._scene(frame, window)
        after = before.copy()
        ball = self._uncovered(frame, drawn, covers)
        lay_over(after, ball, window)
        return self._judge(frame, drawn, ball, self._graphics(before, window), self._graphics(after, window))

    def _whole_scene(self, frame: int) -> tuple[Picture, Window, list[Cover]]:
        window = Window(0, 0, *self.size_px)
        picture, covers = self._scene(frame, window)
        return picture, window, covers

    def _finished(self, frame: int) -> tuple[Picture, FrameTruth]:
        """The whole frame but for the noise, and its label."""
        picture, whole, covers = self._whole_scene(frame)
        drawn = self._ball(frame)
        if drawn is None:
            return self._graphics(picture, whole), FrameTruth(Visibility.ABSENT, None, None)
        ball, window = self._uncovered(frame, drawn, covers), self._surroundings(drawn)
        before = None if window is None else picture[window.slices].copy()
        lay_over(picture, ball, whole)
        picture = self._graphics(picture, whole)
        if window is None or before is None:
            return picture, FrameTruth(Visibility.ABSENT, None, None)
        return picture, self._judge(
            frame, drawn, ball, self._graphics(before, window), picture[window.slices]
        )

    def _surroundings(self, drawn: DrawnBall | None) -> Window | None:
        """The part of the frame by which the ball is judged; None if its centre is outside the frame."""
        width_px, height_px = self.size_px
        if drawn is None:
            return None
        (x_px, y_px), alpha = drawn.xy_px, drawn.sprite.alpha
        if not (0 <= x_px <= width_px - 1 and 0 <= y_px <= height_px - 1):
            return None
        margin = max(4, round(1.5 * drawn.diameter_px))
        left, top = (max(origin - margin, 0) for origin in drawn.sprite.origin_px)
        right = min(drawn.sprite.origin_px[0] + alpha.shape[1] + margin, width_px)
        bottom = min(drawn.sprite.origin_px[1] + alpha.shape[0] + margin, height_px)
        return Window(left, top, right - left, bottom - top)

    def _judge(
        self, frame: int, drawn: DrawnBall, ball: Sprite, before: Picture, after: Picture
    ) -> FrameTruth:
        """The label, from how much of the ball is uncovered and how much it changes its surroundings."""
        seen = ball.alpha
        for sprite in self.stadium.graphics:
            seen = seen * (1 - meeting(sprite, ball))
        uncovered = float(seen.sum() / max(float(drawn.sprite.alpha.sum()), 1e-6))
        change = cv2.absdiff(after, before).astype(np.float32).mean(axis=2)
        contrast = float(cv2.blur(change, (3, 3)).max())
        clutter = float(before.astype(np.float32).mean(axis=2).std())
        visibility = Visibility.CLEAR
        if uncovered < OCCLUDED_BELOW:
            visibility = Visibility.OCCLUDED
        elif contrast < HARD_BELOW_LEVELS + HARD_CLUTTER_SHARE * clutter:
            visibility = Visibility.HARD
        return FrameTruth(visibility, drawn.xy_px, self.status[frame], drawn.diameter_px, uncovered, contrast)

    def _scene(self, frame: int, window: Window) -> tuple[Picture, list[Cover]]:
        """The window without the ball, and what in it may stand before a ball."""
        time_s = frame / FRAMES_PER_S
        picture = self._crop(self.stadium.background, frame, window)
        camera = self.look.camera
        covers: list[Cover] = []
        figures: list[tuple[float, list[Part]]] = []
        for track, outfit in zip(self.tracks, (self.look.outfits[1], self.look.outfits[0]), strict=True):
            pose = track.pose(time_s)
            figures.append((float(pose.place_m[1]), figure_parts(pose, outfit)))
        right, down = self._whole_shift(frame)
        unmoved = window.moved(-right, -down)
        for _, parts in figures:
            shadow = self._shifted(draw_parts(parts, camera, self.look.shadow_m, unmoved), frame)
            if shadow is not None:
                darken(picture, shadow, window, self.look.shadow_strength)
        spot = draw_ball_shadow(self.rally, self.look, time_s, self.shift_px[frame])
        if spot is not None:
            darken(picture, spot[0], window, spot[1])
        for y_m, parts in figures:
            sprite = self._shifted(draw_parts(parts, camera, within=unmoved), frame)
            if sprite is None:
                continue
            if y_m > 0:
                sprite = self._behind_net(sprite, frame)
            lay_over(picture, sprite, window)
            covers.append((y_m, sprite))
        return picture, covers

    def _crop(self, layer: NDArray[np.uint8], frame: int, window: Window) -> Picture:
        """The window of a padded layer, moved by the camera."""
        pad = self.stadium.pad_px
        if pad == 0:
            return layer[window.slices].copy()
        shift_x, shift_y = self.shift_px[frame]
        move = np.array([[1, 0, pad + window.left - shift_x], [0, 1, pad + window.top - shift_y]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        moved = cv2.warpAffine(layer, move, (window.width, window.height), flags=flags)
        return np.asarray(moved, np.uint8)

    def _shifted(self, sprite: Sprite | None, frame: int) -> Sprite | None:
        """The sprite moved with the camera by whole pixels; the rest is lost in the figure's own motion."""
        if sprite is None:
            return None
        right, down = self._whole_shift(frame)
        left, top = sprite.origin_px
        return Sprite((left + right, top + down), sprite.colour, sprite.alpha)

    def _whole_shift(self, frame: int) -> tuple[int, int]:
        """The camera's motion in whole pixels."""
        right, down = np.round(self.shift_px[frame]).astype(int)
        return int(right), int(down)

    def _behind_net(self, sprite: Sprite, frame: int) -> Sprite:
        """The sprite as far as the net leaves it free."""
        free = np.ones_like(sprite.alpha)
        shift, pad = self._whole_shift(frame), self.stadium.pad_px
        left, top = sprite.origin_px[0] - shift[0] + pad, sprite.origin_px[1] - shift[1] + pad
        net = self.stadium.net
        x0, y0 = max(left, 0), max(top, 0)
        x1, y1 = min(left + free.shape[1], net.shape[1]), min(top + free.shape[0], net.shape[0])
        if x0 < x1 and y0 < y1:
            free[y0 - top : y1 - top, x0 - left : x1 - left] -= net[y0:y1, x0:x1]
        return Sprite(sprite.origin_px, sprite.colour * free[..., None], sprite.alpha * free)

    def _ball(self, frame: int) -> DrawnBall | None:
        """The blurred ball before anything covers it; None without a ball."""
        return draw_ball(self.rally, self.look, frame / FRAMES_PER_S, self.shift_px[frame], self.size_px[1])

    def _uncovered(self, frame: int, drawn: DrawnBall, covers: list[Cover]) -> Sprite:
        """The ball as far as the net and nearer players leave it free."""
        ball = self._behind_net(drawn.sprite, frame) if drawn.y_m > 0 else drawn.sprite
        alpha, colour = ball.alpha, ball.colour
        for cover_y_m, cover in covers:
            if cover_y_m < drawn.y_m:
                free = 1 - meeting(cover, drawn.sprite)
                alpha, colour = alpha * free, colour * free[..., None]
        return Sprite(drawn.sprite.origin_px, colour, alpha)

    def _graphics(self, picture: Picture, window: Window) -> Picture:
        """Lay the broadcaster's graphics over the picture."""
        for sprite in self.stadium.graphics:
            lay_over(picture, sprite, window)
        return picture

    def _with_noise(self, picture: Picture, frame: int) -> Picture:
        """Add sensor noise: a window at a random place of one field of noise a clip."""
        width_px, height_px = self.size_px
        if self._noise is None:
            rng = np.random.default_rng(self.noise_seed)
            field = rng.standard_normal((height_px + 64, width_px + 64, 3), np.float32)
            field = cv2.GaussianBlur(field, (0, 0), 0.6) * (self.look.noise_levels / 0.47)
            self._noise = np.round(field).astype(np.int16)
        left, top = np.random.default_rng([self.noise_seed, frame]).integers(0, 65, 2)
        noise = self._noise[top : top + height_px, left : left + width_px]
        return np.asarray(cv2.add(picture, noise, dtype=cv2.CV_8U), np.uint8)
