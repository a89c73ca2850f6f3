"""The train commands as a person meets them: both spellings, the dry run, and every wrong request."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tracknet.scripts import train
from tracknet.training.run_folder import RunFolder
from tracknet.utils.errors import EXIT_DONE, EXIT_FAILED, EXIT_WRONG_REQUEST, cli_main


def refused(capsys: pytest.CaptureFixture[str], args: list[str], *, code: int = EXIT_WRONG_REQUEST) -> str:
    """The message of a request that is refused, without a traceback."""
    capsys.readouterr()
    assert cli_main(train.run, args) == code
    message = capsys.readouterr().err
    assert message.startswith("error: ")
    assert "Traceback" not in message
    return message


def test_dry_run_reports_and_writes_nothing(small_train_args: list[str], tmp_path: Path, capsys):
    before = sorted(tmp_path.rglob("*"))
    assert train.run([*small_train_args, "--dry-run"]) == EXIT_DONE
    out = capsys.readouterr().out
    assert "uint8   [4, 3, 3, 48, 96]  [B, T, 3, H, W]" in out
    assert "float16 [4, 1, 24, 48]  [B, M, h, w]" in out
    assert "8 batches an epoch" in out
    # Not the plan's 16 or 24: no more than there are batches.
    assert "order       8 lanes," in out
    for word in ("parameters", "memory", "estimate", "nothing was written"):
        assert word in out
    assert sorted(tmp_path.rglob("*")) == before


def test_a_dry_run_counts_decodes_of_every_second_window(small_train_args: list[str], capsys):
    """16 windows of 3 frames bring 2 new ones each, and share 1 that a cut makes be read again; never more than 3."""
    plan = ["data.filter.every=2", "data.loader.run_length=8", "data.loader.lanes=1"]
    assert train.run([*small_train_args, *plan, "--dry-run"]) == EXIT_DONE
    # 2 + 1 * (1/8 + 1 * 4 / 16)
    assert "about 2.38 decodes per window" in capsys.readouterr().out


def test_batch_norm_says_of_how_many_windows_its_statistics_are(small_train_args: list[str], capsys):
    args = [arg for arg in small_train_args if not arg.startswith("model.")]
    args[args.index("vit_tiny")] = "wasb"
    args += ["model.heatmap.size=[96,48]", "data.resize=[96,48]", "--dry-run"]
    note = "note: wasb has batch norm, whose statistics are of 2 windows at a time here and not of a step's 4"
    assert train.run([*args, "training.micro_batch=2"]) == EXIT_DONE
    assert note in capsys.readouterr().out
    assert train.run(args) == EXIT_DONE
    assert "batch norm" not in capsys.readouterr().out


def test_shards_may_be_named_as_files(small_train_args: list[str], small_shards: Path, capsys):
    count = len(list(small_shards.glob("train-*.tar")))
    for pattern in (
        f"train-{{000..{count - 1:03d}}}.tar",
        f"train-<000..{count - 1:03d}>.tar",
        "train-*.tar",
    ):
        args = [str(small_shards / pattern), *without_shards(small_train_args)]
        assert train.run([*args, "--dry-run"]) == EXIT_DONE
        assert f"32 frames in {count} shards" in capsys.readouterr().out


def without_shards(arguments: list[str]) -> list[str]:
    return [argument for argument in arguments if not argument.startswith("data.shards=")]


def test_the_shards_named_last_are_read_and_two_ways_refused(
    small_train_args: list[str], small_shards: Path, tmp_path: Path, capsys
):
    there = str(small_shards / "train-*.tar")
    args = [*without_shards(small_train_args), "--name", "a", "training.max_steps=1"]
    assert train.run([there, *args]) == EXIT_DONE
    other = copy_shards(small_shards, tmp_path)
    manifest = json.loads((other / "manifest.json").read_text())
    (other / "manifest.json").write_text(json.dumps({**manifest, "build_id": "0" * 64}))
    resume = ["--resume", str(tmp_path / "runs" / "a"), "training.max_steps=2"]
    # The run began with files; those it must not go on reading.
    for again in (f"data.shards={other}", f"data={{shards: {other}}}"):
        assert "the shards are of build 000000000000" in refused(capsys, [*resume, again])
    assert train.run([*resume, f"data.shards={small_shards}"]) == EXIT_DONE
    _, config = RunFolder.open(tmp_path / "runs" / "a")
    assert (config.data.shards, config.data.files) == (str(small_shards), None)

    mix = f"data.sources=[{{shards: {other}}}]"
    # Nor beside sources: those are read, and are of another build.
    assert train.run([there, *args[:-3], "--name", "b", "training.max_steps=1"]) == EXIT_DONE
    files_before = ["--resume", str(tmp_path / "runs" / "b"), "training.max_steps=2"]
    assert "the shards are of build 000000000000" in refused(capsys, [*files_before, mix])
    again = f"data.sources=[{{shards: {small_shards}}}]"
    assert train.run([*files_before, again]) == EXIT_DONE
    assert train.run([*files_before, again]) == EXIT_DONE
    assert f"nothing was done with training.max_steps=2 {again}" in capsys.readouterr().out
    for two, named in (
        ([there, f"data.shards={other}"], "the shards on the command line and data.shards"),
        ([f"data.files=[{there}]", f"data.shards={other}"], "data.files and data.shards"),
        ([f"data.shards={other}", mix], "data.shards and data.sources"),
        ([there, mix], "the shards on the command line and data.sources"),
    ):
        message = refused(capsys, [*args, "--dry-run", *two])
        assert f"shards are named twice: {named}\n  remedy: leave out all but one" in message
        assert "shards are named twice" in refused(capsys, [*resume, *two])


def test_both_modules_are_one_command(small_train_args: list[str], small_shards: Path, tmp_path: Path):
    command = [
        sys.executable,
        "-m",
        "tracknet.train",
        str(small_shards / "train-{000..001}.tar"),
        *without_shards(small_train_args),
    ]
    done = subprocess.run(
        [*command, "--name", "a", "training.max_steps=1"], capture_output=True, text=True, check=False
    )
    assert done.returncode == EXIT_DONE, done.stderr
    assert (tmp_path / "runs" / "a" / "checkpoints" / "best" / "model" / "model.safetensors").is_file()


def test_a_run_that_exists_is_refused(small_train_args: list[str], tmp_path: Path, capsys):
    folder = tmp_path / "runs" / "mine"
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_text("precious")
    message = refused(capsys, [*small_train_args, "--name", "mine"])
    assert f"{folder} exists already" in message
    assert "--resume" in message
    assert (folder / "notes.txt").read_text() == "precious"


def test_a_run_that_is_being_trained_is_not_gone_on_with(small_train_args: list[str], tmp_path: Path, capsys):
    assert train.run([*small_train_args, "--name", "busy", "training.max_steps=1"]) == EXIT_DONE
    folder = tmp_path / "runs" / "busy"
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with RunFolder(folder).lock(print):
        message = refused(capsys, ["--resume", str(folder), "training.max_steps=2"])
    assert f"{folder}: another training is writing there: process {os.getpid()}, since " in message
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    # One that is just beginning has written nothing yet.
    with RunFolder(tmp_path / "runs" / "new").lock(print):
        message = refused(capsys, [*small_train_args, "--name", "new", "training.max_steps=1"])
    assert "another training is writing there" in message
    assert train.run(["--resume", str(folder), "training.max_steps=2"]) == EXIT_DONE


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("training.optimizer.lrr=1", ["training.optimizer.lrr", "did you mean training.optimizer.lr?"]),
        ("heatmap.size=[48,24]", ["did you mean model.heatmap.size?"]),
        ("training.optimizer.lr=-1", ["training.optimizer.lr", "must be above 0"]),
        ("model.heatmap.size=[50,24]", ["[50,24]", "model.heatmap.size=[48,24]"]),
        ("data.resize=[100,48]", ["100x48", "data.resize=[96,48]"]),
        ("data.resize=[48,48]", ["[48,24]", "model.heatmap.size=[24,24]"]),
        ("model.backbone.config.patch_size=13", ["13x13", "multiples of 13"]),
        ("training.batch_size=64", ["64", "at most 32"]),
        ("training.accumulate=9", ["training.accumulate=9", "at most 8"]),
        ("training.amp=fp16", ["fp16", "bf16"]),
        ("training.device=nonsense", ["nonsense", "auto"]),
        ("data.shards=nowhere", ["nowhere", "build_shards"]),
        ("training.init_from=nowhere", ["nowhere", "holds no model"]),
    ],
)
def test_wrong_requests(small_train_args: list[str], tmp_path: Path, capsys, override: str, words: list[str]):
    message = refused(capsys, [*small_train_args, "--name", "wrong", override])
    assert all(word in message for word in words), message
    assert not (tmp_path / "runs").exists()


def test_shards_of_another_size_are_refused_with_both(small_train_args: list[str], capsys):
    message = refused(capsys, [*small_train_args, "data.resize=[192,96]", "model.heatmap.size=[96,48]"])
    assert "hold frames of 96x48, the model takes 192x96" in message
    assert "data.resize=[96,48]" in message
    assert "build_shards" in message


def test_all_faults_of_a_configuration_at_once(small_train_args: list[str], capsys):
    message = refused(
        capsys, [*small_train_args, "training.epochs=0", "data.sequence.lenght=3", "model.head.maps=two"]
    )
    for word in (
        "3 problems",
        "training.epochs",
        "did you mean data.sequence.length?",
        "'two' is none of one, all",
    ):
        assert word in message


def test_a_gated_model_without_a_network_names_the_ways_out(small_train_args: list[str], capsys):
    args = [
        "--model",
        "vit_heatmap",
        *[a for a in small_train_args[2:] if not a.startswith("model.backbone.config")],
    ]
    message = refused(capsys, args)
    assert "facebook/dinov3-vitb16-pretrain-lvd1689m" in message
    for way in ("hf auth login", "model.backbone.name=", "model.backbone.pretrained=false"):
        assert way in message


def copy_shards(small_shards: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(small_shards, tmp_path / "shards"))


def test_missing_and_cut_shards_are_named(
    small_train_args: list[str], small_shards: Path, tmp_path: Path, capsys
):
    folder = copy_shards(small_shards, tmp_path)
    (folder / "train-000.tar").unlink()
    cut = folder / "train-001.tar"
    cut.write_bytes(cut.read_bytes()[:-1024])
    message = refused(capsys, [*small_train_args, f"data.shards={folder}"], code=EXIT_FAILED)
    assert "2 of 2 shards" in message
    assert "train-000.tar is missing" in message
    assert (
        f"train-001.tar has {cut.stat().st_size:,} bytes, its manifest says {cut.stat().st_size + 1024:,}"
        in message
    )
    message = refused(capsys, [str(folder / "train-<000..001>.tar"), *without_shards(small_train_args)])
    assert "train-000.tar: no such file" in message


def test_a_flipped_byte_stops_the_training_and_loses_nothing(
    small_train_args: list[str], small_shards: Path, tmp_path: Path, capsys
):
    folder = copy_shards(small_shards, tmp_path)
    shard = folder / "train-000.tar"
    whole = shard.read_bytes()
    content = bytearray(whole)
    # In the shard's last picture, so that a few steps are taken before it is met.
    content[content.rindex(b"\xff\xd8\xff") + 700] ^= 0x10
    shard.write_bytes(content)
    few_lanes = ["data.loader.lanes=1", "data.loader.run_length=1000", "data.loader.workers=1"]
    args = [*small_train_args, *few_lanes, f"data.shards={folder}", "--name", "flip"]
    message = refused(capsys, args, code=EXIT_FAILED)
    assert "train-000.tar: game1_Clip" in message
    assert "checksum" in message
    run = tmp_path / "runs" / "flip"
    assert (run / "checkpoints" / "last" / "training_state" / "state.json").is_file()
    shard.write_bytes(whole)
    assert train.run(["--resume", str(run)]) == EXIT_DONE


def test_a_run_that_skips_goes_on_without_a_shard(
    small_train_args: list[str], small_shards: Path, tmp_path: Path, capsys
):
    folder = copy_shards(small_shards, tmp_path)
    args = [*small_train_args, f"data.shards={folder}", "--name", "skips", "training.max_steps=1"]
    assert train.run(args) == EXIT_DONE
    (folder / "train-001.tar").unlink()
    resume = ["--resume", str(tmp_path / "runs" / "skips"), "training.max_steps=2"]
    assert "train-001.tar is missing" in refused(capsys, resume, code=EXIT_FAILED)
    skip = ["data.loader.on_bad_frame=skip", "data.loader.max_bad_frames=99"]
    assert train.run([*resume, *skip]) == EXIT_DONE
    said = capsys.readouterr()
    assert said.out.count("1 of 2 shards are not what was built: ") == 1
    assert said.err.count("train-001.tar") == 1
    # A figure over other frames is no validation that the best one so far could be compared with.
    lost = folder / "val-000.tar"
    lost.unlink()
    message = refused(capsys, [*resume, *skip, "training.max_steps=3"], code=EXIT_FAILED)
    assert f"{lost} is missing" in message


def test_a_complete_run_names_the_shards_that_it_did_not_read(
    small_train_args: list[str], small_shards: Path, tmp_path: Path, capsys
):
    assert train.run([*small_train_args, "--name", "done", "training.max_steps=1"]) == EXIT_DONE
    shards = str(small_shards / "train-*.tar")
    assert train.run(["--resume", str(tmp_path / "runs" / "done"), shards]) == EXIT_DONE
    assert f"is complete, and nothing was done with {shards}; raise" in capsys.readouterr().out


def test_a_name_is_no_path(small_train_args: list[str], capsys):
    for name in ("../escape", "/tmp", ".."):
        assert "no plain folder name" in refused(capsys, [*small_train_args, "--name", name])


def test_a_run_folder_that_cannot_be_written(small_train_args: list[str], tmp_path: Path, capsys):
    (tmp_path / "file").write_text("")
    message = refused(capsys, [*small_train_args, f"training.log_dir={tmp_path / 'file'}"], code=EXIT_FAILED)
    assert "choose another folder" in message


def test_resume_of_what_is_no_run(tmp_path: Path, capsys):
    assert "is no run" in refused(capsys, ["--resume", str(tmp_path)])
    assert "neither --dry-run nor --name" in refused(capsys, ["--resume", str(tmp_path), "--dry-run"])
