"""Whether the ball was found, at a distance and a score threshold: counts, precision, recall, F1.

Frames with a ball: a detection within the distance is a true positive, one farther off a near miss, none at
all a miss. Frames without one: a detection is a false alarm. The default figures leave frames without a ball
out, as the original design does; their false alarms are reported apart.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from tracknet.training.metrics.predictions import Predictions


@dataclass(frozen=True, slots=True)
class DetectionCounts:
    """Frames by outcome. Counts of parts add up to the counts of the whole."""

    true_positive: int
    near_miss: int
    missed: int
    false_alarm: int
    true_negative: int

    def __add__(self, other: DetectionCounts) -> DetectionCounts:
        return DetectionCounts(
            *(a + b for a, b in zip(asdict(self).values(), asdict(other).values(), strict=True))
        )

    @property
    def precision(self) -> float:
        """Of the detections on frames with a ball, the share within the distance."""
        return _ratio(self.true_positive, self.true_positive + self.near_miss)

    @property
    def recall(self) -> float:
        """Of the frames with a ball, the share found within the distance."""
        return _ratio(self.true_positive, self.true_positive + self.near_miss + self.missed)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        found = self.true_positive
        return _ratio(2 * found, 2 * found + 2 * self.near_miss + self.missed)

    @property
    def f1_all_frames(self) -> float:
        """F1 with the false alarms on frames without a ball counted against precision."""
        found = self.true_positive
        return _ratio(2 * found, 2 * found + 2 * self.near_miss + self.missed + self.false_alarm)

    @property
    def false_alarm_rate(self) -> float:
        """Of the frames without a ball, the share with a detection."""
        return _ratio(self.false_alarm, self.false_alarm + self.true_negative)


def count_detections(predictions: Predictions, *, distance_px: float, threshold: float) -> DetectionCounts:
    """Counts every frame once.

    Args:
        predictions: the frames.
        distance_px: in frame pixels; a point exactly at it counts as found.
        threshold: a score of at least this is a detection.
    """
    present, detected = predictions.present, predictions.score >= threshold
    # NaN (no ball) compares false.
    near = predictions.error_px <= distance_px
    return DetectionCounts(
        true_positive=int((present & detected & near).sum()),
        near_miss=int((present & detected & ~near).sum()),
        missed=int((present & ~detected).sum()),
        false_alarm=int((~present & detected).sum()),
        true_negative=int((~present & ~detected).sum()),
    )


def best_threshold(predictions: Predictions, *, distance_px: float) -> float:
    """The score threshold of highest F1, false alarms on frames without a ball counted.

    To be chosen on validation data only. Every distinct score is tried in one sorted pass; of equals the
    highest threshold wins. 0.5 where there is nothing to choose from.

    Args:
        predictions: the frames.
        distance_px: in frame pixels.
    """
    balls = int(predictions.present.sum())
    if not balls:
        return 0.5
    order = np.argsort(-predictions.score, kind="stable")
    score = predictions.score[order]
    found = np.cumsum((predictions.error_px <= distance_px)[order])
    detections = np.arange(1, len(order) + 1)
    # F1 = 2 TP / (detections + balls); a threshold takes in every frame of equal score.
    f1 = 2 * found / (detections + balls)
    is_last_of_equals = np.append(score[1:] < score[:-1], True)
    best = int(np.argmax(np.where(is_last_of_equals, f1, -1.0)))
    return float(score[best])


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
