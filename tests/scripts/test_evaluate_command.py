"""The evaluate command on a model: figures, files and the page, and wrong requests."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import cv2
import pyarrow.parquet as pq
import pytest

from tests.scripts.evaluations import FILES, Evaluated, evaluated_as, files, metrics, page_data, refused
from tests.training.conftest import records
from tracknet.scripts import evaluate
from tracknet.utils.errors import EXIT_DONE
from tracknet.utils.outcome import OUTCOMES, Outcome


@pytest.fixture(scope="module")
def evaluated(trained_once: Path, small_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Evaluated:
    """The validation frames of the run, in its own folder of evaluations."""
    run = shutil.copytree(trained_once, tmp_path_factory.mktemp("evaluated") / "run", symlinks=True)
    return evaluated_as(run / "evaluation" / "val", run, "--shards", small_shards, "--distance", "8")


@pytest.fixture(scope="module")
def report(evaluated: Evaluated) -> dict[str, Any]:
    return metrics(evaluated.out)


@pytest.fixture(scope="module")
def best(trained_once: Path) -> dict[str, Any]:
    """The validation of the run that its best checkpoint was chosen on."""
    config = trained_once / "checkpoints" / "best" / "model" / "config.json"
    saved = json.loads(config.read_text())["provenance"]
    assert saved["chosen_as_best_on"]["games"] == ["game2"]
    (validation,) = [line for line in records(trained_once, "val") if line["step"] == saved["step"]]
    return validation


def test_a_run_is_scored_as_its_validation_was(report: dict[str, Any], best: dict[str, Any]):
    assert report["games"] == ["game2"]
    assert report["frame_sizes"] == ["160x90"]
    assert set(report["decoders"]) == {"argmax", "soft_argmax", "dark"}
    for figure in ("l2_mean_px", "pck@5px", "precision", "recall", "f1", "threshold", "false_alarm_rate"):
        assert report["decoders"]["dark"][figure] == pytest.approx(best[figure]), figure
    assert report["threshold"] == report["protocols"]["wasb"]["threshold"] == best["threshold"]


def test_the_design_protocol_is_what_the_validation_counted(report: dict[str, Any], best: dict[str, Any]):
    """Frames without a ball are left out of both."""
    for figure in ("precision", "recall", "f1", "tp", "fp1", "fn"):
        assert report["protocols"]["design"][figure] == pytest.approx(best[figure], nan_ok=True), figure


def test_what_is_printed_has_the_distance_asked_for_and_what_flatters(
    evaluated: Evaluated, report: dict[str, Any]
):
    assert "pck@8px" in evaluated.said
    assert "wasb*" in evaluated.said
    assert "the threshold was chosen on this very split" in evaluated.said
    assert report["optimistic_because"] == ["threshold", "checkpoint"]


def test_the_files_of_an_evaluation(evaluated: Evaluated):
    assert files(evaluated.out) == sorted([*FILES, "overlays.png", "report.html"])
    sheet = cv2.imread(str(evaluated.out / "overlays.png"))
    assert sheet.shape == (6 * 48 + 5 * 4, 96 + 3 * 48, 3)
    assert ElementTree.parse(evaluated.out / "pr.svg").getroot().tag.endswith("svg")


def test_the_page_has_all_frames_but_those_that_rightly_have_nothing(
    evaluated: Evaluated, report: dict[str, Any]
):
    page = page_data(evaluated.out)
    assert len(page["pictures"]) == len(page["entries"]) == 32 - report["protocols"]["wasb"]["tn"]


def test_outcomes_on_the_page_are_the_main_protocols(evaluated: Evaluated, report: dict[str, Any]):
    codes = "".join(clip["outcome"] for clip in page_data(evaluated.out)["clips"])
    wasb = report["protocols"]["wasb"]
    assert [codes.count(str(outcome.value)) for outcome in Outcome] == [wasb[name] for name in OUTCOMES]


def test_the_predictions_of_an_evaluation(evaluated: Evaluated):
    table = pq.read_table(evaluated.out / "predictions.parquet")
    assert table.num_rows == 32
    assert table.column("visibility").to_pylist().count(0) == 2
    assert json.loads(table.schema.metadata[b"threshold_chosen_on"])["split"] == "val"


def test_a_bare_model_on_another_split(trained: Path, small_shards: Path, tmp_path: Path, capsys):
    model = trained / "checkpoints" / "last" / "model"
    args = [str(model), "--shards", str(small_shards), "--split", "train", "--out", str(tmp_path / "out")]
    args += ["--pictures", "0", "--workers", "0", "--protocol", "wasb", "tracknet", "--no-report", "--flip"]
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "report.html").write_text("of older figures")
    assert evaluate.run(args) == EXIT_DONE
    assert files(tmp_path / "out") == FILES
    report = metrics(tmp_path / "out")
    assert report["split"] == "train"
    assert report["frames"] == 32
    assert list(report["protocols"]) == ["wasb", "tracknet"]
    assert (report["optimistic"], report["optimistic_because"]) == (False, ["training"])
    assert "optimistic" not in capsys.readouterr().out
    # The run's threshold was chosen without the mirror image.
    assert (report["overlap"], report["flip"]) == ("none", True)
    assert any("the threshold was chosen with overlap none, and these are with" in n for n in report["notes"])
    metadata = pq.read_schema(tmp_path / "out" / "predictions.parquet").metadata
    assert (metadata[b"overlap"], metadata[b"flip"]) == (b"none", b"true")
    again = ["--from", str(tmp_path / "out"), "--no-report", "--out", str(tmp_path / "again")]
    assert evaluate.run([*again, "--protocol", "wasb", "tracknet"]) == EXIT_DONE
    assert metrics(tmp_path / "again")["flip"] is True


def test_a_page_that_is_not_finished_leaves_the_figures_and_no_older_page(
    trained: Path, small_shards: Path, monkeypatch: pytest.MonkeyPatch
):
    args = [str(trained), "--shards", str(small_shards), "--workers", "0", "--resamples", "100"]
    assert evaluate.run(args) == EXIT_DONE
    out = trained / "evaluation" / "val"
    assert {"report.html", "overlays.png"} < set(files(out))

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tracknet.training.evaluation_files.frame_views", killed)
    with pytest.raises(KeyboardInterrupt):
        evaluate.run([*args, "--pictures", "0", "--threshold", "0.25"])
    assert files(out) == FILES
    assert metrics(out)["threshold"] == 0.25


def test_false_alarms_are_shown_though_the_protocol_leaves_their_frames_out(
    trained: Path, small_shards: Path, tmp_path: Path
):
    args = [str(trained), "--shards", str(small_shards), "--workers", "0", "--pictures", "0"]
    args += ["--protocol", "design", "--threshold", "0", "--out", str(tmp_path / "out")]
    assert evaluate.run(args) == EXIT_DONE
    report = metrics(tmp_path / "out")
    assert (report["protocols"]["design"]["fp2"], report["false_alarms"]["false_alarms"]) == (0, 2)
    codes = "".join(clip["outcome"] for clip in page_data(tmp_path / "out")["clips"])
    assert (codes.count(str(Outcome.FP2.value)), codes.count(str(Outcome.TN.value))) == (2, 0)
    assert (
        "the frames left out of its figures are shown here" in (tmp_path / "out" / "report.html").read_text()
    )


def test_wrong_requests(trained: Path, small_shards: Path, tmp_path: Path, capsys):
    shards = ("--shards", small_shards)
    assert "holds no model" in refused(capsys, tmp_path, *shards)
    assert "choose one of train, val" in refused(capsys, trained, *shards, "--split", "test")
    assert "holds no finished build" in refused(capsys, trained, "--shards", tmp_path)
    message = refused(capsys, trained, *shards, "--distance", "0", "--batch-size", "0", "--resamples", "99")
    for fault in (
        "a distance must be a number above 0, got 0",
        "--batch-size must be at least 1",
        "--resamples must be at least 100, got 99",
    ):
        assert fault in message
    assert "a distance must be a number above 0, got inf" in refused(capsys, trained, "--distance", "inf")
    assert "above 0, got nan" in refused(capsys, trained, "--pck", "2", "nan")
    assert "--overlap mean combines several windows" in refused(capsys, trained, *shards, "--overlap", "mean")
    message = refused(capsys, "--from", trained, "--overlap", "max", "--flip")
    assert "--overlap needs the model" in message
    assert "--flip needs the model" in message
    assert "did you mean wasb" in refused(capsys, trained, *shards, "--protocol", "wasp")
    message = refused(capsys, trained, *shards, "--protocol", "wsb", "--threshold", "nan")
    assert "did you mean wasb" in message and "--threshold must be a number" in message
    assert "give one of a model, --from and --compare, not none" in refused(capsys)
    assert "not a model and --from" in refused(capsys, trained, "--from", tmp_path)
    assert "needs the clips that training left aside" in refused(capsys, trained, "--calibrate", "train")
    assert "worthless" in refused(capsys, trained, "--calibrate", "test")
    message = refused(capsys, trained, "--calibrate", "val", "--split", "val", "--threshold", "nan")
    assert "names its split itself" in message
    assert "--threshold must be a number" in message
    message = refused(capsys, trained, *shards, "--calibrate", "train", "game1/Clip9")
    assert "no clip game1/Clip9" in message
    assert "choose from game1/Clip1, game1/Clip2" in message
    assert "holds no predictions" in refused(capsys, "--from", tmp_path)
    assert "there is no" in refused(capsys, "--from", tmp_path / "nothing.parquet")
    weights = trained / "checkpoints" / "best" / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    assert "model.safetensors is damaged" in refused(capsys, trained, *shards)
