"""`evaluate --from`: predictions that are files, of this program and of others."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.scripts.evaluations import FILES, Evaluated, evaluated_as, files, metrics, page_data
from tracknet.datasets.index import open_split
from tracknet.scripts import evaluate
from tracknet.utils.errors import EXIT_DONE


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


@pytest.fixture(scope="module")
def theirs(small_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The truth itself, shifted by 0.25 px and without the first frame of each clip, in the form TrackNetV3 writes."""
    folder = tmp_path_factory.mktemp("theirs")
    table = open_split(small_shards, "val").table
    for number, (game, clip) in enumerate(table.clips):
        rows = ["Frame,Visibility,X,Y"]
        for row in (table.clip_id == number).nonzero()[0][1:]:
            x, y = table.xy_px[row]
            there = table.visibility[row] > 0
            rows.append(f"{table.frame[row]},{int(there)},{x + 0.25 if there else 0},{y if there else 0}")
        (folder / f"{game}_{clip}.csv").write_text("\n".join(rows))
    return folder


@pytest.fixture(scope="module")
def scored_theirs(theirs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with a score for each frame."""
    folder = tmp_path_factory.mktemp("scored")
    for path in theirs.iterdir():
        header, *rows = path.read_text().splitlines()
        (folder / path.name).write_text("\n".join([f"{header},Score", *(f"{row},0.5" for row in rows)]))
    return folder


@pytest.fixture(scope="module")
def evaluated(theirs: Path, small_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Evaluated:
    out = tmp_path_factory.mktemp("evaluated") / "out"
    return evaluated_as(out, "--from", theirs, "--shards", small_shards, "--out", out)


def test_another_programs_predictions_are_scored(evaluated: Evaluated):
    report = metrics(evaluated.out)
    wasb = report["protocols"]["wasb"]
    assert [wasb[name] for name in ("tp", "tn", "fp1", "fp2", "fn")] == [28, 2, 0, 0, 2]
    # 0.25 px of 160 are 2 px of 1280.
    assert wasb["rmse_px"] == pytest.approx(2.0)
    assert wasb["ap_of_single_point"]
    assert report["optimistic"] is False


def test_what_another_programs_predictions_lack_is_said(evaluated: Evaluated):
    assert "has no row for 2 of 32 frames" in evaluated.said
    assert "gives no scores" in evaluated.said


def test_another_programs_predictions_beside_a_models_file(
    evaluated: Evaluated, theirs: Path, small_shards: Path, tmp_path: Path, capsys
):
    """The same frames."""
    both = ["--compare", str(evaluated.out), str(theirs), "--shards", str(small_shards)]
    assert evaluate.run([*both, "--out", str(tmp_path / "compared"), "--resamples", "100"]) == EXIT_DONE
    assert metrics(tmp_path / "compared")["compare"]["protocols"]["wasb"]["f1"]["difference"] == 0
    assert "A against B" in (tmp_path / "compared" / "report.html").read_text()
    page = page_data(tmp_path / "compared")
    assert len(page["pictures"]) == 30
    assert len(page["clips"][0]["b_x"]) == 16
    assert "no clear difference" in capsys.readouterr().out


def test_blob_sums_that_another_program_lacks_are_missed_by_the_protocol_that_ranks_by_them(
    evaluated: Evaluated, scored_theirs: Path, small_shards: Path, tmp_path: Path, capsys
):
    both = ["--compare", str(evaluated.out), str(scored_theirs), "--shards", str(small_shards)]
    both += ["--no-report", "--out", str(tmp_path / "ranked")]
    assert evaluate.run(both) == EXIT_DONE
    told = f"note: B: {scored_theirs} gives no blob sums: WASB's AP is ranked by Score"
    assert told in capsys.readouterr().out
    assert evaluate.run([*both, "--protocol", "tracknet"]) == EXIT_DONE
    assert "blob sum" not in capsys.readouterr().out
