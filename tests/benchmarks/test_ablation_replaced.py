"""A record is not lost to a command line that makes less of its row, or another thing."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.ablation import __main__ as command
from benchmarks.ablation.plan import requests
from benchmarks.ablation.records import is_there
from benchmarks.ablation.replaced import refuse_replacing
from benchmarks.ablation.request import Request
from tests.benchmarks.conftest import WITH_BACKBONE, Folder, edited
from tracknet.utils.errors import UserError


def wanted(folder: Folder, *overrides: str, steps: int | None = None) -> list[Request]:
    rows = [row for row in ("ours", "wasb") if row in folder.rows]
    return requests(folder.experiment, folder.rows, only=rows, steps=steps, overrides=overrides)


def refused(folder: Folder, *overrides: str, steps: int | None = None) -> UserError:
    keys = [item.partition("=")[0] for item in overrides]
    with pytest.raises(UserError, match="would be lost to another request") as error:
        refuse_replacing(wanted(folder, *overrides, steps=steps), folder.results, steps=steps, keys=keys)
    return error.value


def test_another_number_of_steps_is_refused(folder: Folder) -> None:
    folder.put("ours", 0, 0.4)
    error = refused(folder, steps=2)
    assert error.problems == ("ours-s0.json: 400 steps, where 2 are asked for",)
    assert error.what == f"records in {folder.results} would be lost to another request"
    assert error.remedy == "name another folder with --out, or remove these records"
    assert refused(folder, steps=9000).problems == ("ours-s0.json: 400 steps, where 9000 are asked for",)
    # What was measured with the same words is there.
    folder.put("ours", 0, 0.4, steps=1000)
    refuse_replacing(wanted(folder, steps=1000), folder.results, steps=1000, keys=[])
    # Without a word on them a longer record is kept too, and a shorter one is not.
    assert refused(folder).problems == ("ours-s0.json: 1000 steps, where 400 are asked for",)
    folder.put("ours", 0, 0.4, steps=2)
    refuse_replacing(wanted(folder), folder.results, steps=None, keys=[])


def test_other_settings_are_refused(folder: Folder) -> None:
    folder.put("ours", 0, 0.4, options=["training.loss.name=focal"])
    folder.put("wasb", 0, 0.4, options=["training.loss.name=mse"])
    error = refused(folder, "training.loss.name=mse", "training.batch_size=2")
    assert error.problems == (
        "ours-s0.json: training.batch_size=4, training.loss.name=focal, where training.batch_size=2, "
        "training.loss.name=mse is asked for",
        "wasb-s0.json: training.batch_size=4, where training.batch_size=2 is asked for",
    )
    assert "training.loss.name=focal" in refused(folder, "training.loss={name: mse}").problems[0]


def test_what_the_command_line_of_a_record_set_is_not_lost_to_one_without(folder: Folder) -> None:
    folder.put("ours", 0, 0.4, options=["training.loss={name: mse}"])
    told = "ours-s0.json: training.loss.name=mse, where training.loss.name=quality_focal is asked for"
    assert refused(folder).problems == (told,)
    # Said again, with what changes no result beside it, it is there.
    again = ["training.loss.name=mse", "training.threads=7"]
    keys = ["training.loss.name", "training.threads"]
    refuse_replacing(wanted(folder, *again), folder.results, steps=None, keys=keys)


def test_stored_features_are_a_setting_too(tmp_path: Path) -> None:
    folder = Folder(tmp_path, WITH_BACKBONE)
    del folder.rows["wasb"]
    folder.put("ours", 0, 0.4, options=["data.features=here"])
    told = "ours-s0.json: stored features, where no stored features is asked for"
    assert refused(folder).problems == (told,)
    folder.put("ours", 0, 0.4)
    told = "ours-s0.json: no stored features, where stored features is asked for"
    assert refused(folder, "data.features=here").problems == (told,)


def test_what_has_changed_in_the_file_is_measured_anew(folder: Folder) -> None:
    folder.put("ours", 0, 0.4, options=["training.loss.name=mse"])
    (folder.results / "wasb-s0.json").write_text("{")
    edited(folder, "steps: 400", "steps: 500")
    edited(folder, '["data.resize=[512,288]"]', '["data.resize=[512,288]", training.batch_size=2]')
    request = wanted(folder, "training.loss.name=mse")[0]
    assert not is_there(folder.results / "ours-s0.json", request)
    refuse_replacing([request], folder.results, steps=None, keys=["training.loss.name"])
    # A file that takes the setting over loses nothing either.
    edited(folder, "batch_size=2", "batch_size=2, training.loss.name=mse")
    refuse_replacing(wanted(folder), folder.results, steps=None, keys=[])


def test_it_is_told_before_any_training(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "measure", lambda *_: pytest.fail("a row was trained"))
    kept = folder.put("ours", 0, 0.4).read_bytes()
    places = ["--out", str(folder.results), "--work", str(folder.work)]
    asked = [folder.experiment.file, "--rows", "wasb", "ours", *places]
    for more in (["--steps", "2"], ["training.loss.name=mse"], ["--input-size", "256", "144"]):
        with pytest.raises(UserError, match="would be lost to another request"):
            command.run([*asked, *more])
    assert (folder.results / "ours-s0.json").read_bytes() == kept
    # A rehearsal has nothing to lose.
    monkeypatch.setattr(command, "rendered", lambda work: work)
    monkeypatch.setattr(command, "measure", refuse_training)
    monkeypatch.setattr(command.Shards, "folder_of", lambda *_: Path())
    assert command.run([*asked, "--steps", "2", "--size", "toy"]) == 1


def refuse_training(*_: object) -> None:
    raise UserError("no training here")
