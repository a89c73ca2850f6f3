"""The whole report of some predictions, and one on the real labels of the tennis data set."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.training.metrics.conftest import Frame, off_by, predictions_of
from tracknet.datasets.label_csv import parse_clip
from tracknet.datasets.label_faults import settle
from tracknet.datasets.table import FrameTable
from tracknet.training.metrics import PROTOCOLS, PredictionOrigin, Predictions, chosen_protocols, score
from tracknet.training.metrics.report import Scored, evaluation_report
from tracknet.utils.files import finite_or_none
from tracknet.utils.geometry import Size

FRAMES = [off_by(error, 0.9, clip=("g", f"c{clip}")) for clip in range(3) for error in (0.5, 1.5, 30.0, None)]

BEST_ON_G = {"chosen_as_best_on": {"build_ids": ["b1"], "split": "val", "games": ["g"]}}


def test_everything_is_there_and_json_can_hold_it():
    result = score(predictions_of(FRAMES), chosen_protocols(None), threshold=0.5, resamples=50)
    assert list(result["protocols"]) == list(PROTOCOLS)
    wasb = result["protocols"]["wasb"]
    assert (wasb["tp"], wasb["fp1"], wasb["fp2"]) == (6, 3, 3)
    assert wasb["f1"] == pytest.approx(2 * 6 / (12 + 6))
    # All clips alike: no spread.
    assert wasb["intervals"]["f1"] == pytest.approx([wasb["f1"]] * 2)
    assert (wasb["space"], wasb["distance"]) == ("1280x720", "d < 4 px at 1280x720")
    assert result["pck_curve"]["share"][:2] == pytest.approx([1 / 3, 2 / 3])
    assert result["pck_curve"]["intervals"][0] == pytest.approx([1 / 3, 1 / 3])
    assert result["false_alarms"] == {
        "empty_frames": 3,
        "false_alarms": 3,
        "rate": 1.0,
        "interval": [1.0, 1.0],
        # The last frame of each clip: nobody saw the ball come back.
        "brief_frames": 2,
        "brief": {"empty_frames": 0, "false_alarms": 0, "rate": pytest.approx(math.nan, nan_ok=True)},
        "other": {"empty_frames": 3, "false_alarms": 3, "rate": 1.0},
    }
    assert (result["frames"], result["balls"], result["clips"]) == (12, 9, 3)
    assert result["error"]["median"] == 1.5
    assert result["breakdowns"]["clip"][0]["value"] == "g/c0"
    assert len(result["pr_curves"]["wasb"]["recall"]) == 1
    unsure = [*FRAMES, off_by(0.0, 0.2, clip=("g", "c3"))]
    both = score(predictions_of(unsure), chosen_protocols(["wasb"]), threshold=0.5, resamples=5)
    # AP knows detections only; the curve goes on to what a lower threshold would find.
    assert both["pr_curves"]["wasb"]["score"] == [0.9, 0.2]
    assert both["protocols"]["wasb"]["ap_of_single_point"]
    assert wasb["ap_of_single_point"]
    assert wasb["ap"] == pytest.approx(6 / 12)
    json.dumps(finite_or_none(result), allow_nan=False)


def test_pck_counts_balls_without_a_guess_as_missed():
    frames = [off_by(0.0, clip=("g", "a")), off_by(float("nan"), clip=("g", "b"))]
    result = score(predictions_of(frames), chosen_protocols(["wasb"]), threshold=0.5, resamples=100)
    assert result["pck_curve"]["share"][0] == 0.5
    assert result["pck_curve"]["intervals"][0] == [0.0, 1.0]
    assert result["error"]["without_guess"] == 1


@pytest.mark.parametrize("frames", [[], [off_by(None)], [off_by(float("nan"))], [Frame(None, None)]])
def test_next_to_nothing(frames: list[Frame]):
    result = score(predictions_of(frames), chosen_protocols(None), threshold=0.5, resamples=5)
    assert result["frames"] == len(frames)
    assert result["protocols"]["design"]["intervals"]["f1"] is None
    json.dumps(finite_or_none(result), allow_nan=False)


def test_report_tells_what_was_scored_and_what_flatters_it():
    origin = PredictionOrigin(
        "m", "b1", "val", 0.5, decode="dark", provenance={"chosen_as_best_on": ["b1", "val"]}
    )
    scored = Scored(predictions_of(FRAMES), origin, Path("shards"), "b1", "val", ("a note",))
    report = evaluation_report(scored, chosen_protocols(["tracknet", "design"]), resamples=5)
    assert report["optimistic"] is True
    assert report["optimistic_because"] == ["checkpoint"]
    assert report["notes"][0] == "a note"
    assert "checkpoint was chosen as the best on this very split" in report["notes"][1]
    # Built again with corrected labels, or its games dealt to another split: said, and not as "this very split".
    again = Scored(scored.predictions, replace(origin, provenance=BEST_ON_G), Path("shards"), "b2", "test")
    report = evaluation_report(again, chosen_protocols(["tracknet", "design"]), resamples=5)
    assert report["optimistic_because"] == ["checkpoint"]
    assert "chosen as the best on games of these names, in another build or split" in report["notes"][0]
    assert (report["games"], report["frame_sizes"], report["main_protocol"]) == (
        ["g"],
        ["1280x720"],
        "design",
    )


def test_on_the_labels_of_the_tennis_data_set(shared_data: Path):
    """19,645 real labels; guesses off by a known gaussian: PCK and detection must be what it says."""
    files = sorted((shared_data / "data" / "tracknet_labels").glob("game*/Clip*/Label.csv"))
    clips, _ = settle([parse_clip(path, Size(1280, 720), None) for path in files], "clip")
    table = FrameTable.from_clips(clips)
    assert len(table) == 19_645
    rng = np.random.default_rng(0)
    sigma_px = 2.0
    guess = np.nan_to_num(table.xy_px, nan=5.0) + rng.normal(0, sigma_px, (len(table), 2))
    predictions = Predictions(table, guess, rng.uniform(0, 1, len(table)), rng.uniform(0, 9, len(table)))
    result = score(predictions, chosen_protocols(None), threshold=0.5, resamples=20)
    # A ring of a two-dimensional gaussian: P(d < r) = 1 - exp(-r^2 / (2 sigma^2)).
    for radius in (1, 2, 4, 8):
        expected = 1 - math.exp(-(radius**2) / (2 * sigma_px**2))
        assert result["pck_curve"]["share"][radius - 1] == pytest.approx(expected, abs=0.01)
    wasb = result["protocols"]["wasb"]
    assert wasb["precision"] == pytest.approx((1 - math.exp(-2)) * (17_462 + 1_386) / 19_645, abs=0.01)
    assert wasb["rmse_px"] == pytest.approx(sigma_px * math.sqrt(2), rel=0.02)
    # Scores are noise: AP is precision times the recall of the operating point.
    assert wasb["ap"] == pytest.approx(wasb["precision"] * wasb["recall"], rel=0.03)
    balls = {row["value"]: row["balls"] for row in result["breakdowns"]["visibility"]}
    assert balls == {"absent": 0, "clear": 17_462, "hard": 1_386, "occluded": 0}
    assert result["false_alarms"]["empty_frames"] == 719
    assert sum(row["frames"] for row in result["breakdowns"]["speed"]) == 19_645 - 719
    assert len(result["breakdowns"]["clip"]) == 95
    low, high = wasb["intervals"]["f1"]
    assert low < wasb["f1"] < high
    assert high - low < 0.05
