"""What the ablation trains on is what its table says, and what it reports is what it has just measured."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.ablation import __main__ as command
from benchmarks.ablation import commands, measure, options, records
from benchmarks.ablation import shards as shard_folders
from benchmarks.ablation.experiment import read_experiment
from benchmarks.ablation.plan import Request, requests, unused
from benchmarks.ablation.record_file import PROTOCOLS
from benchmarks.ablation.shards import Shards
from benchmarks.ablation.sizes import check_models, size_of
from tests.benchmarks.conftest import Folder
from tracknet.datasets.manifest import Manifest
from tracknet.datasets.schema import MANIFEST_NAME
from tracknet.training.evaluation_folder import place_for
from tracknet.training.run_folder import RunFolder
from tracknet.utils.errors import RunError, UserError
from tracknet.utils.geometry import Size

BUILD_ID = "1111aaaa" * 8
GAMES = {"train": [f"match{n}" for n in (1, 2, 3, 4, 5, 7)], "val": ["match6", "match8"]}


def built(folder: Path, games: dict[str, list[str]], size: Size = Size(512, 288)) -> Path:
    """As much of a build as is looked at: its manifest."""
    manifest = Manifest(
        build_id=BUILD_ID,
        image_size=size,
        config={},
        games=games,
        shards=(),
        index_sha256="0" * 64,
        totals={},
    )
    folder.mkdir()
    (folder / MANIFEST_NAME).write_text(manifest.to_json())
    return folder


def trained(request: Request, work: Path, *, build_id: str = BUILD_ID) -> Path:
    """As much of a run with a checkpoint as is looked at, of shards in `work` that are there too."""
    if not (work / "shards").exists():
        built(work / "shards", GAMES)
    run = work / request.name
    (run / "checkpoints" / "last").mkdir(parents=True)
    (run / "run.json").write_text(json.dumps({"dataset": {"build_id": build_id}}))
    return run


def asked(experiment: str = "badminton", *overrides: str) -> Request:
    (request,) = requests(*read_experiment(experiment), only=["detail_small"], seeds=[0], overrides=overrides)
    return request


def test_a_build_of_the_rows_games_is_taken(tmp_path: Path) -> None:
    shards = built(tmp_path / "shards", GAMES)
    assert Shards(shards, None, tmp_path).folder_of(asked()) == shards
    assert Shards(shards, None, tmp_path).folder_of(asked("badminton", "data.val_games=[6,8]")) == shards
    # Without a word on them the last fifth are the validation's.
    last = built(tmp_path / "last", {"train": GAMES["train"], "val": ["match8", "match9"]})
    request = asked("badminton", "data.val_games=null")
    assert Shards(last, None, tmp_path).folder_of(request) == last


def test_a_build_of_other_games_is_refused(tmp_path: Path) -> None:
    other = {"train": [f"match{n}" for n in range(1, 7)], "val": ["match7", "match8"]}
    shards = built(tmp_path / "shards", other)
    # Also where others could be built: whoever names shards wants these.
    for root in (None, tmp_path):
        with pytest.raises(UserError, match="holds other games than the row detail_small") as refused:
            Shards(shards, root, tmp_path).folder_of(asked())
        assert refused.value.problems == (
            "train: match1, match2, match3, match4, match5, match6 where the row asks for "
            "match1, match2, match3, match4, match5, match7",
            "val: match7, match8 where the row asks for match6, match8",
        )
    tested = built(
        tmp_path / "tested", {"train": GAMES["train"][1:], "val": GAMES["val"], "test": ["match1"]}
    )
    with pytest.raises(UserError) as refused:
        Shards(tested, None, tmp_path).folder_of(asked())
    assert "test: match1 where the row asks for none" in refused.value.problems
    lacking = built(tmp_path / "lacking", {"train": ["match1"], "val": ["match6"]})
    with pytest.raises(UserError, match="not all there"):
        Shards(lacking, None, tmp_path).folder_of(asked())


def test_a_build_of_another_size_is_left_aside(tmp_path: Path) -> None:
    shards = built(tmp_path / "shards", GAMES, Size(640, 352))
    with pytest.raises(UserError, match="needs shards of 512x288"):
        Shards(shards, None, tmp_path).folder_of(asked())
    with pytest.raises(UserError, match="holds no finished build"):
        Shards(tmp_path, None, tmp_path).folder_of(asked())


def test_a_row_is_known_by_what_is_not_a_default() -> None:
    known = asked().fingerprint
    assert asked("badminton", "model.decoder.convolutions=1", "training.ema=null").fingerprint == known
    others = ["model.decoder.convolutions=2", "training.ema=0.9", "model.decoder.channels=[C,64,32,8]"]
    assert len({known, *(asked("badminton", other).fingerprint for other in others)}) == 4


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


def test_a_damaged_result_is_measured_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, wanted = tmp_path / "detail_small-s0.json", asked()
    for text in ('{"row":', "[]", '{"row": "detail_small"}', "\x00"):
        file.write_text(text)
        assert not records.is_there(file, wanted)
        assert f"{file} " in (told := capsys.readouterr().err)
        assert told.endswith("measured again\n")
    file.unlink()
    assert not records.is_there(file, wanted)
    assert not capsys.readouterr().err


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


def test_the_tennis_experiment_scores_one_training_in_both_ways() -> None:
    made = {(one.row, one.seed): one for one in requests(*read_experiment("tennis_wasb"))}
    for every, alone, seeds in (("wasb", "wasb_one_pass", 3), ("vit_every_frame", "vit_one_pass", 1)):
        for seed in range(seeds):
            both = made[every, seed], made[alone, seed]
            assert [one.overlap for one in both] == ["mean", "none"]
            assert both[0].name == both[1].name
            assert both[0].config().model.head.maps == "all"


@pytest.mark.parametrize(
    ("name", "epoch_steps"), [("badminton", 847), ("badminton_small", 1695), ("tennis_wasb", 1500)]
)
def test_no_experiment_warms_up_for_long(name: str, epoch_steps: int) -> None:
    """Of about so many steps an epoch."""
    for request in requests(*read_experiment(name)):
        training = request.config().training
        assert training.max_steps is not None
        assert training.scheduler.warmup_epochs * epoch_steps <= 0.1 * training.max_steps


@pytest.mark.parametrize("steps", ["0", "-3"])
def test_no_steps_are_refused(steps: str) -> None:
    with pytest.raises(UserError) as refused:
        options.parse(["badminton", "--steps", steps])
    assert refused.value.problems == (f"--steps must be at least 1, got {steps}",)
    with pytest.raises(UserError, match="max_steps"):
        requests(*read_experiment("badminton"), only=["detail_small"], steps=int(steps))


def test_a_rehearsal_takes_the_steps_it_is_told() -> None:
    def steps(given: int | None) -> int | None:
        experiment, rows = read_experiment("badminton")
        (request,) = requests(experiment, rows, only=["detail_small"], seeds=[0], steps=given, toy=True)
        return request.config().training.max_steps

    assert (steps(None), steps(5)) == (2, 5)


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("training.seed=5", "training.seed cannot be set here; say `{}` {} instead"),
        ("training.max_steps=7", "training.max_steps cannot be set here; say `{}` {} instead"),
        ("training.max_steps=null", "training.max_steps cannot be set here; say `{}` {} instead"),
        ("training={seed: 5}", "training.seed cannot be set here; say `{}` {} instead"),
    ],
)
def test_the_seed_and_the_steps_have_one_place(tmp_path: Path, override: str, told: str) -> None:
    field, command = ("seeds: [N]", "--seeds N") if "seed" in override else ("steps: N", "--steps N")
    with pytest.raises(UserError) as refused:
        asked("badminton", override)
    assert refused.value.problems == (told.format(command, "on the command line"),)
    file = tmp_path / "some.yaml"
    file.write_text(json.dumps({"rows": {"a": {"model": "wasb", "overrides": [override]}}}))
    with pytest.raises(UserError) as refused:
        read_experiment(str(file))
    assert told.format(field, "in the row") in str(refused.value)
    file.write_text(json.dumps({"overrides": [override], "rows": {"a": {"model": "wasb"}}}))
    with pytest.raises(UserError) as refused:
        read_experiment(str(file))
    assert told.format(field, "in the experiment") in str(refused.value)


def test_a_row_has_the_steps_of_its_base(tmp_path: Path) -> None:
    file = tmp_path / "some.yaml"
    file.write_text(
        "steps: 3000\noverrides: ['data.resize=[512,288]']\n"
        "rows:\n  short: {model: wasb, steps: 600}\n  based: {base: short}\n"
        "  own: {base: based, steps: 50}\n  other: {model: wasb}\n"
    )
    made = {one.row: one.config().training.max_steps for one in requests(*read_experiment(str(file)))}
    assert made == {"short": 600, "based": 600, "own": 50, "other": 3000}


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


def test_weights_of_no_chosen_row_are_told() -> None:
    weights = {"facebook/dinov2-small": "here", "facebook/dinov2-smal": "there"}
    made = requests(*read_experiment("badminton"), only=["dinov2_small", "wasb"], seeds=[0], weights=weights)
    assert unused(weights, made) == ["facebook/dinov2-smal"]


def test_where_a_backbone_lies_is_no_part_of_what_is_asked_for() -> None:
    """A record of one machine is the row's on another, and its table says nothing of folders."""
    asked: dict[str, Any] = {"only": ["dinov2_small", "wasb"], "seeds": [0]}
    hub = requests(*read_experiment("badminton"), **asked)
    here = requests(*read_experiment("badminton"), **asked, weights={"facebook/dinov2-small": "/data/dinov2"})
    assert hub == here
    assert [one.name for one in hub] == [one.name for one in here]
    assert [records.asked_of(one) for one in hub] == [records.asked_of(one) for one in here]
    assert {one.row: one.train_options()[len(one.options()) :] for one in here} == {
        "dinov2_small": ["model.backbone.name=/data/dinov2"],
        "wasb": [],
    }


def test_shards_are_built_once_for_a_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Sequence[str]] = []
    monkeypatch.setattr(shard_folders, "call", lambda module, arguments, log: calls.append(arguments))
    shards = Shards(None, tmp_path, tmp_path)
    # A longer window is read out of the same shards.
    for overrides in ((), ("data.sequence.length=5", "data.augment.warp_prob=1.0")):
        folder = shards.folder_of(asked("badminton", *overrides))
        assert folder == tmp_path / "shards-512x288"
    assert len(calls) == 1
    shards.folder_of(asked("badminton", "data.resize=[256,144]"))
    assert [Path(call[3]).name for call in calls] == ["shards-512x288", "shards-256x144"]

    def fail(module: str, arguments: Sequence[str], log: Path | None) -> None:
        calls.append(arguments)
        raise RunError("the disk is full")

    monkeypatch.setattr(shard_folders, "call", fail)
    failing = Shards(None, tmp_path, tmp_path)
    for told in ("the disk is full", "could not be built, as an earlier row was told"):
        with pytest.raises(UserError, match=told):
            failing.folder_of(asked())
    assert len(calls) == 3


def test_another_input_size_reaches_what_follows_from_it(capsys: pytest.CaptureFixture[str]) -> None:
    args = options.parse(
        ["badminton", "--input-size", "640", "352", "--rows", "detail_small", "dinov2_small"]
    )
    assert args.input_size == Size(640, 352)
    made = requests(*read_experiment("badminton"), only=args.rows, seeds=[0], input_size=args.input_size)
    sizes = {one.row: (one.config().data.resize, one.config().model.heatmap.size) for one in made}
    # Half the picture's size; and 8 cells of each patch of 14 pixels.
    assert sizes["detail_small"] == (Size(640, 352), Size(320, 176))
    assert sizes["dinov2_small"] == (Size(644, 350), Size(368, 200))
    assert all("data.resize=[6" in " ".join(one.options()) for one in made)
    check_models(made)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--input-size", "650", "360"], "multiples of 16, got 650 360: say 656 352"),
        (["--input-size", "640", "352", "--size", "toy"], "a rehearsal has a size of its own"),
        (
            ["--input-size", "640", "352", "data.resize=[512,288]"],
            "sets data.resize: leave out that override",
        ),
    ],
)
def test_sizes_that_cannot_be_meant_are_refused(more: list[str], told: str) -> None:
    with pytest.raises(UserError) as refused:
        options.parse(["badminton", *more])
    assert told in str(refused.value)


def test_rows_whose_sizes_do_not_fit_are_all_told_before_any_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "measure", lambda *_: pytest.fail("a row was trained"))
    arguments = ["badminton", "--rows", "detail_small", "wasb", "detail_frames", "--work", str(tmp_path)]
    with pytest.raises(UserError, match="not every row's model can be built") as refused:
        command.run([*arguments, "--out", str(tmp_path / "out"), "model.heatmap.size=[100,50]"])
    assert [problem.partition(":")[0] for problem in refused.value.problems] == [
        "detail_small",
        "wasb",
        "detail_frames",
    ]
