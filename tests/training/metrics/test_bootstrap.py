"""Resampling clips: weights, intervals, and that a weight is a clip so many times."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.metrics.conftest import Frame, any_frames, off_by, predictions_of
from tracknet.training.metrics import PROTOCOLS
from tracknet.training.metrics.bootstrap import Tally, caution, clip_weights, interval, intervals, whole


def test_every_resample_draws_as_many_clips_as_there_are():
    weights = clip_weights(7, 500)
    assert weights.shape == (500, 7)
    assert (weights.sum(axis=1) == 7).all()
    # Each clip once on average, with the variance of a binomial: 7 * 1/7 * 6/7.
    assert weights.mean() == pytest.approx(1)
    assert weights.var() == pytest.approx(6 / 7, rel=0.1)
    assert np.array_equal(weights, clip_weights(7, 500))
    assert not np.array_equal(weights, clip_weights(7, 500, seed=1))


@settings(max_examples=60, deadline=None)
@given(frames=any_frames(), name=st.sampled_from(sorted(PROTOCOLS)), data=st.data())
def test_a_weight_is_the_clip_so_many_times(frames: list[Frame], name: str, data: st.DataObject):
    predictions = predictions_of(frames)
    clips = predictions.frames.clips
    weight = [data.draw(st.integers(0, 3)) for _ in clips]
    repeated = [
        replace(frame, clip=("game1", f"{clip[1]}x{copy}"))
        for clip, times in zip(clips, weight, strict=True)
        for copy in range(times)
        for frame in frames
        if frame.clip == clip
    ]
    tally = Tally.of(predictions, PROTOCOLS[name], 0.5)
    figures = tally.figures(np.array([weight, [0] * len(clips)], np.int32))
    assert all(np.isnan(values[1]) for values in figures.values())
    if repeated:
        expected = whole(Tally.of(predictions_of(repeated), PROTOCOLS[name], 0.5))
        assert expected.pop("ap_monotone") >= expected["ap"] - 1e-9 or np.isnan(expected["ap"])
        for figure, value in expected.items():
            assert figures[figure][0] == pytest.approx(value, nan_ok=True, rel=1e-5), figure


def test_clips_of_one_kind_have_no_spread_and_of_two_kinds_have():
    alike = [off_by(error, clip=("g", f"c{clip}")) for clip in range(6) for error in (0.0, 9.0)]
    weights = clip_weights(6, 200)
    assert intervals(Tally.of(predictions_of(alike), PROTOCOLS["wasb"], 0.5), weights)["f1"] == [
        pytest.approx(2 / 3),
        pytest.approx(2 / 3),
    ]
    mixed = [off_by(0.0 if clip < 3 else 9.0, clip=("g", f"c{clip}")) for clip in range(6)]
    low, high = intervals(Tally.of(predictions_of(mixed), PROTOCOLS["tracknet"], 0.5), weights)["accuracy"]
    # Right clips among six draws of probability 1/2: 0.5 +- 2 * 0.2.
    assert low == pytest.approx(1 / 6, abs=0.17)
    assert high == pytest.approx(5 / 6, abs=0.17)


def test_one_clip_gives_no_interval_and_few_a_caution():
    tally = Tally.of(predictions_of([off_by(0.0), off_by(9.0)]), PROTOCOLS["wasb"], 0.5)
    assert set(intervals(tally, clip_weights(1, 100)).values()) == {None}
    assert "one clip only" in (caution(1) or "")
    assert "3 clips only" in (caution(3) or "")
    assert caution(10) is None


def test_interval_leaves_undefined_resamples_out_until_they_are_most():
    values = np.concatenate([np.arange(101.0), np.full(50, np.nan)])
    assert interval(values) == pytest.approx([2.5, 97.5])
    assert interval(np.concatenate([np.arange(101.0), np.full(150, np.nan)])) is None


def test_more_resamples_than_one_block():
    frames = [
        off_by(e, s, clip=("g", f"c{c}")) for c in range(5) for e, s in ((0, 0.9), (c * 2, 0.6 + c / 50))
    ]
    tally = Tally.of(predictions_of(frames), PROTOCOLS["wasb"], 0.5)
    weights = clip_weights(5, 150)
    together = tally.figures(weights)["ap"]
    apart = np.concatenate([tally.figures(weights[i : i + 1])["ap"] for i in range(150)])
    assert together == pytest.approx(apart, nan_ok=True)
