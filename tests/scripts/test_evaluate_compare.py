"""`evaluate --compare`: two runs side by side, and which of a run's evaluations is meant."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.scripts.evaluations import FILES, Evaluated, evaluated_as, files, metrics, refused
from tracknet.scripts import evaluate
from tracknet.utils.errors import EXIT_DONE


class Pair(NamedTuple):
    """Two evaluated runs."""

    first: Path
    second: Path


@pytest.fixture(scope="module")
def pair(trained_once: Path, small_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """The same run, evaluated with its best and with its last model."""
    folder = tmp_path_factory.mktemp("pair")
    runs = Pair(folder / "run", folder / "other")
    for run, model in zip(runs, ("best", "last"), strict=True):
        shutil.copytree(trained_once, run, symlinks=True)
        where = ["--shards", small_shards, "--pictures", "0", "--workers", "0", "--resamples", "100"]
        out = run / "evaluation" / "val"
        evaluated_as(out, run / "checkpoints" / model / "model", *where, "--out", out)
    return runs


@pytest.fixture(scope="module")
def compared(pair: Pair, tmp_path_factory: pytest.TempPathFactory) -> Evaluated:
    out = tmp_path_factory.mktemp("compared") / "out"
    return evaluated_as(out, "--compare", *pair, "--out", out)


def test_runs_that_were_not_evaluated_are_refused_with_the_command(trained: Path, capsys):
    other = shutil.copytree(trained, trained.parent / "other", symlinks=True)
    message = refused(capsys, "--compare", trained, other)
    assert f"python -m tracknet.scripts.evaluate {trained} --shards" in message


def test_two_runs_are_compared(pair: Pair, compared: Evaluated):
    figures = metrics(compared.out)["compare"]
    assert (figures["a"], figures["b"]) == (str(pair.first), str(pair.second))
    assert (figures["frames"], figures["clips"]) == (32, 2)
    f1 = figures["protocols"]["design"]["f1"]
    own = [metrics(run / "evaluation" / "val")["protocols"]["design"]["f1"] for run in pair]
    assert [f1["a"], f1["b"]] == own
    assert figures["verdict"] in compared.said


def test_what_flatters_either_run_is_said(compared: Evaluated):
    figures = metrics(compared.out)["compare"]
    assert figures["optimistic"] == {"a": True, "b": True}
    assert figures["optimistic_because"]["a"] == ["threshold", "checkpoint"]
    told = "the threshold was chosen on this very split: every figure that depends on it"
    assert any(note.startswith(f"B: {told}") for note in figures["notes"])
    assert f"*: A: {told}" in compared.said and f"*: B: {told}" in compared.said
    assert "<b>†</b>" in (compared.out / "report.html").read_text().partition('id="protocols"')[0]


def test_an_evaluation_and_another_comparison_stay_as_they_are(
    pair: Pair, compared: Evaluated, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
):
    val = pair.first / "evaluation" / "val"
    before = {path.name: path.read_bytes() for path in val.iterdir()}
    again = ["--compare", *pair, "--no-report", "--resamples", "100"]
    assert "holds an evaluation, which a comparison would replace" in refused(capsys, *again, "--out", val)
    assert {path.name: path.read_bytes() for path in val.iterdir()} == before
    assert "holds the comparison of" in refused(capsys, "--from", val, "--no-report", "--out", compared.out)
    # Another pair takes another folder.
    monkeypatch.chdir(tmp_path)
    for first, second in (pair, pair, pair[::-1]):
        args = ["--compare", str(first), str(second), "--no-report", "--resamples", "100"]
        assert evaluate.run(args) == EXIT_DONE
    assert files(tmp_path / "evaluation") == ["comparison", "comparison-2"]
    assert metrics(tmp_path / "evaluation" / "comparison-2")["compare"]["a"] == str(pair.second)


def test_a_run_on_another_build_keeps_both(trained: Path, small_shards: Path, tmp_path: Path, capsys):
    """The same frames with another build id, as labels that were corrected give."""
    other = tmp_path / "other"
    shutil.copytree(small_shards, other)
    manifest = json.loads((other / "manifest.json").read_text())
    manifest["build_id"] = "0123456789" + manifest["build_id"][10:]
    (other / "manifest.json").write_text(json.dumps(manifest))
    more = ["--pictures", "0", "--workers", "0", "--resamples", "100"]
    assert evaluate.run([str(trained), "--shards", str(small_shards), *more]) == EXIT_DONE
    first = {path.name: path.read_bytes() for path in (trained / "evaluation" / "val").iterdir()}
    assert evaluate.run([str(trained), "--shards", str(other), *more, "--no-report"]) == EXIT_DONE
    assert {path.name: path.read_bytes() for path in (trained / "evaluation" / "val").iterdir()} == first
    again = trained / "evaluation" / "val-01234567"
    report = metrics(again)
    assert files(again) == FILES
    assert report["optimistic_because"] == ["threshold", "checkpoint"], "another build of the same games"
    assert "games of these names, in another build" in report["notes"][0]
    # Asked for that build the run stands for that evaluation.
    out = tmp_path / "compared"
    args = ["--compare", str(trained), str(trained), "--shards", str(other), "--out", str(out), "--no-report"]
    assert evaluate.run(args) == EXIT_DONE
    shutil.rmtree(trained / "evaluation" / "val")
    assert evaluate.run(args) == EXIT_DONE
    assert metrics(out)["compare"]["frames"] == 32
    args = ["--from", str(trained), "--no-report", "--resamples", "100", "--out", str(tmp_path / "again")]
    assert evaluate.run(args) == EXIT_DONE
    assert metrics(tmp_path / "again")["build_id"] == manifest["build_id"]
    shutil.copytree(again, trained / "evaluation" / "val-2")
    assert "was evaluated on 2 builds" in refused(capsys, *args)
