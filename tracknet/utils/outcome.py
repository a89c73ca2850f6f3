"""What became of a frame: the codes of the metrics, of the columns that a report is drawn from, and of its page."""

from __future__ import annotations

from enum import IntEnum


class Outcome(IntEnum):
    """Of one frame under a protocol.

    ball in the frame     detection near it       TP
                          detection elsewhere     FP1
                          no detection            FN
    no ball               detection               FP2
                          no detection            TN
    """

    TP = 0
    TN = 1
    FP1 = 2
    FP2 = 3
    FN = 4


OUTCOMES = tuple(outcome.name.lower() for outcome in Outcome)
"""Their names in files, by code."""
