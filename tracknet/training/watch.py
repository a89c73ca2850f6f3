"""Two things that go wrong silently: a loss that is no number, and maps that stay empty."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tracknet.training.checkpoint import TrainingState
from tracknet.utils.errors import RunError

# An untrained map's highest cell is within 5 px of the ball in 1 frame of 10,000; a training that has begun
# to learn is far above this share.
_LEARNING_SHARE = 0.01


def stop_if_not_finite(value: float, what: str, *, step: int, lr: float, keys: Sequence[str]) -> None:
    """Raises RunError, before the weights are touched, if `value` is infinite or no number.

    Args:
        value: of the loss or of the gradients' norm.
        what: which of them.
        step: the optimizer step about to be taken.
        lr: its learning rate.
        keys: samples of the batch.
    """
    if math.isfinite(value):
        return
    shown = ", ".join(keys[:8]) + (f" and {len(keys) - 8} more" if len(keys) > 8 else "")
    raise RunError(
        f"the {what} is {value} at step {step}, with samples {shown}; the weights were not changed",
        remedy=f"lower training.optimizer.lr (now {lr:.2g}), set training.grad_clip, or train without mixed precision "
        "(training.amp=off); --resume goes on from the last checkpoint",
    )


class EmptyMapWatch:
    """Counts how many training balls are located, and says so once when nothing is being learned."""

    def __init__(self, state: TrainingState, *, after_steps: int, distance_px: float) -> None:
        self._state = state
        self._after_steps = after_steps
        self._distance_px = distance_px
        self._told = state.step >= after_steps

    def update(self, error_px: npt.NDArray[np.floating], peak: float) -> str | None:
        """Takes one batch in; returns advice the moment the watch ends without a learned map.

        Args:
            error_px: distances of the predicted points in frame pixels, NaN where there is no ball.
            peak: mean of the highest probabilities.
        """
        self._state.balls_seen += int(np.isfinite(error_px).sum())
        self._state.balls_found += int((error_px <= self._distance_px).sum())
        if self._told or self._state.step < self._after_steps:
            return None
        self._told = True
        found, seen = self._state.balls_found, self._state.balls_seen
        if found > _LEARNING_SHARE * seen:
            return None
        return (
            f"after {self._state.step} steps {found} of {seen} training balls were found within "
            f"{self._distance_px:g} px (mean peak {peak:.3f}): the maps stay empty. What usually helps, in this order: "
            "look at the overlays in TensorBoard (are the green rings on the ball? then the labels and sizes are "
            "right); training.loss.name=focal; model.decoder.skip=detail; a larger model.heatmap.sigma; another "
            "training.optimizer.lr (a third, or three times); more steps"
        )
