"""Differences of a table are those of the predictions, found again from what the records counted by clip."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from benchmarks.ablation.differences import difference
from benchmarks.ablation.measure import BREAKDOWNS, kept_counts
from tests.benchmarks.conftest import Folder, line
from tests.training.metrics.conftest import Frame, predictions_of
from tracknet.training.metrics import Predictions, chosen_protocols, score
from tracknet.training.metrics.comparison import compare
from tracknet.utils.files import finite_or_none

TRUTH, ELSEWHERE = (300.0, 200.0), (700.0, 200.0)
CLIPS = 12


def guesses(share: float, seed: int) -> Predictions:
    """So many of the balls are found; every clip, of its own length, ends with a frame without one."""
    rng = np.random.default_rng(seed)
    frames = []
    # Named so that their order by name is not that of the frames.
    for clip in reversed(range(CLIPS)):
        name = ("game1", f"Clip{clip}")
        found = rng.uniform(size=5 + 3 * clip) < share
        frames += [Frame(TRUTH, TRUTH if one else ELSEWHERE, clip=name) for one in found]
        frames.append(Frame(None, ELSEWHERE if rng.uniform() < 0.5 else None, clip=name))
    return predictions_of(frames)


def counted(predictions: Predictions) -> dict[str, Any]:
    """What a record keeps of an evaluation."""
    report = score(predictions, chosen_protocols(["wasb"]), threshold=0.5)
    parts = {part: [kept_counts(one) for one in report["breakdowns"][part]] for part in BREAKDOWNS}
    return {"breakdowns": json.loads(json.dumps(finite_or_none(parts)))}


def compared(base: Predictions, row: Predictions) -> tuple[float, list[float]]:
    found = compare(base, row, chosen_protocols(["wasb"]), names=("base", "row"), thresholds=(0.5, 0.5))
    f1 = found["protocols"]["wasb"]["f1"]
    return f1["difference"], f1["interval"]


def test_as_of_the_predictions(folder: Folder) -> None:
    base, row = guesses(0.5, seed=0), guesses(0.7, seed=1)
    folder.put("wasb", 0, 0.3, **counted(base))
    folder.put("ours", 0, 0.4, **counted(row))
    rows = folder.read().rows
    found = difference(rows["wasb"], rows["ours"])
    estimate, span = compared(base, row)
    assert found is not None
    assert found.estimate == pytest.approx(estimate, abs=1e-12)
    # Clips are drawn in the order of their names here and of the frames there: other draws of one distribution.
    assert found.interval == pytest.approx(span, abs=0.02)
    assert span[0] > 0.05
    cell = f"{100 * found.estimate:+.1f} [{100 * found.interval[0]:+.1f}, {100 * found.interval[1]:+.1f}]"
    assert line(folder.table(), "ours").split(" | ")[3] == cell


def test_of_several_seeds_it_is_that_of_the_means(folder: Folder) -> None:
    singles = []
    for seed in (0, 1, 2):
        base, row = guesses(0.5, seed=seed), guesses(0.6, seed=10 + seed)
        folder.put("wasb", seed, 0.3, **counted(base))
        folder.put("ours", seed, 0.4, **counted(row))
        singles.append(compared(base, row))
    rows = folder.read().rows
    found = difference(rows["wasb"], rows["ours"])
    assert found is not None
    assert found.estimate == pytest.approx(np.mean([estimate for estimate, _ in singles]))
    # What differs by chance between seeds is averaged away.
    assert np.ptp(found.interval) < max(np.ptp(span) for _, span in singles)
    text = line(folder.table(), "ours, mean ± deviation of 3 seeds").split(" | ")[3]
    assert text.startswith(f"{100 * found.estimate:+.1f} [")
    # A reference that lacks a seed has another mean.
    (folder.results / "wasb-s2.json").unlink()
    assert line(folder.table(), "ours, mean ± deviation of 3 seeds").split(" | ")[3] == ""


def test_other_clips_or_labels_are_not_compared(folder: Folder) -> None:
    base, row = guesses(0.5, seed=0), guesses(0.7, seed=1)
    folder.put("wasb", 0, 0.3, **counted(base))

    def found(**changes: Any) -> object:
        kept = counted(row)
        clips = kept["breakdowns"]["clip"]
        clips[3] |= changes
        folder.put("ours", 0, 0.4, **kept)
        rows = folder.read().rows
        return difference(rows["wasb"], rows["ours"])

    assert found() is not None
    assert found(value="game1/ClipX") is None
    assert found(frames=999) is None
    assert found(balls=1) is None


def test_one_clip_gives_no_interval_and_nothing_found_no_difference(folder: Folder) -> None:
    def one_clip(guess: tuple[float, float] | None) -> dict[str, Any]:
        return counted(predictions_of([Frame(TRUTH, guess), Frame(TRUTH, TRUTH if guess else None)]))

    folder.put("wasb", 0, 0.3, clips=1, **one_clip(ELSEWHERE))
    folder.put("ours", 0, 0.4, clips=1, **one_clip(TRUTH))
    rows = folder.read().rows
    found = difference(rows["wasb"], rows["ours"])
    assert found is not None
    # 2 TP / (detections + TP + FN): one of two balls found, and both.
    assert (found.estimate, found.interval) == (pytest.approx(1 / 3), None)
    assert line(folder.table(), "ours").split(" | ")[3] == "+33.3"
    # No ball and no detection at all: F1 is undefined.
    folder.put("ours", 0, 0.4, clips=1, **counted(predictions_of([Frame(None, None), Frame(None, None)])))
    folder.put("wasb", 0, 0.3, clips=1, **counted(predictions_of([Frame(None, None), Frame(None, None)])))
    rows = folder.read().rows
    assert difference(rows["wasb"], rows["ours"]) is None


def test_what_an_older_record_says_stands_in(folder: Folder) -> None:
    """Records from before the counts have the difference itself, taken of the predictions."""
    file = folder.put("wasb", 0, 0.3)
    of_base = {"seed": 0, "run": json.loads(file.read_text())["run"], "f1": 0.3}
    kept = {**of_base, "estimate": 0.031, "interval": [-0.004, 0.06]}
    folder.put("ours", 0, 0.4, differences={"wasb": kept})
    assert line(folder.table(), "ours").split(" | ")[3] == "+3.1 [-0.4, +6.0]"
    # It is of another training of the reference now.
    folder.put("wasb", 0, 0.31)
    assert line(folder.table(), "ours").split(" | ")[3] == ""


def test_speeds_have_a_table_of_their_own(folder: Folder) -> None:
    fast = [
        (f"{low}-{high} px/frame", balls, f1) for low, high, balls, f1 in ((0, 5, 30, 0.5), (5, 10, 20, None))
    ]
    outcomes = dict.fromkeys(("tp", "tn", "fp1", "fp2", "fn"), 1)
    parts = [
        {"value": value, "frames": balls, "balls": balls, "f1": f1, **outcomes}
        for value, balls, f1 in [*fast, ("unknown", 5, 0.1)]
    ]
    folder.put("ours", 0, 0.4, breakdowns={"speed": parts})
    folder.put("wasb", 0, 0.3)
    after = folder.table().split("F1 under `wasb` by how far the ball moves")[1].splitlines()
    assert after[2] == "| row | seed | 0-5 px/frame (30) | 5-10 px/frame (20) |"
    assert after[4] == "| ours | 0 | 50.0 | - |"
    assert after[5] == "| wasb | 0 | - | - |"


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"frames": "3"}, "frames=3"),
        ({"value": None}, "value=None"),
        ({"value": "game1/Clip11"}, "value=game1/Clip11 for a second time"),
        ({"tp": 1.5}, "tp=1.5"),
        ({"fn": -1}, "fn=-1"),
        ({"f1": "high"}, "f1=high"),
        ({"f1": float("nan")}, "f1=nan"),
        ({"tp": 1000}, "frames=33 for "),
        ({"balls": 34}, "balls=34 in 33 frames"),
    ],
)
def test_damaged_counts_are_named(folder: Folder, wrong: dict[str, Any], named: str) -> None:
    kept = counted(guesses(0.5, seed=0))
    assert kept["breakdowns"]["clip"][2]["frames"] == 33
    kept["breakdowns"]["clip"][2] |= wrong
    folder.put("ours", 0, 0.4, **kept)
    assert f"ours-s0.json cannot be, with breakdowns.clip[2].{named}" in folder.table()


def test_counts_that_lack_something_are_named(folder: Folder) -> None:
    kept = counted(guesses(0.5, seed=0))
    del kept["breakdowns"]["speed"][0]["f1"]
    folder.put("ours", 0, 0.4, **kept)
    assert "ours-s0.json cannot be, with breakdowns.speed[0].f1=nothing" in folder.table()
    for parts, named in ((None, "breakdowns.speed=None"), ([3], "breakdowns.speed[0]=3")):
        folder.put("ours", 0, 0.4, breakdowns={"speed": parts})
        assert f"ours-s0.json cannot be, with {named}" in folder.table()
