"""The inspect command: figures, verification, sheet, page, and wrong requests."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import cv2
import pytest

from tracknet.scripts import cli, inspect
from tracknet.utils.errors import EXIT_DONE, EXIT_FAILED, EXIT_WRONG_REQUEST, cli_main


@pytest.fixture
def folder(small_shards: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(small_shards, tmp_path / "shards"))


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def test_figures_for_people_and_machines(small_shards: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["inspect", str(small_shards)]) == EXIT_DONE
    out = capsys.readouterr().out
    assert "64 frames stored at 96x48" in out
    assert "2 (6.2%)" in out
    assert inspect.run([str(small_shards), "--json"]) == EXIT_DONE
    body = json.loads(capsys.readouterr().out)
    assert body["splits"]["train"]["frames"] == 32
    assert body["repeats"]["of_pairs"] == body["repeats"]["pairs_compared"] == 60
    assert isinstance(body["warnings"], list)


def test_a_whole_build_is_verified(small_shards: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert inspect.run([str(small_shards), "--verify", "--decode"]) == EXIT_DONE
    out = capsys.readouterr().out
    assert "is whole" in out
    assert "MB/s" in out
    assert inspect.run([str(small_shards), "--verify", "--json"]) == EXIT_DONE
    body = json.loads(capsys.readouterr().out)
    assert (body["ok"], body["faults"], body["pictures_undamaged"]) == (True, [], 64)


def test_all_faults_are_listed_and_the_exit_code_says_so(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flip(folder / "train-000.tar", 700)
    flip(folder / "val-000.tar", 0)
    assert cli_main(inspect.run, [str(folder), "--verify"]) == EXIT_FAILED
    out = capsys.readouterr().out
    assert "train-000.tar: game1_Clip" in out
    assert "its picture is damaged" in out
    assert re.search(r"val-000\.tar: game2_Clip\d_0000\.jpg: damaged tar header", out)
    assert "2 faults, 63 of 64 pictures undamaged" in out
    assert "delete train-000.tar val-000.tar and run the build command again" in out
    assert inspect.run([str(folder), "--verify", "--json"]) == EXIT_FAILED
    body = json.loads(capsys.readouterr().out)
    assert body["ok"] is False
    assert [fault["file"] for fault in body["faults"]] == ["train-000.tar", "val-000.tar"]


def test_looking_at_damaged_frames_names_them(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flip(folder / "train-000.tar", 700)
    assert cli_main(inspect.run, [str(folder)]) == EXIT_FAILED
    assert "damaged" in capsys.readouterr().err


def test_a_sheet_and_a_page(
    small_shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = [str(small_shards), "--samples", "5", "--html", "pages/look.html"]
    assert inspect.run(arguments) == EXIT_DONE
    assert "written: samples.jpg, pages/look.html" in capsys.readouterr().out
    assert cv2.imread("samples.jpg").shape == (2 * 216 + 6, 3 * (432 + 216) + 12, 3)
    page = Path("pages/look.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 5
    assert "0 absent" in page
    assert inspect.run([str(small_shards), "--samples", "1", "--out", "one.png", "--json"]) == EXIT_DONE
    assert cv2.imread("one.png").shape == (216, 648, 3)
    json.loads(capsys.readouterr().out)


def test_a_sheet_of_windows_as_a_training_sees_them(
    small_shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sheets = []
    for name, settings in (
        ("plain", ["data.augment.enabled=false"]),
        ("mixed", ["data.augment.mixup.prob=1"]),
    ):
        out = tmp_path / f"{name}.png"
        arguments = [str(small_shards), "--samples", "4", "--out", str(out), "--augment", *settings]
        assert inspect.run(arguments) == EXIT_DONE
        assert f"written: {out}" in capsys.readouterr().out
        sheets.append(cv2.imread(str(out)))
    # Two rows of two windows: the picture, three frames close up, and the target.
    assert sheets[0].shape == sheets[1].shape == (2 * 216 + 6, 2 * (432 + 4 * 216) + 6, 3)
    assert (sheets[0] != sheets[1]).mean() > 0.2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--samples", "0"], "--samples must be 1 to 600, got 0"),
        (["--samples", "601"], "--samples must be 1 to 600, got 601"),
        (["--decode"], "--decode goes with --verify"),
        (["--verify", "--samples", "3"], "--verify goes alone"),
        (["--out", "x.jpg"], "--out names the sheet"),
        (["--samples", "3", "--out", "x.pdf"], "give a .jpg or .png file"),
        (["--augment", "data.augment.paste.prob=1"], "--augment goes with --samples N"),
        (
            ["--samples", "2", "--html", "x.html", "--augment"],
            "--augment goes with --samples N, and without --html",
        ),
        (["--samples", "61", "--augment"], "--samples must be at most 60 with --augment, got 61"),
        (["--samples", "2", "--augment", "data.augment.paste.prob=2"], "must be at most 1, got 2"),
    ],
)
def test_wrong_requests(
    small_shards: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli_main(inspect.run, [str(small_shards), *arguments]) == EXIT_WRONG_REQUEST
    assert message in capsys.readouterr().err


def test_a_folder_that_is_no_build(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli_main(inspect.run, [str(tmp_path)]) == EXIT_WRONG_REQUEST
    assert "holds no finished build" in capsys.readouterr().err
    (tmp_path / "train-000.tar").touch()
    assert cli_main(inspect.run, [str(tmp_path)]) == EXIT_WRONG_REQUEST
    assert f"python -m pipelines.index_shards {tmp_path}" in capsys.readouterr().err


def test_a_url_is_refused_with_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli_main(inspect.run, ["https://me:secret@host/shards"]) == EXIT_WRONG_REQUEST
    said = capsys.readouterr().err
    assert "https://***@host/shards: inspect reads folders of this machine" in said
    assert "copy it here" in said
