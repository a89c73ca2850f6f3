"""The evaluate command: a model, predictions that are files, comparisons, thresholds, and wrong requests."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import cv2
import pyarrow.parquet as pq
import pytest

from tracknet.scripts import cli, evaluate, train
from tracknet.utils.errors import EXIT_DONE, EXIT_FAILED, EXIT_WRONG_REQUEST, cli_main


@pytest.fixture(scope="module")
def made(small_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two epochs, trained once; tests work on copies of it."""
    from tests.conftest import SMALL

    folder = tmp_path_factory.mktemp("made")
    places = [f"data.shards={small_shards}", f"training.log_dir={folder}"]
    args = ["--model", "vit_tiny", "--training", "cpu", *places, *SMALL]
    assert train.run([*args, "--name", "run", "training.epochs=2"]) == EXIT_DONE
    return folder / "run"


@pytest.fixture
def trained(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / "runs" / "run", symlinks=True)


FILES = ["errors.svg", "metrics.json", "pck.svg", "pr.svg", "predictions.parquet"]


def page_data(folder: Path) -> dict[str, Any]:
    """What the page's script draws from."""
    page = (folder / "report.html").read_text()
    return json.loads(page.partition('id="data">')[2].partition("</script>")[0])


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def metrics(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "metrics.json").read_text())


def refused(capsys: pytest.CaptureFixture[str], *args: object) -> str:
    capsys.readouterr()
    assert cli_main(evaluate.run, [str(arg) for arg in args]) in (EXIT_WRONG_REQUEST, EXIT_FAILED)
    message = capsys.readouterr().err
    assert "Traceback" not in message
    return message


def test_a_run_is_scored_as_its_validation_was(trained: Path, small_shards: Path, capsys):
    assert evaluate.run([str(trained), "--shards", str(small_shards), "--distance", "8"]) == EXIT_DONE
    out = trained / "evaluation" / "val"
    report = metrics(out)
    assert report["games"] == ["game2"]
    assert report["frame_sizes"] == ["160x90"]
    assert set(report["decoders"]) == {"argmax", "soft_argmax", "dark"}
    validations = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    saved = json.loads((trained / "checkpoints" / "best" / "model" / "config.json").read_text())["provenance"]
    (best,) = [v for v in validations if v["kind"] == "val" and v["step"] == saved["step"]]
    assert saved["chosen_as_best_on"]["games"] == ["game2"]
    for figure in ("l2_mean_px", "pck@5px", "precision", "recall", "f1", "threshold", "false_alarm_rate"):
        assert report["decoders"]["dark"][figure] == pytest.approx(best[figure]), figure
    # The design protocol is what the validation counted, frames without a ball left out.
    for figure in ("precision", "recall", "f1", "tp", "fp1", "fn"):
        assert report["protocols"]["design"][figure] == pytest.approx(best[figure], nan_ok=True), figure
    assert report["threshold"] == report["protocols"]["wasb"]["threshold"] == best["threshold"]
    text = capsys.readouterr().out
    assert "pck@8px" in text
    assert "wasb*" in text
    assert "the threshold was chosen on this very split" in text
    assert report["optimistic_because"] == ["threshold", "checkpoint"]
    sheet = cv2.imread(str(out / "overlays.png"))
    assert sheet.shape == (6 * 48 + 5 * 4, 96 + 3 * 48, 3)
    assert files(out) == sorted([*FILES, "overlays.png", "report.html"])
    assert ElementTree.parse(out / "pr.svg").getroot().tag.endswith("svg")
    page = page_data(out)
    # All but the frames that rightly have nothing.
    shown = 32 - report["protocols"]["wasb"]["tn"]
    assert len(page["pictures"]) == len(page["entries"]) == shown
    wasb = report["protocols"]["wasb"]
    # Every frame's outcome is the main protocol's: 0 found, 1 near miss, 2 missed, 3 false alarm, 4 no ball.
    codes = "".join(clip["outcome"] for clip in page["clips"])
    counted = [wasb[name] for name in ("tp", "fp1", "fn", "fp2", "tn")]
    assert [codes.count(code) for code in "01234"] == counted
    table = pq.read_table(out / "predictions.parquet")
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


def test_predictions_are_scored_again_without_the_model(trained: Path, small_shards: Path, tmp_path: Path):
    where = ["--shards", str(small_shards)]
    assert evaluate.run([str(trained), *where, "--pictures", "0", "--workers", "0"]) == EXIT_DONE
    first = metrics(trained / "evaluation" / "val")
    file = tmp_path / "p.parquet"
    shutil.copy(trained / "evaluation" / "val" / "predictions.parquet", file)
    shutil.rmtree(trained / "checkpoints")
    for number, more in enumerate(([], where, [*where, "--split", "val"])):
        out = tmp_path / f"again{number}"
        assert evaluate.run(["--from", str(file), *more, "--out", str(out)]) == EXIT_DONE
        again = metrics(out)
        assert again["shards"] == (str(small_shards) if more else None)
        assert files(out) == sorted([*FILES, "report.html"])
        # The frames are in the shards; without them the page draws sketches.
        shown = 32 - again["protocols"]["wasb"]["tn"]
        assert len(page_data(out)["pictures"]) == (shown if more else 0)
        for part in ("protocols", "pck_curve", "error", "breakdowns", "pr_curves", "optimistic_because"):
            assert again[part] == first[part], part
    # A threshold of one's own was chosen on nothing.
    assert evaluate.run(["--from", str(file), "--threshold", "0", "--out", str(tmp_path / "t")]) == EXIT_DONE
    given = metrics(tmp_path / "t")
    assert given["protocols"]["wasb"]["fn"] == 0
    assert given["optimistic_because"] == ["checkpoint"]


def test_another_programs_predictions(small_shards: Path, tmp_path: Path, capsys):
    """The truth itself, shifted by 0.25 px and without one frame, in the form TrackNetV3 writes."""
    from tracknet.datasets.index import open_split

    theirs = tmp_path / "theirs"
    theirs.mkdir()
    table = open_split(small_shards, "val").table
    for number, (game, clip) in enumerate(table.clips):
        rows = ["Frame,Visibility,X,Y"]
        for row in (table.clip_id == number).nonzero()[0][1:]:
            x, y = table.xy_px[row]
            there = table.visibility[row] > 0
            rows.append(f"{table.frame[row]},{int(there)},{x + 0.25 if there else 0},{y if there else 0}")
        (theirs / f"{game}_{clip}.csv").write_text("\n".join(rows))
        scored = tmp_path / "scored"
        scored.mkdir(exist_ok=True)
        (scored / f"{game}_{clip}.csv").write_text(
            "\n".join([rows[0] + ",Score", *(f"{r},0.5" for r in rows[1:])])
        )
    args = ["--from", str(theirs), "--shards", str(small_shards), "--out", str(tmp_path / "out")]
    assert evaluate.run(args) == EXIT_DONE
    report = metrics(tmp_path / "out")
    wasb = report["protocols"]["wasb"]
    assert [wasb[name] for name in ("tp", "tn", "fp1", "fp2", "fn")] == [28, 2, 0, 0, 2]
    # 0.25 px of 160 are 2 px of 1280.
    assert wasb["rmse_px"] == pytest.approx(2.0)
    assert wasb["ap_of_single_point"]
    assert report["optimistic"] is False
    out = capsys.readouterr().out
    assert "has no row for 2 of 32 frames" in out
    assert "gives no scores" in out
    # And beside a model's file: the same frames.
    both = ["--compare", str(tmp_path / "out"), str(theirs), "--shards", str(small_shards)]
    assert evaluate.run([*both, "--out", str(tmp_path / "compared"), "--resamples", "100"]) == EXIT_DONE
    assert metrics(tmp_path / "compared")["compare"]["protocols"]["wasb"]["f1"]["difference"] == 0
    assert "A against B" in (tmp_path / "compared" / "report.html").read_text()
    page = page_data(tmp_path / "compared")
    assert len(page["pictures"]) == 30
    assert len(page["clips"][0]["b_x"]) == 16
    assert "no clear difference" in capsys.readouterr().out
    both = ["--compare", str(tmp_path / "out"), str(scored), "--shards", str(small_shards), "--no-report"]
    assert evaluate.run([*both, "--out", str(tmp_path / "ranked")]) == EXIT_DONE
    assert f"note: B: {scored} gives no blob sums: WASB's AP is ranked by Score" in capsys.readouterr().out
    # Where no protocol asks for them they are not missed.
    assert evaluate.run([*both, "--out", str(tmp_path / "ranked"), "--protocol", "tracknet"]) == EXIT_DONE
    assert "blob sum" not in capsys.readouterr().out


def test_two_runs_are_compared(
    trained: Path, small_shards: Path, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
):
    other = trained.parent / "other"
    shutil.copytree(trained, other, symlinks=True)
    message = refused(capsys, "--compare", trained, other)
    assert f"python -m tracknet.scripts.evaluate {trained} --shards" in message
    for run, model in ((trained, "best"), (other, "last")):
        where = ["--shards", str(small_shards), "--pictures", "0", "--workers", "0", "--resamples", "100"]
        folder = run / "checkpoints" / model / "model"
        assert evaluate.run([str(folder), *where, "--out", str(run / "evaluation" / "val")]) == EXIT_DONE
    out = tmp_path / "compared"
    assert evaluate.run(["--compare", str(trained), str(other), "--out", str(out)]) == EXIT_DONE
    compared = metrics(out)["compare"]
    assert (compared["a"], compared["b"]) == (str(trained), str(other))
    assert (compared["frames"], compared["clips"]) == (32, 2)
    f1 = compared["protocols"]["design"]["f1"]
    own = [metrics(run / "evaluation" / "val")["protocols"]["design"]["f1"] for run in (trained, other)]
    assert [f1["a"], f1["b"]] == own
    assert compared["optimistic"] == {"a": True, "b": True}
    assert compared["optimistic_because"]["a"] == ["threshold", "checkpoint"]
    told = "the threshold was chosen on this very split: every figure that depends on it"
    assert any(note.startswith(f"B: {told}") for note in compared["notes"])
    text = capsys.readouterr().out
    # An evaluation's folder stays as it is, and another pair takes another.
    val = trained / "evaluation" / "val"
    before = {path.name: path.read_bytes() for path in val.iterdir()}
    pair = ["--compare", str(trained), str(other), "--no-report", "--resamples", "100"]
    assert "holds an evaluation, which a comparison would replace" in refused(capsys, *pair, "--out", val)
    assert {path.name: path.read_bytes() for path in val.iterdir()} == before
    assert "holds the comparison of" in refused(capsys, "--from", val, "--no-report", "--out", out)
    monkeypatch.chdir(tmp_path)
    for first, second in ((trained, other), (trained, other), (other, trained)):
        args = ["--compare", str(first), str(second), "--no-report", "--resamples", "100"]
        assert evaluate.run(args) == EXIT_DONE
    assert files(tmp_path / "evaluation") == ["comparison", "comparison-2"]
    assert metrics(tmp_path / "evaluation" / "comparison-2")["compare"]["a"] == str(other)
    assert compared["verdict"] in text
    assert f"*: A: {told}" in text and f"*: B: {told}" in text
    assert "<b>†</b>" in (out / "report.html").read_text().partition('id="protocols"')[0]


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
    assert (codes.count("3"), codes.count("4")) == (2, 0)
    assert (
        "the frames left out of its figures are shown here" in (tmp_path / "out" / "report.html").read_text()
    )


def test_a_threshold_is_chosen_on_clips_set_aside(trained: Path, small_shards: Path, capsys):
    model = trained / "checkpoints" / "best" / "model"
    weights = (model / "model.safetensors").read_bytes()
    args = [str(trained), "--shards", str(small_shards), "--workers", "0"]
    assert evaluate.run([*args, "--calibrate", "train", "game1_Clip2", "--protocol", "tracknet"]) == EXIT_DONE
    saved = json.loads((model / "config.json").read_text())
    chosen_on = saved["provenance"]["threshold_chosen_on"]
    assert (chosen_on["split"], chosen_on["clips"]) == ("train", ["game1/Clip2"])
    assert chosen_on["protocol"] == "tracknet, d <= 5 px at 1280x720"
    assert f"score threshold | {saved['score_threshold']:g}" in (model / "README.md").read_text()
    assert (model / "model.safetensors").read_bytes() == weights
    said = capsys.readouterr()
    assert "chosen on 16 frames of train (game1_Clip2)" in said.out
    assert (
        "warning: the threshold was chosen on game1, and the model was trained on games of these names"
        in said.err
    )
    assert "trained_on" not in chosen_on
    assert evaluate.run([*args, "--pictures", "0"]) == EXIT_DONE
    report = metrics(trained / "evaluation" / "val")
    assert report["threshold"] == saved["score_threshold"]
    # The threshold no longer flatters; the checkpoint still does.
    assert report["optimistic_because"] == ["checkpoint"]
    told = "the threshold was chosen on game1, and the model was trained on games of these names: it is surer there"
    assert report["notes"][0].startswith(told)
    assert told[1:] in (trained / "evaluation" / "val" / "report.html").read_text()
    capsys.readouterr()
    assert evaluate.run([*args, "--calibrate", "val"]) == EXIT_DONE
    assert "trained on" not in capsys.readouterr().err
    # A game that training left out is set aside indeed.
    saved["provenance"]["games"]["train"] = ["game7"]
    (model / "config.json").write_text(json.dumps(saved))
    assert evaluate.run([*args, "--calibrate", "train", "game1_Clip2"]) == EXIT_DONE
    assert "trained on" not in capsys.readouterr().err
    assert evaluate.run([*args, "--calibrate", "val"]) == EXIT_DONE
    assert (
        json.loads((model / "config.json").read_text())["provenance"]["threshold_chosen_on"]["clips"] is None
    )


def test_a_threshold_that_seldom_alarms(trained: Path, small_shards: Path, capsys):
    config = trained / "checkpoints" / "best" / "model" / "config.json"
    args = [str(trained), "--shards", str(small_shards), "--workers", "0", "--calibrate", "val"]
    assert evaluate.run([*args, "--most-false-alarms", "0.99"]) == EXIT_DONE
    saved = config.read_text()
    assert json.loads(saved)["provenance"]["threshold_chosen_on"]["most_false_alarms"] == 0.99
    said = capsys.readouterr().out
    assert re.search(r"false alarms on [\d.]+% -> [\d.]+% of the frames without a ball", said)
    card = (config.parent / "README.md").read_text()
    assert "with overlap none and false alarms on at most 0.99 of the frames without a ball" in card
    problems = refused(capsys, trained, "--most-false-alarms", "1.5")
    assert "it goes with --calibrate" in problems
    assert "--most-false-alarms 1.5 is no share below 1" in problems


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


def test_installed_command_reaches_the_others(capsys):
    assert cli_main(cli.run, ["--help"]) == EXIT_DONE
    out = capsys.readouterr().out
    assert all(name in out for name in ("synthesize", "build-shards", "train", "evaluate"))
    assert cli_main(cli.run, ["trian"]) == EXIT_WRONG_REQUEST
    assert "did you mean train?" in capsys.readouterr().err
    assert cli.main(["evaluate", "/nowhere"]) == EXIT_WRONG_REQUEST
    assert "holds no model" in capsys.readouterr().err
    assert cli.main(["--traceback", "evaluate", "/nowhere"]) == EXIT_WRONG_REQUEST
    assert "Traceback" in capsys.readouterr().err
