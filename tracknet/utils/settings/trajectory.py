"""The settings of `predict --smooth`. They are of no run, and in no file of `configs/`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tracknet.utils.bounds import bounded


@dataclass(frozen=True)
class TrajectoryConfig:
    """How the ball's way through a video is found among the candidates of its frames.

    Costs are in log-odds of a candidate's score against the model's threshold: 1 is a score of 0.73 against 0.5.
    The defaults were chosen on eleven clips of badminton; benchmarks/results/trajectory has what each is worth.
    """

    candidates: int = bounded(5, 1, 64)
    """At most so many candidates of a frame are looked at, the best first."""
    max_speed: float = bounded(2.5, above=0.0)
    """No ball is faster, in picture diagonals per second. Of real ones 99.9 % are below 1.9, the fastest had 3.3."""
    start_cost: float = bounded(3.0, 0.0)
    """Paid by every track: what stands alone must be so much surer than the threshold. 0 lets the ball jump."""
    hysteresis: float = bounded(0.5, 0.0)
    """A candidate on a track may be so much less sure than the threshold."""
    turn_cost: float = bounded(0.3, 0.0)
    """Paid for a change of velocity of `turn_speed`, times log 2, and for others by `log(1 + r^2)`."""
    turn_speed: float = bounded(0.2, above=0.0)
    """Diagonals per second."""
    max_gap: int = bounded(2, 0, 60)
    """A track may pass through so many frames without a candidate."""
    lock_on_s: float | None = bounded(2.0, above=0.0)
    """A candidate that stays in its place for so long while a ball flies elsewhere is none; null looks for none. No
    real ball of a rally rests for 1 s, and without this a track holds to a spot more firmly than to any ball."""
    fill_frames: int = bounded(0, 0, 60)
    """Gaps of at most so many frames within a track are filled, and marked so. Off by default: of badminton's short
    gaps most are frames without a ball, and one filled point in five is right."""

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yields (key, message) where gaps would be filled that are longer than any gap of a track."""
        if self.fill_frames > self.max_gap:
            yield (
                "fill_frames",
                f"is {self.fill_frames}, but no track has a gap of more than max_gap: {self.max_gap}",
            )
