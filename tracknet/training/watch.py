"""Two things that go wrong silently: a loss that is no number, and maps that stay empty."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tracknet.training.checkpoint import TrainingState
from tracknet.utils.errors import RunError
from tracknet.utils.naming import listed
from tracknet.utils.settings import LossConfig

# An untrained map's highest cell is within 5 px of the ball in 1 frame of 10,000; a training that has begun
# to learn is far above this share.
_LEARNING_SHARE = 0.01
# But a map that is the same for all frames is high where balls often are, and finds a ball that returns there: of few
# clips one in 40. It finds other windows' balls as often, and one that has learned does not (of 16 frames of a clip
# one in 10, against nearly all of its own).
_LEARNING_RATIO = 3


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
    raise RunError(
        f"the {what} is {value} at step {step}, with samples {listed(keys, 8)}; the weights were not changed",
        remedy=f"lower training.optimizer.lr (now {lr:.2g}), set training.grad_clip, or train without mixed precision "
        "(training.amp=off); --resume goes on from the last checkpoint",
    )


class EmptyMapWatch:
    """Counts how many balls the first steps locate, and says so when nothing is being learned."""

    def __init__(self, after_steps: int, loss: LossConfig, skip: str) -> None:
        """Prepares the advice.

        Args:
            after_steps: when to judge.
            loss: what is being trained with; what is set already is not advised.
            skip: of the decoder; what is set already is not advised.
        """
        self._after_steps = after_steps
        self._advice = [
            "look at the overlays in TensorBoard (is the green ring on the ball? then labels and sizes are right)",
            *(["training.loss.name=quality_focal"] if loss.name == "mse" else []),
            *(["model.decoder.skip=detail"] if skip == "none" else []),
            "a larger model.heatmap.sigma",
            "another training.optimizer.lr (a third, or three times)",
            "more steps",
        ]

    def after_step(
        self, state: TrainingState, found: int, seen: int, peak: float, *, by_chance: float = 0.0
    ) -> str | None:
        """Takes the step just taken in; returns advice at the end of the watch if no map was learned.

        Args:
            state: keeps the counts, so that a resumed run goes on counting.
            found: training balls located within the metrics' distance.
            seen: training balls.
            peak: mean of the highest probabilities.
            by_chance: how many the map of another window would have located, on average.
        """
        if state.step > self._after_steps:
            return None
        state.balls_found += found
        state.balls_seen += seen
        state.balls_by_chance += by_chance
        learned = max(_LEARNING_SHARE * state.balls_seen, _LEARNING_RATIO * state.balls_by_chance)
        if state.step < self._after_steps or state.balls_found > learned:
            return None
        chance = (
            f", {state.balls_by_chance:.1f} by the map of another window" if state.balls_by_chance else ""
        )
        return (
            f"after {state.step} steps {state.balls_found} of {state.balls_seen} training balls were located{chance} "
            f"(mean peak {peak:.3f}): the maps stay empty. What usually helps, in this order: {'; '.join(self._advice)}"
        )
