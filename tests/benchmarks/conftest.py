"""An experiment whose results were never measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.ablation.experiment import Experiment, Row, read_experiment
from benchmarks.ablation.plan import requests
from benchmarks.ablation.record_file import PROTOCOLS
from benchmarks.ablation.records import asked_of
from benchmarks.ablation.results import Results
from benchmarks.ablation.table import table

EXPERIMENT = """
about: Some games.
training: cpu
steps: 400
overrides: ["data.resize=[512,288]"]
reference: [wasb, tracknet_v2]
rows:
  ours: {model: detail_small}
  long: {base: ours, steps: 6000}
  other_size: {base: ours, overrides: ["data.resize=[256,144]"]}
  wasb: {model: wasb}
  tracknet_v2: {model: tracknet_v2}
"""
WITH_BACKBONE = """
about: Some games.
training: cpu
steps: 400
overrides: ["data.resize=[252,140]", data.augment.enabled=false]
reference: [wasb]
rows:
  ours: {model: dinov2_small, overrides: ["model.heatmap.size=[144,80]"]}
  wasb: {model: wasb}
"""


class Folder:
    """An experiment, and results of it that were never measured."""

    def __init__(self, place: Path, text: str = EXPERIMENT) -> None:
        file = place / "some.yaml"
        file.write_text(text)
        self.experiment: Experiment
        self.rows: dict[str, Row]
        self.experiment, self.rows = read_experiment(str(file))
        self.results, self.work = place / "results", place / "work"
        self.results.mkdir()

    def put(self, row: str, seed: int, f1: float, *, steps: int | None = None, **more: Any) -> Path:
        """Writes a result; `options` of `more` are further overrides."""
        options = more.pop("options", ())
        (request,) = requests(
            self.experiment, self.rows, only=[row], seeds=[seed], steps=steps, overrides=options
        )
        figures = {"f1": f1, "ap": f1, "intervals": {"f1": None, "ap": None}}
        record: dict[str, Any] = {
            "row": row,
            "seed": seed,
            "asked": asked_of(request),
            "run": request.name,
            "protocols": dict.fromkeys(PROTOCOLS, figures),
            "false_alarms": {"rate": 0.1, "interval": None, "empty_frames": 20},
            "frames": 1240,
            "clips": 3,
            "caution": None,
            "optimistic_because": ["threshold"],
            "build_id": "11" * 32,
            "train_s": 60.0,
            "windows_a_step": request.windows_a_step,
            "parameters": 10,
            "gflops": 1.0,
            "frames_per_s": 5.0,
            "device": "cpu",
            "precision": "fp32",
            "environment": {"processor": "some", "packages": {"torch": "2"}},
        }
        file = self.results / f"{row}-s{seed}.json"
        file.write_text(json.dumps({**record, **more}))
        return file

    def read(self) -> Results:
        return Results.read(self.experiment, self.rows, self.results)

    def table(self) -> str:
        return table(self.experiment, self.rows, self.read())


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def line(text: str, start: str) -> str:
    """The one line of the main table that starts so."""
    main = text.split("\n\n")[1]
    (found,) = (one for one in main.splitlines() if one.startswith(f"| {start} |"))
    return found


def edited(folder: Folder, old: str, new: str) -> None:
    """The experiment, with another text in its file."""
    file = Path(folder.experiment.file)
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))
    folder.experiment, folder.rows = read_experiment(str(file))
