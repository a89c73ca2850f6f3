"""How a row is trained, gone on with and scored."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.ablation import measure, records
from benchmarks.ablation.experiment import read_experiment
from benchmarks.ablation.plan import requests
from benchmarks.ablation.record_file import PROTOCOLS
from benchmarks.ablation.request import Request
from tests.benchmarks.toy_builds import BUILD_ID, GAMES, asked, built, trained
from tracknet.training.evaluation_folder import place_for
from tracknet.training.run_folder import RunFolder
from tracknet.utils.errors import RunError, UserError


def test_what_is_reported_was_just_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    request, now = asked(), "2222bbbb" * 8

    def report(build_id: str, f1: float) -> str:
        figures = dict.fromkeys(("f1", "precision", "recall", "accuracy", "ap"), f1)
        figures_of_all: dict[str, Any] = {**figures, "intervals": {"f1": None, "ap": None}}
        names = (
            "protocols",
            "decoders",
            "false_alarms",
            "frames",
            "clips",
            "optimistic_because",
            "threshold",
            "overlap",
        )
        return json.dumps(
            {
                **{name: {} for name in names},
                "protocols": dict.fromkeys(PROTOCOLS, figures_of_all),
                "breakdowns": {key: [] for key in measure.BREAKDOWNS},
                "bootstrap": {"caution": None},
                "build_id": build_id,
            }
        )

    usual = tmp_path / request.name / "evaluation" / "val"
    usual.mkdir(parents=True)
    (usual / "metrics.json").write_text(report("1111aaaa" * 8, 0.1))

    def call(module: str, arguments: Sequence[str], log: Path | None) -> None:
        if module == "tracknet.scripts.evaluate":
            # As the command chooses its folder.
            given = list(arguments)
            out = Path(given[given.index("--out") + 1]) if "--out" in given else place_for(usual, now)
            out.mkdir(exist_ok=True)
            (out / "metrics.json").write_text(report(now, 0.9))

    monkeypatch.setattr(measure, "call", call)
    monkeypatch.setattr(measure, "cost", lambda *_: {})
    trained(request, tmp_path)
    measured = measure.measure(request, tmp_path / "shards", tmp_path)
    assert (measured["build_id"], measured["protocols"]["wasb"]["f1"]) == (now, 0.9)


def calls_of(monkeypatch: pytest.MonkeyPatch, request: Request, work: Path) -> list[list[str]]:
    """What `measure` runs, with a training and an evaluation that do nothing but leave their files."""
    calls: list[list[str]] = []

    def call(module: str, arguments: Sequence[str], log: Path | None) -> None:
        given = list(arguments)
        calls.append([module, *given])
        if module == "tracknet.scripts.train":
            if not (work / request.name).exists():
                trained(request, work)
            return
        out = Path(given[given.index("--out") + 1])
        out.mkdir(parents=True, exist_ok=True)
        figures: dict[str, Any] = dict.fromkeys(("f1", "precision", "recall", "accuracy", "ap"), 0.5)
        report = dict.fromkeys(
            ("false_alarms", "frames", "clips", "optimistic_because", "threshold", "build_id")
        )
        protocols = {key: {**figures, "intervals": {"f1": None, "ap": None}} for key in PROTOCOLS}
        report |= {"protocols": protocols, "decoders": {}, "bootstrap": {"caution": None}, "overlap": "none"}
        report |= {"breakdowns": {key: [] for key in measure.BREAKDOWNS}}
        (out / "metrics.json").write_text(json.dumps(report))

    monkeypatch.setattr(measure, "call", call)
    monkeypatch.setattr(measure, "cost", lambda *_: {})
    return calls


def test_a_run_without_a_checkpoint_is_gone_on_with_where_it_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have been cut off, another process may train it, or the disk of its checkpoints may not be there."""
    request = asked()
    calls = calls_of(monkeypatch, request, tmp_path)
    run = trained(request, tmp_path)
    (run / "checkpoints" / "last").rmdir()
    (run / "checkpoints").rmdir()
    (run / "checkpoints").symlink_to(tmp_path / "no disk")
    measure.measure(request, tmp_path / "shards", tmp_path)
    assert calls[0][:3] == ["tracknet.scripts.train", "--resume", str(run)]
    assert (run / "checkpoints").is_symlink()


def test_a_folder_with_no_more_than_a_lock_is_begun_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = asked()
    config = request.config()
    config = replace(config, training=replace(config.training, log_dir=str(tmp_path)))
    built(tmp_path / "shards", GAMES)
    run = tmp_path / request.name
    run.mkdir()
    (run / ".lock").touch()
    calls: list[Sequence[str]] = []

    def fail(module: str, arguments: Sequence[str], log: Path | None) -> None:
        calls.append(arguments)
        raise RunError("the disk is full")

    monkeypatch.setattr(measure, "call", fail)
    for _ in range(2):
        with pytest.raises(RunError, match="the disk is full"):
            measure.measure(request, tmp_path / "shards", tmp_path)
        # Nor is anything left there that the training would take for a run.
        RunFolder.refuse_existing(config, request.name)
    assert [call[:2] for call in calls] == [["--name", request.name]] * 2


@pytest.mark.parametrize(
    ("run_json", "told"),
    [
        ({"dataset": {"build_id": "2222bbbb" * 8}}, "was trained on the build 2222bbbb2222; "),
        ({"dataset": None}, "says no build in its run.json; "),
        ([], "says no build in its run.json; "),
    ],
)
def test_a_run_of_another_build_is_not_taken_for_the_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_json: object, told: str
) -> None:
    request = asked()
    calls = calls_of(monkeypatch, request, tmp_path)
    run = trained(request, tmp_path)
    (run / "run.json").write_text(json.dumps(run_json))
    with pytest.raises(UserError) as refused:
        measure.measure(request, tmp_path / "shards", tmp_path)
    assert refused.value.what == f"the run {run} {told}{tmp_path / 'shards'} is the build {BUILD_ID[:12]}"
    assert refused.value.remedy is not None
    assert f"remove {run}, " in refused.value.remedy
    assert "another folder with --work" in refused.value.remedy
    assert not calls
    # As the remedy says.
    run.rename(tmp_path / "removed")
    measure.measure(request, tmp_path / "shards", tmp_path)
    assert [call[0] for call in calls] == ["tracknet.scripts.train", "tracknet.scripts.evaluate"]
    measure.measure(request, tmp_path / "shards", tmp_path)
    assert "--resume" in calls[2]


def test_a_training_in_two_parts_took_the_time_of_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = asked()
    calls_of(monkeypatch, request, tmp_path)
    clock = trained(request, tmp_path) / "seconds.json"
    clock.write_text("500.0")
    measured = measure.measure(request, tmp_path / "shards", tmp_path)
    assert 500 < measured["train_s"] < 600
    clock.write_text("")
    assert measure.measure(request, tmp_path / "shards", tmp_path)["train_s"] < 100


def test_a_row_may_say_how_maps_are_merged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "some.yaml"
    file.write_text(
        "rows:\n  every: {model: wasb}\n  alone: {base: every, overlap: none}\n"
        "  longer: {base: every, overlap: none, steps: 7}\n"
        "overrides: ['data.resize=[512,288]']\n"
    )
    made = {request.row: request for request in requests(*read_experiment(str(file)))}
    every, alone, longer = (made[name] for name in ("every", "alone", "longer"))
    # One training, scored twice; what trains otherwise is another.
    assert alone.name == every.name
    assert longer.name.startswith("longer-s0-")
    assert len({one.fingerprint for one in made.values()}) == 3
    assert records.asked_of(alone)["overlap"] == "none"
    assert "overlap" not in records.asked_of(every)
    calls = calls_of(monkeypatch, alone, tmp_path)
    for request in (every, alone):
        measure.measure(request, tmp_path / "shards", tmp_path)
    first, second = (call for call in calls if call[0] == "tracknet.scripts.evaluate")
    assert "--overlap" not in first
    assert second[second.index("--overlap") + 1] == "none"
    outs = [Path(call[call.index("--out") + 1]).name for call in (first, second)]
    assert outs == ["val", "val-none"]
    file.write_text("rows:\n  every: {model: wasb, overlap: mine}\n")
    with pytest.raises(UserError, match="overlap"):
        read_experiment(str(file))
