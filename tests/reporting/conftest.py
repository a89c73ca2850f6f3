"""Predictions of known errors on rendered rallies' sizes, and a headless browser where one is installed."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.reporting.webdriver import Browser, driver_program, started
from tracknet.reporting.report import write_report

Columns = dict[str, np.ndarray]


def make_predictions(clips: int = 3, frames: int = 40, *, seed: int = 0, games: int = 2) -> Columns:
    """Balls on arcs, found within a pixel or two but for known failures; every ninth frame has no ball.

    In every clip frames 10..14 are missed, frame 20 is 60 px off, and the empty frame 27 has a false alarm.
    `outcome` is in the codes of `Outcome`: 0 tp, 1 tn, 2 fp1, 3 fp2, 4 fn.
    """
    rng = np.random.default_rng(seed)
    count = clips * frames
    frame = np.tile(np.arange(frames), clips)
    clip_number = np.repeat(np.arange(clips), frames)
    x, y = 200 + frame * 17.0 % 900, 360 + 200 * np.sin(frame / 7 + clip_number)
    empty = frame % 9 == 0
    xy = np.stack([x, y], axis=1) + rng.normal(0, 0.8, (count, 2))
    score = rng.uniform(0.6, 1.0, count)
    score[empty] = rng.uniform(0.0, 0.3, count)[empty]
    score[(frame >= 10) & (frame < 15)] = 0.1
    xy[frame == 20] += [60.0, 0.0]
    score[frame == 27] = 0.9
    detected = score >= 0.5
    outcome = np.where(detected, np.where(empty, 3, np.where(frame == 20, 2, 0)), np.where(empty, 1, 4))
    game = np.array([f"game{1 + number % games}" for number in clip_number], object)
    clip = np.array([f"Clip{number}" for number in clip_number], object)
    status = np.where(frame % 13 == 0, 2, 0).astype(object)
    status[empty] = None
    return {
        "key": np.array([f"{g}_{c}_{f:04d}" for g, c, f in zip(game, clip, frame, strict=True)], object),
        "split": np.full(count, "val", object),
        "game": game,
        "clip": clip,
        "frame": frame,
        "x_px": xy[:, 0],
        "y_px": xy[:, 1],
        "score": score,
        "blob_score": score * 9,
        "true_x_px": np.where(empty, np.nan, x),
        "true_y_px": np.where(empty, np.nan, y),
        "visibility": np.where(empty, 0, 1),
        "status": status,
        "width": np.full(count, 1280),
        "height": np.full(count, 720),
        "outcome": outcome,
    }


def check_policy(page: str) -> None:
    """Nothing but the page's one script and one style may run, and nothing comes from elsewhere."""
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)
    assert policy
    for tag in ("script", "style"):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src &#x27;sha256-{digest}&#x27;;" in policy[1]
    assert "default-src &#x27;none&#x27;" in policy[1] and "unsafe" not in policy[1]
    markup = re.sub(r"<(script|style)\b.*?</\1>", "", page, flags=re.DOTALL)
    assert not re.search(r"\b(https?:)?//\w", markup)
    assert not re.search(r"<\w+[^>]*\s(style|on\w+)=", markup)


@pytest.fixture
def predictions() -> Columns:
    """Three clips of 40 frames, of two games."""
    return make_predictions()


@pytest.fixture
def metrics() -> dict[str, Any]:
    """A metrics.json with every part that the page shows."""
    figures = {
        "precision": 0.91,
        "recall": 0.805,
        "f1": 0.8543,
        "accuracy": 0.79,
        "ap": 0.77,
        "rmse_px": 1.234,
    }
    counts = {"tp": 87, "tn": 12, "fp1": 3, "fp2": 3, "fn": 15}
    protocol = {**figures, **counts, "threshold": 0.5, "intervals": {"f1": [0.8012, 0.9034]}}
    return {
        "model": "runs/quickstart/checkpoints/best/model",
        "shards": "shards",
        "build_id": "9c7dd9b8",
        "split": "val",
        "games": ["game1", "game2"],
        "frame_sizes": ["1280x720"],
        "threshold": 0.5,
        "threshold_chosen_on": ["9c7dd9b8", "val"],
        "optimistic": True,
        "decode": "dark",
        "overlap": "mean",
        "main_protocol": "wasb",
        "protocols": {
            "wasb": protocol | {"title": "WASB", "source": "a paper", "distance": "d < 4 px at 1280x720"},
            "tracknetv2": protocol | {"title": "TrackNetV2", "source": "another", "ap": float("nan")},
        },
        "pck_curve": {"radii_px": list(range(1, 21)), "share": np.linspace(0.3, 0.95, 20).tolist()},
        "error": {
            "mean": 3.0,
            "median": 1.25,
            "p90": 4.5,
            "p99": 60.0,
            "histogram": {"edges_px": [0, 1, 2, 5, None], "counts": [40, 30, 20, 3]},
        },
        "false_alarms": {"empty_frames": 15, "false_alarms": 3, "rate": 0.2},
        "breakdowns": {
            "game": [
                {
                    "value": "game1",
                    "frames": 80,
                    "balls": 70,
                    "recall": 0.85,
                    "f1": 0.9,
                    "false_alarm_rate": None,
                },
                {
                    "value": "game2",
                    "frames": 40,
                    "balls": 35,
                    "recall": 0.6,
                    "f1": 0.7,
                    "false_alarm_rate": 0.1,
                },
                {
                    "value": "game10",
                    "frames": 9,
                    "balls": 0,
                    "recall": None,
                    "f1": None,
                    "false_alarm_rate": 0.1,
                },
            ]
        },
        "pr_curves": {
            name: {"recall": [0.1, 0.5, 0.9], "precision": [1.0, 0.9, 0.6], "score": [0.9, 0.5, 0.1]}
            for name in ("wasb", "tracknetv2")
        },
        "decoders": {"dark": {"l2_median_px": 1.25}, "argmax": {"l2_median_px": 3.5}},
        "environment": {"torch": "2.13.0", "device": "cpu"},
    }


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A headless Chromium; the test is skipped where none is installed."""
    driver = driver_program()
    if driver is None:
        pytest.skip("no Chromium: install chromium and its chromedriver to test the report in a browser")
    with started(driver, tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


@pytest.fixture
def render_page(tmp_path: Path) -> Callable[..., Path]:
    """`render_page(metrics, predictions, pictures=(), comparison=None) -> path` of the written report."""

    def render(
        metrics: dict[str, Any],
        predictions: Columns,
        pictures: Any = (),
        comparison: dict[str, Any] | None = None,
    ) -> Path:
        path = tmp_path / "report.html"
        write_report(path, metrics, predictions, pictures, comparison)
        return path

    return render
