"""The figures as text: what is there, what is undefined, and the mark of what flatters."""

from __future__ import annotations

from typing import Any

import pytest

from tracknet.reporting.score_table import comparison_text, evaluation_text, protocol_table


def figures(**changes: Any) -> dict[str, Any]:
    shares = dict.fromkeys(("f1", "precision", "recall", "accuracy", "ap"), 0.5)
    counts = {"tp": 12345, "tn": 1, "fp1": 2, "fp2": 3, "fn": 4}
    text = {"distance": "d < 4 px at 1280x720", "counts_as_ball": "visibility 1, 2"}
    return {**shares, **counts, **text, "rmse_px": 2.25, "intervals": {"f1": [0.4, 0.6]}, **changes}


def report(**changes: Any) -> dict[str, Any]:
    return {
        "model": "runs/a/model",
        "split": "val",
        "games": ["game2"],
        "shards": "shards",
        "frames": 1000,
        "frame_sizes": ["1280x720"],
        "balls": 900,
        "clips": 12,
        "threshold": 0.324,
        "optimistic": False,
        "protocols": {"wasb": figures()},
        "error": {"mean": 5.0, "median": 1.5, "p90": 9.0, "p99": 90.0, "without_guess": 150},
        "pck_curve": {"share": [0.1] * 20},
        "false_alarms": {
            "false_alarms": 3,
            "empty_frames": 100,
            "brief_frames": 2,
            "other": {"false_alarms": 1, "empty_frames": 64},
        },
        "notes": [],
        "bootstrap": {"caution": None},
        **changes,
    }


def test_a_protocols_line():
    header, line, rule = protocol_table(report()).splitlines()
    assert " ".join(line.split()) == "wasb 50.0 [40.0, 60.0] 50.0 50.0 50.0 50.0 2.2 12,345 1 2 3 4"
    assert len(header) == len(line) <= 110
    assert "d < 4 px at 1280x720" in rule
    assert rule.endswith("AP with monotone precision -")
    marked = protocol_table(report(optimistic=True, protocols={"wasb": figures(ap_monotone=0.612)}))
    assert marked.endswith("AP with monotone precision 61.2*")


def test_undefined_figures_are_dashes():
    nothing = figures(precision=float("nan"), rmse_px=None, intervals={"f1": None})
    line = protocol_table(report(protocols={"wasb": nothing})).splitlines()[1]
    assert line.split()[:4] == ["wasb", "50.0", "-", "-"]
    assert line.split()[7] == "-"


def test_errors_say_over_how_many_balls():
    assert "error in frame px over 750 of 900 balls: mean 5.00  median 1.50" in evaluation_text(report())


@pytest.mark.parametrize("key", ["other", "lasting"])
def test_false_alarms_say_how_many_are_in_no_brief_absence(key: str):
    alarms = report()["false_alarms"]
    alarms[key] = alarms.pop("other")
    words = "apart from absences of at most 2 frames between two frames with a ball"
    told = "false alarms on frames without a ball: 3 of 100"
    assert f"{told}, 1 of 64 {words}\n" in evaluation_text(report(false_alarms=alarms)) + "\n"
    of_before = report(false_alarms={"false_alarms": 3, "empty_frames": 100})
    assert f"{told}\n" in evaluation_text(of_before) + "\n"


def test_what_flatters_is_marked_at_the_figures_and_told_below():
    note = "the threshold was chosen on this very split: every figure that depends on it is optimistic"
    text = evaluation_text(report(optimistic=True, notes=[note, "p has no row for 2 of 9 frames"]))
    assert "wasb*" in text
    assert f"*: {note}" in text
    assert "note: p has no row" in text
    assert "wasb*" not in evaluation_text(report())


def test_a_comparison():
    comparison = {
        "a": "a",
        "b": "b",
        "thresholds": {"a": 0.5, "b": 0.25},
        "frames": 10,
        "clips": 2,
        "protocols": {
            "wasb": {
                "f1": {"a": 0.5, "b": 0.75, "difference": 0.25, "interval": [0.1, 0.4]},
                "rmse_px": {"a": 3.0, "b": 2.0, "difference": -1.0, "interval": None},
            }
        },
        "verdict": "B better than A",
        "caution": "2 clips only",
        "notes": [],
        "optimistic": {"a": False, "b": False},
    }
    lines = comparison_text(comparison).splitlines()
    assert " ".join(lines[4].split()) == "wasb f1 50.0 75.0 B - A +25.0 [10.0, 40.0] points"
    assert " ".join(lines[5].split()) == "wasb rmse 3.0 2.0 B - A -1.0 - px"
    assert lines[-2:] == ["B better than A", "note: 2 clips only"]
    note = "B: the checkpoint was chosen as the best on this very split: every figure is somewhat optimistic"
    flattered = {"notes": [note], "optimistic": {"a": False, "b": True}}
    lines = comparison_text(comparison | flattered).splitlines()
    assert lines[0].startswith("A: a") and lines[1].startswith("B*: b")
    assert " ".join(lines[4].split()) == "wasb f1 50.0 75.0* B - A +25.0 [10.0, 40.0] points"
    assert lines[-2:] == [f"*: {note}", "note: 2 clips only"]
