"""Predictions of known errors on rendered rallies' sizes, and a headless browser where one is installed."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Columns = dict[str, np.ndarray]

# An element's key in WebDriver's JSON, fixed by the standard.
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
KEYS = {
    "Left": "\ue012",
    "Right": "\ue014",
    "Escape": "\ue00c",
    "Enter": "\ue007",
    "Tab": "\ue004",
    "End": "\ue010",
}


def make_predictions(clips: int = 3, frames: int = 40, *, seed: int = 0, games: int = 2) -> Columns:
    """Balls on arcs, found within a pixel or two but for known failures; every ninth frame has no ball.

    In every clip frames 10..14 are missed, frame 20 is 60 px off, and the empty frame 27 has a false alarm.
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
    }


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


class Browser:
    """A headless Chromium driven by WebDriver's HTTP protocol: a page, its elements, its keyboard and its log."""

    def __init__(self, address: str, arguments: list[str]) -> None:
        self._session = address + "/session"
        wanted = {
            "goog:chromeOptions": {"args": arguments},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }
        made = self._call("POST", "", {"capabilities": {"alwaysMatch": wanted}})
        self._session += f"/{made['sessionId']}"

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self._session + path, data, {"Content-Type": "application/json"}, method=method
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]

    def open(self, path: Path) -> None:
        """Opens a file from disk."""
        self._call("POST", "/url", {"url": path.as_uri()})

    def run(self, script: str, *arguments: Any) -> Any:
        """What a script's `return` gives."""
        return self._call("POST", "/execute/sync", {"script": script, "args": arguments})

    def find(self, css: str) -> dict[str, str]:
        """The first element of a selector, to hand to `run` or `click`."""
        return self._call("POST", "/element", {"using": "css selector", "value": css})

    def click(self, css: str) -> None:
        """Clicks an element as a person would: it must be visible and not covered."""
        self._call("POST", f"/element/{self.find(css)[_ELEMENT]}/click", {})

    def type(self, css: str, text: str) -> None:
        """Types into an element."""
        self._call("POST", f"/element/{self.find(css)[_ELEMENT]}/value", {"text": text})

    def press(self, *names: str) -> None:
        """Presses keys by name or character, wherever the focus is."""
        keys = [KEYS.get(name, name) for name in names]
        presses = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self._call("POST", "/actions", {"actions": [{"type": "key", "id": "keys", "actions": presses}]})

    def select(self, css: str, value: str) -> None:
        """Chooses an option, as choosing it in the list does."""
        script = "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('change', {bubbles: true}))"
        self.run(script, self.find(css), value)

    def text(self, css: str) -> str:
        """An element's visible text."""
        return str(self.run("return arguments[0].innerText", self.find(css)))

    def texts(self, css: str) -> list[str]:
        """The visible texts of all elements of a selector."""
        return list(
            self.run("return [...document.querySelectorAll(arguments[0])].map(e => e.innerText)", css)
        )

    def log(self, kind: str) -> list[dict[str, Any]]:
        """What the console (`browser`) or the network (`performance`) reported since the last call."""
        return list(self._call("POST", "/se/log", {"type": kind}))

    def emulate(self, *, width: int, height: int, dark: bool, scale: float = 1.0) -> None:
        """The size of the window and the system's choice of colours."""
        self.devtools(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.devtools("Emulation.setEmulatedMedia", features=[scheme])

    def devtools(self, command: str, **parameters: Any) -> Any:
        """A command of Chromium's own protocol."""
        return self._call("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def picture(self, *, whole: bool = False) -> bytes:
        """A PNG of the window, or of the whole page."""
        shot = self.devtools("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        return base64.b64decode(shot["data"])

    def quit(self) -> None:
        """Ends the session."""
        self._call("DELETE", "")


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A headless Chromium; the test is skipped where none is installed."""
    programs = [shutil.which(name) for name in ("chromedriver", "chromium")]
    driver, chromium = programs[0], programs[1] or shutil.which("google-chrome")
    if driver is None or chromium is None:
        pytest.skip("no Chromium: install chromium and its chromedriver to test the report in a browser")
    folder = tmp_path_factory.mktemp("chromium")
    with (folder / "driver.log").open("w+") as log:
        process = subprocess.Popen([driver, "--port=0"], stdout=log, stderr=subprocess.STDOUT)
        try:
            port = _port(folder / "driver.log", process)
            quiet = [
                "no-sandbox",
                "disable-gpu",
                "disable-quic",
                "no-first-run",
                "disable-background-networking",
            ]
            quiet += ["headless", "disable-component-update", "disable-sync", "disable-dev-shm-usage"]
            arguments = [
                f"--{flag}"
                for flag in (*quiet, f"user-data-dir={folder / 'profile'}", "window-size=1280,900")
            ]
            driven = Browser(f"http://127.0.0.1:{port}", arguments)
            yield driven
            driven.quit()
        finally:
            process.terminate()
            process.wait(10)


def _port(log: Path, process: subprocess.Popen[bytes]) -> int:
    """The free port that the driver says it listens on."""
    for _ in range(300):
        for line in log.read_text().splitlines():
            if "started successfully on port" in line:
                return int(line.rstrip(".").rpartition(" ")[2])
        if process.poll() is not None:
            break
        time.sleep(0.1)
    raise RuntimeError(f"chromedriver did not start:\n{log.read_text()}")


@pytest.fixture
def render_page(tmp_path: Path) -> Callable[..., Path]:
    """`render_page(metrics, predictions, pictures=(), comparison=None) -> path` of the written report."""
    from tracknet.reporting.report import write_report

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
