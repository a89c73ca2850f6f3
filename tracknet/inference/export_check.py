"""How far an exported model is from the one it was made of, and how far it may be.

Coordinates are judged where the model reports a ball. Elsewhere a map is nearly flat, its highest cell is chance,
and a rounding in the last digit may move it across the picture; there only the heatmaps are judged. The same
holds of a tie: where two cells are equally high, either may win.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from tracknet.models.model import TrackNet


@dataclass(frozen=True)
class Tolerance:
    """What counts as the same.

    Attributes:
        points_px: between two points, in input pixels.
        probability: between two heatmaps' cells.
        tie_logits: cells no further apart are equally high.
    """

    points_px: float
    probability: float
    tie_logits: float


EXACT = Tolerance(points_px=0.01, probability=1e-3, tie_logits=1e-3)
# Weights rounded to 11 bits move logits by hundredths.
HALF = Tolerance(points_px=0.5, probability=0.05, tie_logits=0.1)


ENOUGH_JUDGED = 20
"""Maps whose points are compared: of fewer, the largest difference of their points says little."""


@dataclass(frozen=True)
class Agreement:
    """Largest differences over some windows.

    Attributes:
        windows: how many were compared.
        maps: heatmaps in them.
        reported: of the maps, those in which the model reports a ball.
        ties: of those, maps that have two equally high cells, of which each model took another.
        points_px: between points, where a ball is reported and there is no tie; NaN where there are none such.
        other_points_px: between points in all other maps; NaN where there are none.
        probability: between cells of the heatmaps.
    """

    windows: int
    maps: int
    reported: int
    ties: int
    points_px: float
    other_points_px: float
    probability: float

    @property
    def judged(self) -> int:
        """Maps whose points were compared."""
        return self.reported - self.ties

    @property
    def judged_words(self) -> str:
        """Of how many maps the points could be compared, and why not of the others."""
        return (
            f"the points of only {self.judged} of {self.maps} maps could be compared ({self.reported} show a ball, "
            f"{self.ties} of these tie)"
        )

    def problems(self, tolerance: Tolerance) -> list[str]:
        """A message for each difference between the file and the model that is larger than the tolerance."""
        found = []
        # "Not at most" instead of "above": NaN from a broken graph must not pass.
        if not self.probability <= tolerance.probability:
            found.append(
                f"heatmaps are up to {self.probability:.2g} apart (probability), "
                f"at most {tolerance.probability:g} is allowed"
            )
        if self.judged and not self.points_px <= tolerance.points_px:
            found.append(
                f"points are up to {self.points_px:.3g} px apart, at most {tolerance.points_px:g} px is allowed"
            )
        return found

    def __str__(self) -> str:
        points = f"points at most {self.points_px:.2g} px apart where a ball is reported ({self.judged} maps)"
        if not self.judged:
            points = f"points were not judged: {self.judged_words}"
        elif not math.isnan(self.other_points_px):
            points += f", {self.other_points_px:.2g} px elsewhere ({self.maps - self.judged})"
        return f"{points}, heatmaps at most {self.probability:.2g} (probability)"


Answer = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
"""Windows uint8 `[B, T, 3, H, W]` to logits `[B, M, h, w]` and points `[B, M, 2]`."""


@torch.no_grad()
def compare(model: TrackNet, answer: Answer, windows: torch.Tensor, tolerance: Tolerance) -> Agreement:
    """Runs both over the same windows.

    Args:
        model: the original, in evaluation mode.
        answer: of what was made of it.
        windows: uint8 `[N, T, 3, H, W]`.
        tolerance: says what a tie is.
    """
    expected_logits, found_logits, expected_xy, found_xy, scores = [], [], [], [], []
    for part in _parts(windows):
        logits = model(part)
        xy, score = model.decode(logits)
        other_logits, other_xy = answer(part)
        expected_logits.append(logits)
        expected_xy.append(xy)
        scores.append(score)
        found_logits.append(other_logits)
        found_xy.append(other_xy)
    expected, found = torch.cat(expected_logits).flatten(2), torch.cat(found_logits).flatten(2)
    apart = (torch.cat(expected_xy) - torch.cat(found_xy)).abs().amax(-1)
    reported = torch.cat(scores) >= model.score_threshold
    peak, other = expected.argmax(-1, keepdim=True), found.argmax(-1, keepdim=True)
    below = (expected.gather(-1, peak) - expected.gather(-1, other)).squeeze(-1)
    tie = (peak != other).squeeze(-1) & (below <= tolerance.tie_logits)
    judged = reported & ~tie
    return Agreement(
        windows=len(windows),
        maps=reported.numel(),
        reported=int(reported.sum()),
        ties=int((tie & reported).sum()),
        points_px=_largest(apart[judged]),
        other_points_px=_largest(apart[~judged]),
        probability=_largest((expected.sigmoid() - found.sigmoid()).abs()),
    )


def _parts(windows: torch.Tensor) -> Iterator[torch.Tensor]:
    """Batches of 1, 2, 3, 1, 2, ...: a graph that was traced with one size must do with every other."""
    start = number = 0
    while start < len(windows):
        size = number % 3 + 1
        yield windows[start : start + size]
        start, number = start + size, number + 1


def _largest(values: torch.Tensor) -> float:
    return float(values.max()) if values.numel() else math.nan
