"""Operating points that are held to a share of false alarms."""

from __future__ import annotations

from benchmarks.held_false_alarms import rows, shared_games
from tests.training.metrics.conftest import Frame, predictions_of
from tracknet.training.metrics import PROTOCOLS


def test_a_model_is_compared_at_the_threshold_that_keeps_its_share() -> None:
    """B finds more balls, but its alarms are surer: held to none, one of its four balls is left."""
    empties = [Frame(None, (5, 5), score) for score in (0.6, 0.2)]
    balls = [Frame((100, 100), (101, 100), score) for score in (0.9, 0.5, 0.4)]
    a = predictions_of([*balls, Frame((100, 100), None), Frame(None, (5, 5), 0.3), Frame(None, None)])
    b = predictions_of([*balls, Frame((100, 100), (100, 101), 0.3), *empties])
    of_any, other = rows({"A": a, "B": b}, PROTOCOLS["wasb"], 1.0)
    # 3 of 4 without an alarm; 4 of 4 with one, 2 * 4 / (2 * 4 + 1).
    assert of_any.startswith("| any share | A | 85.7 ")
    assert "| 100.0 | 75.0 | 0 of 2 |" in of_any
    assert other.startswith("| any share | B | 88.9 ")
    assert "| +3.2" in other
    assert "| 80.0 | 100.0 | 1 of 2 |" in other
    held, other = rows({"A": a, "B": b}, PROTOCOLS["wasb"], 0.4)
    assert held.replace("40 %", "any share") == of_any
    assert other.startswith("| 40 % | B | 40.0 ")
    assert "| -45.7" in other
    assert "| 100.0 | 25.0 | 0 of 2 |" in other
    assert other.endswith("| 0.900 |")


def test_a_threshold_that_was_chosen_on_other_frames_is_held_to_there() -> None:
    """None of the chosen frames without a ball is reported above 0.6; of the scored ones one is, and it counts."""
    ball = (100, 100)
    chosen = predictions_of([Frame(ball, ball, 0.9), Frame(ball, ball, 0.7), Frame(None, (5, 5), 0.6)])
    scored = predictions_of([Frame(ball, ball, 0.8), Frame(ball, ball, 0.5), Frame(None, (5, 5), 0.75)])
    (line,) = rows({"A": scored}, PROTOCOLS["wasb"], 0.0, {"A": chosen})
    # One of two balls and one alarm: 2 * 1 / (2 * 1 + 1 + 1).
    assert line.startswith("| 0 % | A | 50.0 ")
    assert "| 50.0 | 50.0 | 1 of 1 |" in line
    assert line.endswith("| 0.700 |")


def test_a_game_that_is_scored_chooses_no_threshold() -> None:
    scored = predictions_of([Frame((1, 1), (1, 1), 0.8, clip=("game9", "Clip1"))])
    other = predictions_of([Frame(None, None, clip=("game8", "Clip1"))])
    same = predictions_of([Frame(None, None, clip=("game9", "Clip2"))])
    assert shared_games({"A": scored}, {"A": other}) == []
    assert shared_games({"A": scored, "B": scored}, {"A": other, "B": same}) == ["game9"]
