"""The command: what it takes, and what it says and leaves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.ablation import __main__ as command
from benchmarks.ablation import commands, measure, options
from benchmarks.ablation.plan import requests
from benchmarks.ablation.request import Request
from benchmarks.ablation.shards import Shards
from benchmarks.ablation.sizes import size_of
from tests.benchmarks.conftest import Folder
from tests.benchmarks.toy_builds import GAMES, built
from tracknet.datasets.schema import MANIFEST_NAME
from tracknet.utils.errors import UserError


@pytest.mark.parametrize(
    "words",
    [
        ["badminton", "--rows", "wasb", "detail_fine", "training.batch_size=2", "--steps", "5"],
        ["badminton", "training.batch_size=2", "--rows", "wasb", "detail_fine", "--steps", "5"],
        [
            "--rows",
            "wasb",
            "detail_fine",
            "--seeds",
            "0",
            "training.batch_size=2",
            "--steps",
            "5",
            "badminton",
        ],
        [
            "badminton",
            "--steps",
            "5",
            "--rows",
            "wasb",
            "detail_fine",
            "--weights",
            "some/vit=here",
            "training.batch_size=2",
        ],
    ],
)
def test_an_override_is_one_wherever_it_stands(words: list[str]) -> None:
    args = options.parse(words)
    assert (args.experiment, args.rows, args.steps) == ("badminton", ["wasb", "detail_fine"], 5)
    assert args.overrides == ["training.batch_size=2"]
    assert args.weights == (["some/vit=here"] if "--weights" in words else [])


def test_a_value_with_an_equals_sign_stays_the_options() -> None:
    assert options.parse(["badminton", "--out", "a=b"]).out == Path("a=b")


def test_a_failed_training_is_told_once_and_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "some.yaml"
    file.write_text(
        "rows:\n  every: {model: wasb, seeds: [0, 1]}\n  alone: {base: every, overlap: none, seeds: [0]}\n"
        "overrides: ['data.resize=[512,288]']\n"
    )
    tried: list[str] = []

    def train(request: Request, run_folder: Path, shards: Path, log: Path) -> float:
        tried.append(request.name)
        # A command of the project that fails, as an unknown option makes it.
        commands.call("tracknet.scripts.train", ["--no-such-option"], log)
        return 0.0

    monkeypatch.setattr(measure, "_train", train)
    monkeypatch.setattr(Shards, "folder_of", lambda *_: tmp_path)
    work = tmp_path / "work"
    assert command.run([str(file), "--work", str(work), "--out", str(tmp_path / "out")]) == 1
    told = capfd.readouterr().err
    assert len(tried) == len(set(tried)) == 2
    assert "every, seed 0: FAILED: tracknet.scripts.train ended with code 2; its last words are above" in told
    assert "alone, seed 0: FAILED: it is the training of every, seed 0, which failed\n" in told
    assert told.endswith(
        "failed: every (seed 0), alone (seed 0), every (seed 1); the same command tries them again\n"
    )
    assert "['" not in told


def test_the_table_is_of_what_is_there(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ours, wasb = folder.put("ours", 0, 0.4), folder.put("wasb", 0, 0.4)
    record = json.loads(wasb.read_text())
    table = folder.results / "table.md"
    table.write_text(folder.table())
    rows_then: list[list[str]] = []

    def rows() -> list[str]:
        main = table.read_text().partition("\n\n")[2].partition("\n\n")[0]
        return [one.split(" | ")[0].removeprefix("| ") for one in main.splitlines()[2:]]

    def measured(request: Request, shards: Path, work: Path) -> dict[str, Any]:
        rows_then.append(rows())
        if request.row == "wasb":
            # What another command does meanwhile.
            wasb.write_text(json.dumps(record))
        raise UserError("no training here")

    monkeypatch.setattr(command, "measure", measured)
    monkeypatch.setattr(command, "check_models", lambda wanted: None)
    monkeypatch.setattr(Shards, "folder_of", lambda *_: folder.work)
    asked = [folder.experiment.file, "--work", str(folder.work), "--out", str(folder.results)]
    asked += ["--rows", "wasb", "tracknet_v2", "--weights", "some/vit=here"]
    # A record that was removed is out of the table before the first training, and one that came is in it after the
    # row that failed.
    wasb.unlink()
    assert command.run(asked) == 1
    assert rows_then == [["ours"], ["ours", "wasb"]]
    assert "note: --weights some/vit: no chosen row has that backbone\n" in capsys.readouterr().err
    ours.unlink()
    assert command.run(asked) == 1
    assert rows() == ["wasb"]
    wasb.unlink()
    wasb.with_name("tracknet_v2-s0.json").write_text("{")
    assert command.run([*asked[:5], "--rows", "tracknet_v2"]) == 1
    assert table.read_text().startswith(
        "nothing has been measured yet\nNot in the table:\n- tracknet_v2-s0.json"
    )


def test_a_record_of_other_shards_than_those_at_hand_stays_and_is_told(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = folder.put("ours", 0, 0.4)
    before, request = file.read_bytes(), requests(folder.experiment, folder.rows, only=["ours"], seeds=[0])[0]
    folder.work.mkdir()
    shards = built(folder.work / "given", GAMES, size_of(request.config()))
    monkeypatch.setattr(command, "check_models", lambda wanted: None)
    args = [
        folder.experiment.file,
        "--work",
        str(folder.work),
        "--out",
        str(folder.results),
        "--rows",
        "ours",
    ]
    args += ["--seeds", "0", "--shards"]
    assert command.run([*args, str(shards)]) == 0
    told = f"note: {file} is of the build 111111111111, and {shards} is 1111aaaa1111: its figures are of other frames"
    assert told in capsys.readouterr().err
    assert file.read_bytes() == before
    same = json.loads((shards / MANIFEST_NAME).read_text()) | {"build_id": json.loads(before)["build_id"]}
    (shards / MANIFEST_NAME).write_text(json.dumps(same))
    assert command.run([*args, str(shards)]) == 0
    # What is no build is told where it is needed.
    assert command.run([*args, str(folder.work / "none")]) == 0
    assert "note: " not in capsys.readouterr().err
