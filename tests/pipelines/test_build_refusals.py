"""What the command refuses: one message with the remedy, and nothing lost or half-written."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from pipelines.build import build
from pipelines.build_folder import BuildFolder
from pipelines.request import BuildRequest, prepare
from tests.pipelines.conftest import SMALL, MakeDataset, contents, run
from tracknet.datasets.label_faults import Policy
from tracknet.datasets.manifest import Manifest
from tracknet.utils.errors import EXIT_DONE, EXIT_FAILED, EXIT_WRONG_REQUEST, RunError
from tracknet.utils.geometry import Size


def test_another_config_is_refused_naming_every_difference(
    root: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(root, out)
    before = contents(out)
    options = ("data.resize=[128,72]", *SMALL[1:], "data.jpeg_quality=90", "--val-games", "1")
    assert run(root, out, *options) == EXIT_WRONG_REQUEST
    message = capsys.readouterr().err
    assert "jpeg_quality: 95 there, 90 asked for" in message
    assert "resize: [64, 36] there, [128, 72] asked for" in message
    assert 'val_games: ["game3"] there, ["game1"] asked for' in message
    assert "data.jpeg_quality=95 data.resize=[64,36] --val-games game3" in message
    assert "--overwrite" in message
    assert contents(out) == before
    assert run(root, out, *options, "--overwrite") == EXIT_DONE
    assert Manifest.read(out).config["jpeg_quality"] == 90


def test_a_new_game_does_not_move_the_validation_split_silently(
    root: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(root, out)
    shutil.copytree(root / "game1", root / "game4")
    assert run(root, out) == EXIT_WRONG_REQUEST
    assert "--val-games game3" in capsys.readouterr().err
    assert run(root, out, *SMALL, "--val-games", "game3") == EXIT_DONE
    assert Manifest.read(out).games == {"train": ["game1", "game2", "game4"], "val": ["game3"]}


def test_another_root_is_refused(
    root: Path, out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(root, out)
    shutil.copytree(root, tmp_path / "other")
    assert run(tmp_path / "other", out) == EXIT_WRONG_REQUEST
    assert f"root: {root} there" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["train-000.tar", "other.tar", "manifest.json"])
def test_shards_of_unknown_origin_are_not_overwritten(
    root: Path, out: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out.mkdir()
    (out / name).write_bytes(b"precious")
    assert run(root, out) == EXIT_WRONG_REQUEST
    assert f"holds {name}" in capsys.readouterr().err
    assert [path.name for path in out.iterdir()] == [name]
    assert run(root, out, *SMALL, "--overwrite") == EXIT_DONE
    Manifest.read(out)


def test_damaged_frames_end_the_build_and_are_all_named(
    root: Path, out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = [root / "game1" / "Clip1" / "0005.jpg", root / "game3" / "Clip2" / "0009.jpg"]
    whole = [path.read_bytes() for path in damaged]
    for path, data in zip(damaged, whole, strict=True):
        path.write_bytes(data[: len(data) // 2])
    assert run(root, out) == EXIT_FAILED
    message = capsys.readouterr().err
    assert "2 frames cannot be stored" in message
    for path, row in zip(damaged, (7, 11), strict=True):
        assert f"{path.parent}/Label.csv:{row}: {path} is cut short" in message
    assert not (out / "manifest.json").exists()
    assert run(root, out, *SMALL, "--on-bad-label", "drop") == EXIT_DONE
    assert "left out 2 frames that cannot be decoded or found" in capsys.readouterr().err
    assert Manifest.read(out).totals["frames"] == 70
    # What was left out stays an error for those who do not ask for it.
    assert run(root, out) == EXIT_FAILED
    for path, data in zip(damaged, whole, strict=True):
        path.write_bytes(data)
    assert run(root, out) == EXIT_DONE
    run(root, tmp_path / "fresh")
    assert contents(out) == contents(tmp_path / "fresh")


def test_a_shard_of_nothing_but_damaged_frames_has_a_way_out(
    root: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = root / "game3" / "Clip1"
    damaged = [path for path in folder.glob("*.jpg") if int(path.stem) < 6]
    for path in damaged:
        # The header is whole, so that only decoding tells.
        path.write_bytes(path.read_bytes()[:-100])
    options = (*SMALL[:2], "--num-shards", "8", "--workers", "0", "--on-bad-label", "drop")
    assert run(root, out, *options) == EXIT_FAILED
    message = capsys.readouterr().err
    assert "6 frames cannot be stored" in message
    assert "--on-bad-label" not in message
    assert "leaves a shard without a frame: replace or delete these files" in message
    for path in damaged:
        path.unlink()
    assert run(root, out, *options) == EXIT_DONE
    assert Manifest.read(out).totals["frames"] == 66


def test_what_the_system_refuses_to_read_is_no_bad_frame(
    root: Path, out: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    refused, (read_bytes, open_file) = root / "game1" / "Clip1", (Path.read_bytes, Path.open)

    def refuse(path: Path) -> None:
        if path.parent == refused and path.suffix == ".jpg":
            raise OSError(24, "Too many open files", str(path))

    def read(path: Path) -> bytes:
        refuse(path)
        return read_bytes(path)

    def opened(path: Path, *arguments: Any, **options: Any) -> Any:
        refuse(path)
        return open_file(path, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", read)
        assert run(root, out, *SMALL, "--on-bad-label", "drop") == EXIT_FAILED
        message = capsys.readouterr().err
        assert "12 frames cannot be stored" in message
        assert f"{refused}/0000.jpg: cannot be read: Too many open files" in message
        assert "--on-bad-label" not in message
        patch.setattr(Path, "open", opened)
        assert run(root, out, *SMALL, "--on-bad-label", "drop") == EXIT_WRONG_REQUEST
        assert f"{refused}/0000.jpg: cannot be read: Too many open files" in capsys.readouterr().err
    assert run(root, out) == EXIT_DONE


def test_bad_labels_are_all_named_and_nothing_is_written(
    root: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "game1" / "Clip1" / "Label.csv").write_text("frame,x,y\n0000.jpg,1,1\n")
    label = root / "game2" / "Clip1" / "Label.csv"
    label.write_text(label.read_text().replace("0002.jpg,1,", "0002.jpg,7,"))
    assert run(root, out) == EXIT_WRONG_REQUEST
    message = capsys.readouterr().err
    assert "2 faults" in message
    assert "game1/Clip1/Label.csv:1: has the header 'frame,x,y'" in message
    assert "game2/Clip1/Label.csv:4: visibility '7'" in message
    assert not out.exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--split-by", "frame"], "90 % of the validation frames"),
        (["--workers", "-1"], "--workers -1: must be 0 or more"),
        (["--num-shards", "0"], "data.num_shards (command line): must be at least 1, got 0"),
        (["--num-shards", "many"], "data.num_shards (command line): needs a whole number, got 'many'"),
        (["--on-bad-label", "skip"], "'skip' is none of error, drop, clip"),
        (["--val-games", "1,2,3"], "no game is left to train on"),
        (["--val-games", "8", "data.jpeg_quality=90"], "the games are game1, game2, game3"),
        (["data.jpeg_qualty=90"], "did you mean data.jpeg_quality?"),
    ],
)
def test_impossible_requests(
    root: Path, out: Path, options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(root, out, *options) == EXIT_WRONG_REQUEST
    assert words in capsys.readouterr().err
    assert not out.exists()


def test_one_game_needs_a_decision(
    make_dataset: MakeDataset, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_dataset(games=1)
    assert run(root, out) == EXIT_WRONG_REQUEST
    assert "--val-games none" in capsys.readouterr().err
    assert run(root, out, *SMALL, "--val-games", "none") == EXIT_DONE
    assert Manifest.read(out).games == {"train": ["game1"]}


def test_an_output_that_cannot_be_written(
    root: Path, out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("precious")
    assert run(root, tmp_path / "file") == EXIT_WRONG_REQUEST
    assert "there is a file where the folder should be" in capsys.readouterr().err
    assert (tmp_path / "file").read_text() == "precious"

    def refuse(path: Path, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "mkdir", refuse)
        assert run(root, out) == EXIT_FAILED
    assert f"Permission denied: {out}" in capsys.readouterr().err
    assert not out.exists()


def test_a_full_disk_leaves_nothing_half_written(
    root: Path, out: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("pipelines.shard_writer.verify_written", full)
        assert run(root, out) == EXIT_FAILED
    assert "the disk is full" in capsys.readouterr().err
    assert not contents(out)
    assert run(root, out) == EXIT_DONE


def test_two_builds_in_one_folder(root: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with BuildFolder(out).lock():
        assert run(root, out) == EXIT_WRONG_REQUEST
    assert f"another build is writing there (process {os.getpid()})" in capsys.readouterr().err
    assert run(root, out) == EXIT_DONE


def test_another_build_may_come_between_the_check_and_the_lock(
    root: Path, out: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    check = BuildFolder.check

    def check_while_another_builds(folder: BuildFolder, owner: dict[str, Any]) -> None:
        check(folder, owner)
        monkeypatch.setattr(BuildFolder, "check", check)
        assert run(root, out, *SMALL, "data.jpeg_quality=90") == EXIT_DONE

    monkeypatch.setattr(BuildFolder, "check", check_while_another_builds)
    assert run(root, out) == EXIT_WRONG_REQUEST
    assert "jpeg_quality: 90 there, 95 asked for" in capsys.readouterr().err
    assert Manifest.read(out).config["jpeg_quality"] == 90


@pytest.mark.parametrize("policy", ["error", "drop"])
def test_a_frame_that_goes_after_its_label_was_read(root: Path, out: Path, policy: Policy) -> None:
    prepared = prepare(BuildRequest(root, out, Size(64, 36), 95, 6, 3, None, 0, policy))
    path = root / "game1" / "Clip2" / "0003.jpg"
    path.unlink()
    if policy == "error":
        with pytest.raises(RunError) as failure:
            build(prepared)
        assert f"{path.parent}/Label.csv:5: {path} cannot be read: No such file" in str(failure.value)
    else:
        (line,) = build(prepared).left_out
        assert f"{path}: cannot be read: No such file" in line
