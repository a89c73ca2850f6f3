"""A record is known again by what can change its figures, in whatever words that is asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.ablation import measure
from benchmarks.ablation.plan import requests
from benchmarks.ablation.records import is_there
from benchmarks.ablation.request import Request, _composed
from tests.benchmarks.conftest import WITH_BACKBONE, Folder, edited, line
from tests.benchmarks.toy_builds import asked

MSE = "training.loss.name=mse"


def wanted(folder: Folder, *overrides: str, row: str = "ours", **more: Any) -> Request:
    given: dict[str, Any] = {"only": [row], "seeds": [0], "overrides": overrides, **more}
    (request,) = requests(folder.experiment, folder.rows, **given)
    return request


def rewritten(file: Path, text: str) -> None:
    """A config file, as a later process reads it."""
    file.write_text(text)
    _composed.cache_clear()


def without(file: Path, key: str, value: object = None) -> None:
    """A record whose request lacks a key, or has another value of it."""
    record = json.loads(file.read_text())
    del record["asked"][key]
    record["asked"] |= {} if value is None else {key: value}
    file.write_text(json.dumps(record))


def test_what_changes_no_result_asks_for_nothing_else(folder: Folder) -> None:
    file = folder.put("ours", 0, 0.4)
    plain = wanted(folder)
    for override in ("training.threads=7", "data.loader.workers=7", "training.device=cuda"):
        other = wanted(folder, override)
        assert other.fingerprint != plain.fingerprint
        assert is_there(file, other)
        assert other.name == plain.name
    others = [wanted(folder, MSE), wanted(folder, steps=9), wanted(folder, seeds=[1])]
    assert not any(is_there(file, other) for other in others)
    assert len({plain.name, *(other.name for other in others)}) == 4


def test_what_this_machine_says_reaches_a_run_that_goes_on(folder: Folder) -> None:
    request = wanted(folder, "training.threads=2", "training.device=cpu", "data.loader.workers=1")
    expected = ["training.device=cpu", "training.threads=2", "data.loader.workers=1", "data.features=null"]
    assert request.resume_options() == expected
    (folder.work / request.name).mkdir(parents=True)
    (folder.work / request.name / "run.json").touch()
    calls = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(measure, "call", lambda module, arguments, log: calls.append(arguments))
        measure._train(request, folder.work / request.name, folder.work, folder.work / "log")
    assert calls == [["--resume", str(folder.work / request.name), *expected]]


def test_where_features_and_a_backbone_lie_is_no_choice_of_the_row(tmp_path: Path) -> None:
    folder = Folder(tmp_path, WITH_BACKBONE)
    plain = wanted(folder)
    stored = [wanted(folder, f"data.features={place}") for place in ("/some/where", "elsewhere")]
    assert stored[0].name == stored[1].name != plain.name
    file = folder.put("ours", 0, 0.4, options=["data.features=/some/where"])
    assert [is_there(file, one) for one in (*stored, plain)] == [True, True, False]
    renamed = ["--data", "gone", *json.loads(file.read_text())["asked"]["options"][2:]]
    without(file, "options", renamed)
    assert [is_there(file, one) for one in (*stored, plain)] == [True, True, False]
    file = folder.put("ours", 0, 0.4, options=["data.features=/some/where"])
    # As one that was measured when the configuration was of the place too.
    without(file, "configuration", "0" * 64)
    assert is_there(file, stored[1])
    file = folder.put("ours", 0, 0.4)
    assert [is_there(file, one) for one in (*stored, plain)] == [False, False, True]
    same, other = (wanted(folder, f"model.backbone.name=/data/dinov2-{size}/") for size in ("small", "base"))
    assert (is_there(file, same), same.name) == (True, plain.name)
    assert not is_there(file, other)
    assert other.name != plain.name
    folder.put("ours", 0, 0.4, options=["model.backbone.name=/data/dinov2-small"])
    assert line(folder.table(), "ours")


def test_an_override_that_moves_to_the_whole_experiment_is_no_other_request(folder: Folder) -> None:
    batch = "training.batch_size=2"
    edited(folder, "detail_small}", f"detail_small, overrides: [{batch}, {MSE}]}}")
    file = folder.put("ours", 0, 0.4)
    edited(folder, f"[{batch}, {MSE}]", f"[{batch}]")
    edited(folder, '["data.resize=[512,288]"]', f'["data.resize=[512,288]", {MSE}]')
    assert wanted(folder).options() != json.loads(file.read_text())["asked"]["options"]
    assert is_there(file, wanted(folder))
    edited(folder, MSE, "training.loss.name=focal")
    assert not is_there(file, wanted(folder))


def test_config_files_that_come_to_the_same_are_no_others(folder: Folder) -> None:
    """Neither in what is trained anew nor in the table."""
    model, training = (folder.results.parent / f"{name}.yaml" for name in ("model", "training"))
    model.write_text("backbone: {name: none}\n")
    training.write_text("threads: 1\n")
    edited(folder, "training: cpu", f"training: {training}")
    edited(folder, "ours: {model: detail_small}", f"ours: {{model: {model}}}")
    file = folder.put("ours", 0, 0.4)
    rewritten(training, "threads: 2\n")
    assert is_there(file, wanted(folder))
    assert line(folder.table(), "ours")
    assert "config files have changed" not in folder.table()
    renamed = model.rename(model.with_name("renamed.yaml"))
    edited(folder, f"model: {model}", f"model: {renamed}")
    assert is_there(file, wanted(folder))
    assert "config files have changed" not in folder.table()
    rewritten(renamed, "backbone: {name: none}\ndecoder: {convolutions: 2}\n")
    assert not is_there(file, wanted(folder))
    assert "config files have changed" in folder.table()


def test_a_record_that_does_not_say_its_configuration_is_not_measured_again(folder: Folder) -> None:
    file = folder.put("ours", 0, 0.4)
    without(file, "configuration")
    assert is_there(file, wanted(folder))
    without(file, "fingerprint", "0" * 64)
    assert not is_there(file, wanted(folder))


def test_a_damaged_result_is_measured_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, request = tmp_path / "detail_small-s0.json", asked()
    for text in ('{"row":', "[]", '{"row": "detail_small"}', "\x00"):
        file.write_text(text)
        assert not is_there(file, request)
        assert f"{file} " in (told := capsys.readouterr().err)
        assert told.endswith("measured again\n")
    file.unlink()
    assert not is_there(file, request)
    assert not capsys.readouterr().err
