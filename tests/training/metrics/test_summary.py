"""The figures of a validation, against a table worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from tests.training.metrics.conftest import off_by, predictions_of
from tracknet.training.metrics import (
    PROTOCOLS,
    best_threshold,
    monitored,
    monitored_figure,
    summarise,
    threshold_protocol,
)
from tracknet.utils.config import from_plain
from tracknet.utils.settings import MetricsConfig

# Four balls found to within 1, 3, 5 and 40 px, and two frames without a ball.
SCORED = [(1.0, 0.9), (3.0, 0.2), (5.0, 0.8), (40.0, 0.7), (None, 0.6), (None, 0.1)]
HAND = predictions_of([off_by(error, score) for error, score in SCORED])
CONFIG = MetricsConfig(pck_px=(2, 10), distance_px=5, monitor="pck")


def test_every_figure_by_hand():
    figures = summarise(HAND, CONFIG, threshold=0.5)
    assert figures["frames"] == 6
    assert figures["frames_with_ball"] == 4
    assert figures["l2_mean_px"] == pytest.approx(12.25)
    assert figures["l2_median_px"] == pytest.approx(4.0)
    assert figures["l2_p90_px"] == pytest.approx(29.5)
    assert [figures[f"pck@{r}px"] for r in (2, 5, 10)] == [0.25, 0.75, 0.75]
    assert [figures[name] for name in ("tp", "tn", "fp1", "fp2", "fn")] == [2, 1, 1, 1, 1]
    assert figures["precision"] == pytest.approx(2 / 3)
    assert figures["recall"] == pytest.approx(2 / 4)
    assert figures["f1"] == pytest.approx(2 * (2 / 3) * 0.5 / (2 / 3 + 0.5))
    # With the false alarm: precision 2/4, recall 2/4.
    assert figures["f1_all_frames"] == pytest.approx(0.5)
    assert figures["false_alarm_rate"] == pytest.approx(0.5)


def test_the_monitored_figure():
    figures = summarise(HAND, CONFIG, threshold=0.5)
    assert monitored(figures, CONFIG) == 0.75
    assert monitored(figures, MetricsConfig(monitor="l2")) == pytest.approx(-12.25)
    assert monitored(figures, MetricsConfig(monitor="f1")) == pytest.approx(0.5)


def test_the_monitored_f1_is_of_the_protocol_that_chooses_the_threshold():
    # Two occluded balls that wasb takes for empty frames; of the others one is 4.5 px off, too far for it.
    frames = [off_by(1, 0.9), off_by(0, 0.8), *[replace(off_by(0, 0.7), visibility=3)] * 2, off_by(4.5, 0.6)]
    predictions = predictions_of(frames)
    wasb = MetricsConfig(monitor="f1", threshold_protocol="wasb")
    chosen = [best_threshold(predictions, threshold_protocol(c)) for c in (MetricsConfig(), wasb)]
    assert chosen == [0.6, 0.8]
    figures = summarise(predictions, wasb, threshold=0.6)
    # Two are found, and there are three detections that are wrong: precision 2/5, recall 2/2.
    assert monitored(figures, wasb) == figures[monitored_figure(wasb)] == pytest.approx(4 / 7)
    assert monitored_figure(wasb) == "f1_wasb"
    assert figures["f1_all_frames"] == 1.0
    assert "f1_design" not in summarise(predictions, CONFIG, threshold=0.6)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_protocol_can_choose_the_threshold(name: str):
    config = from_plain(MetricsConfig, {"threshold_protocol": name, "distance_px": 7}, where="a test")
    protocol = threshold_protocol(config)
    assert (protocol.name, protocol == PROTOCOLS[name]) == (name, name != "design")
    assert protocol.distance_px == (7 if name == "design" else PROTOCOLS[name].distance_px)


def test_no_ball_anywhere_is_nan_not_an_error():
    figures = summarise(predictions_of([off_by(None)]), CONFIG, threshold=0.5)
    assert math.isnan(figures["l2_mean_px"])
    assert math.isnan(figures["pck@5px"])
    assert math.isnan(figures["f1"])
