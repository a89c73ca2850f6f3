"""The hand-made rule that the trained net has to beat: a bend in the path, told apart by where the ball goes then."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.event_scores import Found, counts_of, figures
from benchmarks.event_training import Path2d
from tracknet.inference.event_features import STEP_S


@dataclass(frozen=True, slots=True)
class KinkRule:
    """An event is where the speed changes most; a hit, where the ball turns back up or down the picture.

    Attributes:
        near: frames on each side over which the speed is taken.
        far: frames on each side that tell whether the ball turned back.
        hit_px: least change of speed at a hit, pixels per frame at 1280x720.
        bounce_px: least loss of downward speed at a bounce.

    """

    near: int = 2
    far: int = 6
    hit_px: float = 8.0
    bounce_px: float = 5.0

    def find(self, path: Path2d) -> Found:
        if path.visible.sum() < 2:
            return []
        frames = np.arange(len(path.x))
        seen = path.visible
        x, y = (np.interp(frames, frames[seen], values[seen]) for values in (path.x, path.y))

        def speed(values: np.ndarray, reach: int) -> tuple[np.ndarray, np.ndarray]:
            before = (values - values[(frames - reach).clip(0)]) / reach
            after = (values[(frames + reach).clip(None, len(values) - 1)] - values) / reach
            return before, after

        (vx0, vx1), (vy0, vy1) = speed(x, self.near), speed(y, self.near)
        far0, far1 = speed(y, self.far)
        change = np.hypot(vx1 - vx0, vy1 - vy0)
        turned = far0 * far1 < 0
        hit = turned & (change >= self.hit_px)
        bounce = ~turned & (vy0 - vy1 >= self.bounce_px)
        found: Found = []
        taken = np.zeros(len(x), bool)
        for frame in np.argsort(-change, kind="stable"):
            if seen[frame] and not taken[frame] and (hit[frame] or bounce[frame]):
                kind = "hit" if hit[frame] else "bounce"
                found.append((float(path.time_s[frame]), kind, float(change[frame])))
                taken[max(frame - 3, 0) : frame + 4] = True
        return sorted(found)


def choose_rule(paths: Sequence[Path2d]) -> KinkRule:
    """The rule with the highest mean F1 of hits and bounces on these paths."""
    assert np.isclose(np.median(np.concatenate([np.diff(path.time_s) for path in paths])), STEP_S)
    rules = [
        KinkRule(near, far, hit_px, bounce_px)
        for near, far, hit_px, bounce_px in itertools.product(
            (2, 3, 4), (5, 8), (4.0, 8.0, 12.0), (3.0, 5.0, 8.0, 12.0)
        )
    ]
    return max(
        rules, key=lambda r: figures(counts_of(paths, [r.find(p) for p in paths]).sum(axis=0))[:, 2].mean()
    )
