"""A table averages and compares only what was measured alike, and says of every row what it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import ablation
from benchmarks.ablation.experiment import read_experiment
from benchmarks.ablation.plan import requests
from benchmarks.ablation.results import Results
from benchmarks.ablation.table import table
from tests.benchmarks.conftest import WITH_BACKBONE, Folder, line

_OUTCOMES = {"tp": 3, "tn": 1, "fp1": 0, "fp2": 0, "fn": 1}
# Of any row: what it counted in each of two clips.
CLIPS: dict[str, Any] = {
    "breakdowns": {
        "clip": [{"value": clip, "frames": 5, "balls": 4, "f1": 0.86, **_OUTCOMES} for clip in ("a", "b")]
    }
}
RECORDS = Path(ablation.__file__).parents[1] / "results" / "ablation"
SHIPPED = sorted(file.parent.name for file in RECORDS.glob("*/table.md"))


@pytest.mark.parametrize(("key", "cell"), [("other", "2 of 15"), ("lasting", "2 of 15"), ("none", "")])
def test_false_alarms_apart_from_brief_absences(folder: Folder, key: str, cell: str) -> None:
    other = {"false_alarms": 2, "empty_frames": 15, "rate": 2 / 15}
    folder.put("ours", 0, 0.4, false_alarms={"rate": 0.1, "interval": None, "empty_frames": 20, key: other})
    head = [name.strip() for name in line(folder.table(), "row").split("|")]
    cells = [word.strip() for word in line(folder.table(), "ours").split("|")]
    assert cells[head.index("apart from brief absences")] == cell


def test_accuracy_is_beside_the_other_published_figures(folder: Folder) -> None:
    for seed, accuracy in ((0, 0.5), (1, 0.75)):
        record = json.loads((file := folder.put("ours", seed, 0.4)).read_text())
        record["protocols"]["wasb"] |= {"accuracy": accuracy}
        file.write_text(json.dumps(record))
    folder.put("wasb", 0, 0.3)
    text = folder.table()

    def cell(row: str) -> str:
        head, cells = ([word.strip() for word in one.split(" | ")] for one in (line(text, "row"), row))
        return cells[head.index("accuracy wasb")]

    one, other = (row for row in text.splitlines() if row.startswith("| ours | "))
    assert (cell(one), cell(other)) == ("50.0", "75.0")
    assert cell(line(text, "ours, mean ± deviation of 2 seeds")) == "62.5 ± 17.7"
    assert cell(line(text, "wasb")) == "-"


def test_decoders_have_a_table_of_their_own(folder: Folder) -> None:
    folder.put("ours", 0, 0.4)
    assert "PCK@5px" not in folder.table()
    for seed, dark in ((0, 0.5), (1, 0.6)):
        folder.put("ours", seed, 0.4, pck_5px_by_decoder={"argmax": 0.25, "dark": dark})
    folder.put("wasb", 0, 0.4, pck_5px_by_decoder={"argmax": None, "dark": 0.1})
    below = folder.table().partition("PCK@5px")[2].splitlines()
    assert below[2:] == [
        "| row | seed | argmax | dark |",
        "|---|---|---|---|",
        "| ours | 0 | 25.0 | 50.0 |",
        "| ours | 1 | 25.0 | 60.0 |",
        "| ours, mean ± deviation of 2 seeds |  | 25.0 ± 0.0 | 55.0 ± 7.1 |",
        "| wasb | 0 | - | 10.0 |",
    ]
    folder.put("wasb", 0, 0.4, pck_5px_by_decoder={"argmax": "many"})
    assert "- wasb-s0.json cannot be, with pck_5px_by_decoder.argmax=many" in folder.table()


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_tables_are_what_the_records_say(name: str) -> None:
    experiment, rows = read_experiment(name)
    shipped = RECORDS / name
    assert (
        table(experiment, rows, Results.read(experiment, rows, shipped)) == (shipped / "table.md").read_text()
    )


def test_a_rehearsal_says_what_it_is(folder: Folder) -> None:
    folder.put("ours", 0, 0.4)
    text = table(folder.experiment, folder.rows, folder.read(), rehearsal=True)
    assert text.startswith("**A rehearsal, no result.** ")
    assert "three rendered games of 12 frames" in text
    assert folder.experiment.about not in text
    assert folder.table().startswith("Some games.\n")


def test_where_there_are_no_empty_frames_the_table_says_so(folder: Folder) -> None:
    none = {"false_alarms": 0, "empty_frames": 0, "rate": None}
    folder.put("ours", 0, 0.4, false_alarms={**none, "interval": None, "other": none})
    assert line(folder.table(), "ours").count("| no such frames ") == 2
    assert "of 0" not in folder.table()


def test_steps_and_windows_are_those_that_were_taken(folder: Folder) -> None:
    folder.put("ours", 0, 0.4)
    folder.put("wasb", 0, 0.3)
    folder.put("long", 0, 0.5)
    assert "(val); 400 steps of 4 windows; long: 6000 steps of 4 windows. " in folder.table()
    for row in ("ours", "wasb", "long"):
        folder.put(row, 0, 0.4, steps=1000, options=["training.accumulate=2"])
    text = folder.table()
    assert "(val); 1000 steps of 8 windows. " in text
    assert "Of every row: training.accumulate=2." in text
    assert "400" not in text


def test_the_shipped_titles_state_no_steps() -> None:
    for name in ("badminton", "badminton_small", "tennis_wasb"):
        about = read_experiment(name)[0].about
        assert "steps" not in about
        assert "windows" not in about


def test_windows_of_an_older_record_are_worked_out_where_its_config_is_known(folder: Folder) -> None:
    file = folder.put("ours", 0, 0.4)
    record = json.loads(file.read_text())
    del record["windows_a_step"]
    file.write_text(json.dumps(record))
    assert "400 steps of 4 windows." in folder.table()
    record["asked"] |= {"fingerprint": "0" * 64, "configuration": "1" * 64}
    file.write_text(json.dumps(record))
    text = folder.table()
    assert "400 steps of an unknown number of windows." in text
    del record["asked"]["configuration"]
    file.write_text(json.dumps(record))
    assert "Of every row: config files have changed since (00000000)." in folder.table()


def test_only_seeds_of_one_request_are_averaged(folder: Folder) -> None:
    folder.put("ours", 0, 0.4)
    folder.put("ours", 1, 0.6)
    assert line(folder.table(), "ours, mean ± deviation of 2 seeds").split(" | ")[2] == "50.0 ± 14.1"
    file = folder.put("ours", 2, 0.9, steps=9000)
    strange = {**json.loads(file.read_text()), "build_id": "22" * 32, "frames": 77}
    strange["environment"] = {"processor": "another", "packages": {"torch": "2"}}
    file.write_text(json.dumps(strange))
    text = folder.table()
    assert "1240 frames of 3 clips" in text
    apart = "ours (9000 steps, shards 22222222, scored on 77 frames of 3 clips)"
    assert line(text, apart).split(" | ")[1:3] == ["2", "90.0"]
    assert line(text, "ours (400 steps), mean ± deviation of 2 seeds").split(" | ")[2] == "50.0 ± 14.1"
    assert "400 steps of 4 windows; ours seed 2: 9000 steps of 4 windows." in text
    assert "some, cpu in fp32, torch 2; ours seed 2: another, cpu in fp32, torch 2;" in text
    assert "3 seeds" not in text


def test_seeds_whose_config_files_have_changed_are_averaged_where_they_are_of_one_configuration(
    folder: Folder,
) -> None:
    def put(seed: int, configuration: str | None) -> None:
        for row in ("ours", "wasb"):
            record = json.loads((file := folder.put(row, seed, 0.4 + seed / 10)).read_text())
            record["asked"] |= {"fingerprint": f"{row}{seed}".ljust(64, "0"), "configuration": configuration}
            if configuration is None:
                del record["asked"]["configuration"]
            file.write_text(json.dumps(record))

    put(0, "a" * 64)
    put(1, "a" * 64)
    text = folder.table()
    assert line(text, "ours, mean ± deviation of 2 seeds")
    assert "Of every row: config files have changed since (aaaaaaaa)." in text
    put(1, "b" * 64)
    text = folder.table()
    assert line(text, "ours (config files have changed since (bbbbbbbb))")
    assert "mean" not in text
    # As records were before: of what configuration they are nobody knows.
    put(0, None)
    put(1, None)
    assert "mean" not in folder.table()
    results = folder.read()
    assert all(results.partner("wasb", one) is None for one in results.rows["ours"])


def test_a_configuration_is_what_seeds_and_lengths_of_a_training_share(folder: Folder) -> None:
    def of(seed: int, steps: int, *overrides: str) -> str:
        (one,) = requests(
            folder.experiment, folder.rows, only=["ours"], seeds=[seed], steps=steps, overrides=overrides
        )
        return one.configuration

    assert of(0, 5) == of(1, 9) == of(0, 5, "data.loader.workers=1")
    assert of(0, 5) != of(0, 5, "training.loss.name=mse")


def test_another_setting_is_named(folder: Folder) -> None:
    folder.put("ours", 0, 0.4)
    folder.put("wasb", 0, 0.4)
    folder.put("ours", 1, 0.4, options=["training.loss.name=mse", "training.threads=1"])
    text = folder.table()
    assert line(text, "ours (training.loss.name=mse)")
    assert "mean" not in text


def test_what_cannot_be_read_is_named_and_left_out(folder: Folder) -> None:
    folder.put("ours", 0, 0.4)
    (folder.results / "wasb-s0.json").write_text('{"row":')
    (folder.results / "gone-s0.json").write_text((folder.results / "ours-s0.json").read_text())
    folder.put("ours", 1, 0.4).rename(folder.results / "ours-s7.json")
    folder.put("long", 0, 0.4, protocols={})
    folder.put("long", 1, 0.4, asked={"options": [], "split": "val", "fingerprint": ""})
    text = folder.table()
    left_out = text.partition("Not in the table:\n")[2].splitlines()
    assert [one.split()[1] for one in left_out] == [
        "gone-s0.json",
        "long-s0.json",
        "long-s1.json",
        "ours-s7.json",
        "wasb-s0.json",
    ]
    assert "wasb-s0.json is no JSON" in text
    assert line(text, "ours")
    for file in folder.results.glob("*.json"):
        file.write_text("")
    assert folder.table().startswith("nothing has been measured yet\nNot in the table:\n")


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"parameters": None}, "parameters=None"),
        ({"optimistic_because": None}, "optimistic_because=None"),
        ({"optimistic_because": [1]}, "optimistic_because=[1]"),
        ({"asked": {"options": [1, 2], "split": "val", "fingerprint": ""}}, "asked.options=[1, 2]"),
        ({"false_alarms": {"rate": "x", "interval": [1], "empty_frames": 2}}, "false_alarms.rate=x"),
        ({"frames": True}, "frames=True"),
        ({"frames_per_s": float("inf")}, "frames_per_s=inf"),
        ({"train_s": -1}, "train_s=-1"),
        ({"parameters": 10**400}, "parameters=1000"),
        ({"clips": 0}, "clips=0"),
        (
            {"false_alarms": {"rate": 0.1, "interval": [0.5, 0.2], "empty_frames": 2}},
            "false_alarms.interval=[0.5, 0.2]",
        ),
        (
            {"false_alarms": {"rate": 0.1, "interval": None, "empty_frames": 1241}},
            "false_alarms.empty_frames=1241 of 1240 frames",
        ),
        (
            {
                "false_alarms": {
                    "rate": 0.1,
                    "interval": None,
                    "empty_frames": 20,
                    "other": {"false_alarms": 9, "empty_frames": 8},
                }
            },
            "false_alarms.other.false_alarms=9 on 8 frames",
        ),
        ({"differences": []}, "differences=[]"),
        ({"differences": {"wasb": {"seed": 0}}}, "differences={'wasb': {'seed': 0}}"),
        ({"caution": 3}, "caution=3"),
    ],
)
def test_a_record_that_is_half_wrong_is_named_and_the_others_stay(
    folder: Folder, wrong: dict[str, Any], named: str
) -> None:
    folder.put("wasb", 0, 0.4)
    folder.put("ours", 0, 0.4, **wrong)
    text = folder.table()
    assert line(text, "wasb")
    assert f"- ours-s0.json cannot be, with {named}" in text


@pytest.mark.parametrize(
    ("protocol", "key", "value", "named"),
    [
        ("wasb", "f1", float("nan"), "f1=nan"),
        ("wasb", "ap", 1.5, "ap=1.5"),
        ("design", "f1", -0.1, "f1=-0.1"),
        ("wasb", "accuracy", float("inf"), "accuracy=inf"),
        ("tracknetv2", "intervals", {"f1": [float("nan"), 1.0], "ap": None}, "intervals.f1=[nan, 1.0]"),
    ],
)
def test_a_figure_that_cannot_be_is_named(
    folder: Folder, protocol: str, key: str, value: object, named: str
) -> None:
    folder.put("wasb", 0, 0.4)
    record = json.loads((file := folder.put("ours", 0, 0.4)).read_text())
    record["protocols"][protocol][key] = value
    file.write_text(json.dumps(record))
    text = folder.table()
    assert line(text, "wasb")
    assert f"- ours-s0.json cannot be, with protocols.{protocol}.{named}" in text


def test_a_record_whose_options_say_no_steps_is_named(folder: Folder) -> None:
    folder.put("wasb", 0, 0.4)
    record = json.loads((file := folder.put("ours", 0, 0.4)).read_text())
    options = record["asked"]["options"]
    for wrong in ([one for one in options if "max_steps" not in one], options[:1]):
        file.write_text(json.dumps({**record, "asked": {**record["asked"], "options": wrong}}))
        text = folder.table()
        assert line(text, "wasb")
        assert "- ours-s0.json is damaged (" in text


def test_a_figure_that_is_not_defined_is_in_no_mean(folder: Folder) -> None:
    folder.put("wasb", 0, 0.3)
    folder.put("tracknet_v2", 0, 0.2)
    folder.put("ours", 0, 0.4)
    record = json.loads((file := folder.put("ours", 1, 0.6)).read_text())
    record["protocols"]["wasb"] |= {"f1": None}
    file.write_text(json.dumps(record))
    assert line(folder.table(), "ours, mean ± deviation of 2 seeds").split(" | ")[2:5] == [
        "-",
        "",
        "50.0 ± 14.1",
    ]
    assert "from wasb, of the same seed" in folder.table()
    record = json.loads((file := folder.put("wasb", 0, 0.3)).read_text())
    record["protocols"]["wasb"] |= {"f1": None}
    file.write_text(json.dumps(record))
    assert "from tracknet_v2, of the same seed" in folder.table()


def test_where_features_are_stored_is_no_choice_of_the_row(tmp_path: Path) -> None:
    folder = Folder(tmp_path, WITH_BACKBONE)
    folder.put("wasb", 0, 0.3, **CLIPS)
    folder.put("wasb", 1, 0.3, **CLIPS)
    for seed, place in enumerate(("/some/where", "other/place")):
        folder.put(
            "ours", seed, 0.4, options=[f"data.features={place}", "model.backbone.name=/a/FOLDER"], **CLIPS
        )
    text = folder.table()
    # Two seeds of one request, each beside the reference's, whose request has none.
    title = "ours (model.backbone.name=FOLDER, stored features)"
    cells = [row.split(" | ")[3] for row in text.splitlines() if row.startswith(f"| {title}")][:3]
    assert cells == ["+0.0 [+0.0, +0.0]"] * 3
    assert line(text, f"{title}, mean ± deviation of 2 seeds")


def test_a_difference_from_a_row_of_other_steps_says_so(folder: Folder) -> None:
    folder.put("wasb", 0, 0.3, **CLIPS)
    folder.put("ours", 0, 0.4, **CLIPS)
    folder.put("long", 0, 0.4, **CLIPS)
    text = folder.table()
    assert line(text, "ours").split(" | ")[3] == "+0.0 [+0.0, +0.0]"
    assert line(text, "long").split(" | ")[3] == "+0.0 [+0.0, +0.0], 6000 steps against 400"


def test_a_difference_of_means_is_from_seeds_of_one_length(folder: Folder) -> None:
    for seed in (0, 1):
        folder.put("wasb", seed, 0.3, **CLIPS)
        folder.put("long", seed, 0.4, **CLIPS)
    mean = "long, mean ± deviation of 2 seeds"
    assert line(folder.table(), mean).split(" | ")[3] == "+0.0 [+0.0, +0.0], 6000 steps against 400"
    folder.put("wasb", 1, 0.3, steps=6000, **CLIPS)
    text = folder.table()
    cells = [one.split(" | ")[3] for one in text.splitlines() if one.startswith("| long |")][:2]
    # Each seed has its own partner; their mean is of no row.
    assert cells == ["+0.0 [+0.0, +0.0], 6000 steps against 400", "+0.0 [+0.0, +0.0]"]
    assert line(text, mean).split(" | ")[3] == ""


def test_one_is_no_plural(folder: Folder) -> None:
    folder.put("ours", 0, 0.4, steps=1, options=["training.batch_size=1"], frames=20, clips=1)
    assert "\n20 frames of 1 clip (val); 1 step of 1 window. " in folder.table()
    folder.put("ours", 1, 0.4, steps=1, options=["training.batch_size=1"], frames=20, clips=1)
    folder.put("wasb", 0, 0.4, options=["training.batch_size=1"], frames=30, clips=2)
    assert line(folder.table(), "wasb (scored on 30 frames of 2 clips)")


def test_what_was_chosen_on_the_scored_frames_is_said_of_the_rows(folder: Folder) -> None:
    folder.put("ours", 0, 0.4)
    folder.put("wasb", 0, 0.4)
    folder.put("long", 0, 0.4, optimistic_because=[])
    told = (
        "\nChosen on the frames that are scored, so that the figures are optimistic: threshold; long: none.\n"
    )
    assert told in folder.table()


def test_only_what_was_measured_alike_is_compared(folder: Folder) -> None:
    folder.put("wasb", 0, 0.3)
    for row in ("ours", "long", "tracknet_v2"):
        folder.put(row, 0, 0.4)
    folder.put("other_size", 0, 0.4, build_id="33" * 32)

    def partner(row: str) -> bool:
        results = folder.read()
        (one,) = results.rows[row]
        return results.partner("wasb", one) is not None

    assert all(partner(row) for row in ("ours", "long", "tracknet_v2", "other_size"))
    assert not partner("wasb")
    folder.put("ours", 0, 0.4, build_id="22" * 32)
    assert not partner("ours")
    folder.put("ours", 0, 0.4, frames=77)
    assert not partner("ours")
    folder.put("ours", 0, 0.4, steps=1000)
    assert not partner("ours")
    folder.put("ours", 0, 0.4, options=["training.batch_size=2"])
    assert not partner("ours")
    folder.put("wasb", 0, 0.4, options=["training.batch_size=2"])
    assert partner("ours")
    assert not partner("long")


@pytest.mark.parametrize(
    ("name", "is_own"), [("dinov2-small", True), ("FOLDER", True), ("dinov2-base", False)]
)
def test_another_backbone_is_not_the_same_weights_from_a_folder(
    tmp_path: Path, name: str, is_own: bool
) -> None:
    folder = Folder(tmp_path, WITH_BACKBONE)
    folder.put("wasb", 0, 0.3)
    folder.put("ours", 0, 0.4, options=[f"model.backbone.name=/data/{name}"])
    results = folder.read()
    assert (results.partner("wasb", results.rows["ours"][0]) is not None) == is_own
