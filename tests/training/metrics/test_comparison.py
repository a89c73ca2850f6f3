"""Two predictions of the same frames."""

from __future__ import annotations

import numpy as np
import pytest

from tests.training.metrics.conftest import Frame, off_by, predictions_of
from tracknet.training.metrics import PROTOCOLS, Predictions, chosen_protocols
from tracknet.training.metrics.comparison import compare, verdict
from tracknet.utils.errors import UserError

TRUTH = (300.0, 200.0)


def right_in(share: float, *, seed: int, clips: int = 20, frames: int = 30) -> Predictions:
    """So many guesses are at the ball and the others far off."""
    rng = np.random.default_rng(seed)
    return predictions_of(
        [
            Frame(TRUTH, TRUTH if rng.uniform() < share else (700.0, 200.0), 0.9, clip=("g", f"c{clip}"))
            for clip in range(clips)
            for _ in range(frames)
        ]
    )


def compared(a: Predictions, b: Predictions, **options: object) -> dict:
    settings = {"names": ("a.parquet", "b.parquet"), "thresholds": (0.5, 0.5), "resamples": 300, **options}
    return compare(a, b, chosen_protocols(None), **settings)  # type: ignore[arg-type]


def test_a_clear_difference_and_its_sign():
    worse, better = right_in(0.6, seed=0), right_in(0.9, seed=1)
    result = compared(worse, better)
    f1 = result["protocols"]["racketvision"]["f1"]
    assert f1["difference"] == pytest.approx(f1["b"] - f1["a"])
    assert f1["difference"] == pytest.approx(0.3, abs=0.05)
    assert f1["interval"][0] < f1["difference"] < f1["interval"][1]
    assert f1["interval"][0] > 0.2
    assert result["verdict"].startswith("B better than A by ")
    assert compared(better, worse)["verdict"].startswith("B worse than A by ")
    assert set(result["protocols"]) == set(PROTOCOLS)


def test_resamples_are_paired():
    """Clips differ much, the two predictions by one frame in each clip: unpaired intervals would be wide."""
    a, b = [], []
    for clip in range(12):
        errors = [0.0 if number < 2 * clip else 9.0 for number in range(25)]
        a += [off_by(error, clip=("g", f"c{clip}")) for error in [*errors, 9.0]]
        b += [off_by(error, clip=("g", f"c{clip}")) for error in [*errors, 0.0]]
    accuracy = compared(predictions_of(a), predictions_of(b))["protocols"]["wasb"]["accuracy"]
    assert accuracy["difference"] == pytest.approx(1 / 26)
    assert accuracy["interval"] == pytest.approx([1 / 26, 1 / 26], abs=1e-6)


def test_a_file_with_itself_is_no_different():
    same = right_in(0.7, seed=2)
    result = compared(same, same)
    assert result["protocols"]["wasb"]["f1"]["interval"] == [0, 0]
    assert result["verdict"].startswith("no clear difference: B minus A is +0.0 [0.0, 0.0]")


def test_each_has_its_own_threshold():
    predictions = right_in(0.7, seed=2)
    result = compared(predictions, predictions, thresholds=(0.5, 0.95))
    assert result["protocols"]["wasb"]["recall"]["b"] == 0
    assert result["thresholds"] == {"a": 0.5, "b": 0.95}


@pytest.mark.parametrize(
    ("difference", "interval", "sentence"),
    [
        (0.013, [0.004, 0.022], "B better than A by 1.3 [0.4, 2.2] F1 points (WASB)"),
        (-0.013, [-0.022, -0.004], "B worse than A by 1.3 [0.4, 2.2] F1 points (WASB)"),
        (0.003, [-0.005, 0.011], "no clear difference: B minus A is +0.3 [-0.5, 1.1] F1 points (WASB)"),
        (0.05, None, "B minus A is +5.0 F1 points (WASB); no interval can be given"),
        (float("nan"), None, "F1 is undefined for one of the two (WASB)"),
    ],
)
def test_verdicts(difference: float, interval: list[float] | None, sentence: str):
    assert verdict({"difference": difference, "interval": interval}, PROTOCOLS["wasb"]) == sentence


def test_other_frames_and_other_labels_are_refused():
    a = predictions_of([off_by(0.0), off_by(1.0)])
    with pytest.raises(UserError, match=r"1 frames are only in a.parquet: game1_Clip1_0001"):
        compared(a, predictions_of([off_by(0.0)]))
    turned = Predictions(a.frames.take(np.array([1, 0])), a.xy_px, a.score, a.blob_score)
    with pytest.raises(UserError, match="in another order or more than once"):
        compared(a, turned)
    moved = predictions_of([off_by(0.0), Frame((101.0, 100.0), (101.0, 100.0))])
    with pytest.raises(UserError, match=r"1 frames have other labels, the first is game1_Clip1_0001"):
        compared(a, moved)


def test_one_clip():
    result = compared(predictions_of([off_by(9.0)]), predictions_of([off_by(0.0)]))
    assert result["protocols"]["wasb"]["accuracy"]["interval"] is None
    assert "one clip only" in result["caution"]
