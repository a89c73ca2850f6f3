"""Every protocol against tables worked out by hand, and against a program written from its source."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.metrics.conftest import Frame, any_frames, off_by, predictions_of
from tracknet.training.metrics import PROTOCOLS, chosen_protocols
from tracknet.training.metrics.bootstrap import Tally, whole
from tracknet.training.metrics.counts import EXCLUDED, count, count_by, outcomes
from tracknet.utils.errors import UserError
from tracknet.utils.outcome import OUTCOMES


def counted(frames: list[Frame], name: str, threshold: float = 0.5) -> dict[str, int]:
    counts = count(outcomes(predictions_of(frames), PROTOCOLS[name], threshold))
    return dict(zip(OUTCOMES, counts.tolist(), strict=True))


# Errors in frame pixels at 1280x720; the score of the seventh is below the threshold, the last has no guess.
TABLE = [
    off_by(3.0),
    off_by(4.0),
    off_by(5.0),
    off_by(10.0),
    off_by(10.5),
    off_by(2.0, visibility=3),
    off_by(0.0, 0.4),
    off_by(None, 0.8),
    off_by(None, 0.2),
    off_by(float("nan")),
]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # design: <= 5; the two frames without a ball are left out.
        ("design", {"tp": 4, "tn": 0, "fp1": 2, "fp2": 0, "fn": 2}),
        # wasb: < 4, and visibility 3 is a frame without a ball, where something was found.
        ("wasb", {"tp": 1, "tn": 1, "fp1": 4, "fp2": 2, "fn": 2}),
        # tracknetv2: 4 px at 512x288 are 10 px here.
        ("tracknetv2", {"tp": 5, "tn": 1, "fp1": 1, "fp2": 1, "fn": 2}),
        ("tracknet", {"tp": 4, "tn": 1, "fp1": 2, "fp2": 1, "fn": 2}),
        ("racketvision", {"tp": 5, "tn": 1, "fp1": 1, "fp2": 1, "fn": 2}),
    ],
)
def test_outcomes_by_hand(name: str, expected: dict[str, int]):
    assert counted(TABLE, name) == expected


@pytest.mark.parametrize(
    ("name", "precision", "recall", "f1", "accuracy"),
    [
        ("design", 4 / 6, 4 / 8, 8 / 14, 4 / 8),
        ("wasb", 1 / 7, 1 / 3, 2 / 10, 2 / 10),
        ("tracknetv2", 5 / 7, 5 / 7, 10 / 14, 6 / 10),
        ("tracknet", 4 / 7, 4 / 6, 8 / 13, 5 / 10),
        ("racketvision", 5 / 7, 5 / 8, 10 / 15, 6 / 10),
    ],
)
def test_ratios_by_hand(name: str, precision: float, recall: float, f1: float, accuracy: float):
    figures = whole(Tally.of(predictions_of(TABLE), PROTOCOLS[name], 0.5))
    found = [figures[key] for key in ("precision", "recall", "f1", "accuracy")]
    assert found == pytest.approx([precision, recall, f1, accuracy])


def test_rmse_is_over_balls_with_a_detection_in_the_protocols_pixels():
    frames = [off_by(3.0), off_by(4.0), off_by(9.0, 0.1), off_by(None), off_by(float("nan"))]
    rmse = {n: whole(Tally.of(predictions_of(frames), PROTOCOLS[n], 0.5))["rmse_px"] for n in PROTOCOLS}
    assert rmse["wasb"] == pytest.approx(math.sqrt((9 + 16) / 2))
    assert rmse["tracknetv2"] == pytest.approx(0.4 * math.sqrt((9 + 16) / 2))


@pytest.mark.parametrize(("size", "right", "down"), [((640, 360), 2.0, 2.0), ((1280, 1440), 4.0, 8.0)])
def test_distances_scale_with_each_axis_of_the_frame(size: tuple[int, int], right: float, down: float):
    """4 px at 1280x720 are `right` across and `down` px down in a frame of this size: at it is too far."""

    def outcome(dx: float, dy: float) -> dict[str, int]:
        return counted([Frame((50.0, 60.0), (50.0 + dx, 60.0 + dy), size=size)], "wasb")

    assert outcome(right, 0)["fp1"] == outcome(0, down)["fp1"] == 1
    assert outcome(right - 0.01, 0)["tp"] == outcome(0, down - 0.01)["tp"] == 1


def test_exactly_at_the_distance_in_decimals():
    """From (100.3, 50.4) to (101.7, 55.2) are 5 px, and 5.000000000000005 in binary."""
    assert np.hypot(101.7 - 100.3, 55.2 - 50.4) > 5
    assert counted([Frame((100.3, 50.4), (101.7, 55.2))], "design")["tp"] == 1


def test_nothing_detected_and_nothing_there():
    figures = whole(Tally.of(predictions_of([off_by(None, 0.1)]), PROTOCOLS["wasb"], 0.5))
    assert math.isnan(figures["precision"])
    assert math.isnan(figures["recall"])
    assert math.isnan(figures["f1"])
    assert math.isnan(figures["ap"])
    assert figures["accuracy"] == 1
    missed = whole(Tally.of(predictions_of([off_by(0.0, 0.1)]), PROTOCOLS["wasb"], 0.5))
    assert math.isnan(missed["precision"])
    assert [missed[name] for name in ("recall", "f1", "ap", "accuracy")] == [0, 0, 0, 0]


# ------------------------------------------------------------ written again, from the sources


def told_by_the_source(frames: list[Frame], name: str, threshold: float) -> dict[str, float]:
    """Loops over frames with each protocol's rules written out; shares nothing with the module."""
    tp = tn = fp1 = fp2 = fn = 0
    squares: list[float] = []
    ranked: list[tuple[float, bool]] = []
    for frame in frames:
        visible = {"wasb": frame.code in (1, 2)}.get(name, frame.code != 0)
        if name == "design" and frame.code == 0:
            continue
        detected = frame.guess is not None and frame.score >= threshold
        hit = False
        if detected and visible:
            assert frame.guess is not None
            assert frame.truth is not None
            dx, dy = (g - t for g, t in zip(frame.guess, frame.truth, strict=True))
            if name in ("wasb", "tracknet"):
                dx, dy = dx * 1280 / frame.size[0], dy * 720 / frame.size[1]
            elif name in ("tracknetv2", "racketvision"):
                dx, dy = dx * 512 / frame.size[0], dy * 288 / frame.size[1]
            distance = round(math.sqrt(dx * dx + dy * dy), 6)
            hit = distance < 4 if name == "wasb" else distance <= (5 if name in ("design", "tracknet") else 4)
            squares.append(distance**2)
            tp, fp1 = tp + hit, fp1 + (not hit)
        elif visible:
            fn += 1
        elif detected:
            fp2 += 1
        else:
            tn += 1
        if detected:
            blob = frame.score if frame.blob is None else frame.blob
            ranked.append((blob if name == "wasb" else frame.score, hit))
    balls = tp + fn + (fp1 if name in ("design", "racketvision") else 0)
    best_at: dict[float, float] = {}
    steps: list[tuple[float, float]] = []
    for score in sorted({score for score, _ in ranked}, reverse=True):
        down_to_here = [hit for s, hit in ranked if s >= score]
        if balls:
            recall, precision = sum(down_to_here) / balls, sum(down_to_here) / len(down_to_here)
            best_at[recall] = max(best_at.get(recall, 0.0), precision)
            steps.append((recall, precision))
    ap = monotone = previous = 0.0
    for recall, precision in sorted(best_at.items()):
        ap += (recall - previous) * precision
        monotone += (recall - previous) * max(p for r, p in steps if r >= recall)
        previous = recall
    nan = float("nan")
    precision = tp / (tp + fp1 + fp2) if tp + fp1 + fp2 else nan
    recall = tp / balls if balls else nan
    return {
        "tp": tp,
        "tn": tn,
        "fp1": fp1,
        "fp2": fp2,
        "fn": fn,
        "precision": precision,
        "recall": recall,
        "accuracy": (tp + tn) / (tp + tn + fp1 + fp2 + fn) if tp + tn + fp1 + fp2 + fn else nan,
        "ap": ap if balls else nan,
        "ap_monotone": monotone if balls else nan,
        "rmse_px": math.sqrt(sum(squares) / len(squares)) if squares else nan,
        "false_alarm_rate": fp2 / (fp2 + tn) if fp2 + tn else nan,
    }


@pytest.mark.parametrize("name", list(PROTOCOLS))
@settings(max_examples=150, deadline=None)
@given(frames=any_frames(), threshold=st.sampled_from([0.0, 0.05, 0.3, 0.5, 0.95, 1.0]))
def test_agrees_with_a_program_written_from_the_source(name: str, frames: list[Frame], threshold: float):
    predictions = predictions_of(frames)
    tally = Tally.of(predictions, PROTOCOLS[name], threshold)
    ours = {**dict(zip(OUTCOMES, tally.counts.sum(axis=0).tolist(), strict=True)), **whole(tally)}
    expected = told_by_the_source(frames, name, threshold)
    for figure, value in expected.items():
        assert ours[figure] == pytest.approx(value, nan_ok=True, abs=1e-6), figure
    p, r = expected["precision"], expected["recall"]
    if p + r > 0:
        assert ours["f1"] == pytest.approx(2 * p * r / (p + r))


@settings(max_examples=60, deadline=None)
@given(frames=any_frames(), name=st.sampled_from(sorted(PROTOCOLS)))
def test_counts_of_parts_add_up_and_every_frame_is_counted_once(frames: list[Frame], name: str):
    predictions = predictions_of(frames)
    codes = outcomes(predictions, PROTOCOLS[name], 0.5)
    parts = count_by(codes, predictions.frames.clip_id, len(predictions.frames.clips))
    assert parts.sum(axis=0).tolist() == count(codes).tolist()
    left_out = sum(frame.code == 0 for frame in frames) if name == "design" else 0
    assert (codes == EXCLUDED).sum() == left_out
    assert count(codes).sum() == len(frames) - left_out


def test_frames_in_no_group_are_not_counted():
    codes = np.array([0, 0, 4, EXCLUDED], np.int8)
    assert count_by(codes, np.array([1, -1, 0, 1]), 2).tolist() == [[0, 0, 0, 0, 1], [1, 0, 0, 0, 0]]


def test_choosing_protocols():
    assert [p.name for p in chosen_protocols(None)] == list(PROTOCOLS)
    assert [p.name for p in chosen_protocols(["tracknet", "wasb"])] == ["wasb", "tracknet"]
    (design,) = chosen_protocols(["design"], design_distance_px=8)
    assert design.distance_text == "d <= 8 px in frame pixels"
    with pytest.raises(UserError, match=r"did you mean wasb") as error:
        chosen_protocols(["wasp", "coco"])
    assert "'coco'" in str(error.value)


def test_every_protocol_says_its_source_and_its_distance():
    assert all(len(protocol.source) > 20 for protocol in PROTOCOLS.values())
    assert PROTOCOLS["wasb"].distance_text == "d < 4 px at 1280x720"
    assert PROTOCOLS["wasb"].balls_text == "visibility 1, 2"
    assert PROTOCOLS["design"].balls_text == "visibility 1, 2, 3; frames of 0 left out"
