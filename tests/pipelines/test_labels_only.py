"""`--labels-only`: the index and the manifest follow the labels, the tars stay, and nothing is passed off."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipelines import build as build_module
from pipelines import store
from pipelines.labels_only import rewrite_labels
from pipelines.request import BuildRequest, prepare
from tests.pipelines.conftest import SMALL, contents, run
from tracknet.datasets.index import open_split
from tracknet.datasets.manifest import Manifest
from tracknet.utils.errors import EXIT_DONE, EXIT_WRONG_REQUEST, UserError
from tracknet.utils.geometry import Size

KEY = "game1_Clip2_0000"


def relabel(root: Path) -> str:
    """Changes one row; returns what the file held."""
    label = root / "game1" / "Clip2" / "Label.csv"
    before = label.read_text()
    lines = before.splitlines()
    lines[1] = "0000.jpg,2,33.5,44.5,1"
    label.write_text("\n".join(lines))
    return before


def only(root: Path, out: Path) -> int:
    return run(root, out, *SMALL, "--labels-only")


def rows(out: Path) -> dict[str, dict[str, object]]:
    return {row["key"]: row for row in pq.read_table(out / "index.parquet").to_pylist()}


def test_labels_change_in_the_index_and_in_no_tar(
    root: Path, out: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(root, out)
    before, old, old_rows = contents(out), Manifest.read(out), rows(out)
    relabel(root)
    monkeypatch.setattr(build_module, "write_shard", None)
    assert only(root, out) == EXIT_DONE
    after, new = contents(out), Manifest.read(out)
    assert {name for name in after if after[name] != before[name]} == {"index.parquet", "manifest.json"}
    shard = str(old_rows[KEY]["shard"])
    assert new.labels == {"tar_json_from": old.build_id, "frames": {shard: 1}}
    assert new.build_id != old.build_id
    assert new.shards == old.shards
    assert new.index_sha256 == hashlib.sha256(after["index.parquet"]).hexdigest()
    assert new.totals["splits"]["train"]["visibility"] == {"0": 4, "1": 43, "2": 1}
    changed = rows(out)
    assert changed.pop(KEY) == {
        **old_rows.pop(KEY), "x_px": 33.5, "y_px": 44.5, "visibility": 2, "status": 1
    }  # fmt: skip
    assert changed == old_rows
    table = open_split(out, "train").table
    assert table.xy_px[table.keys.index(KEY)].tolist() == [33.5, 44.5]
    assert "the index overrules the labels of 1 frame in 1 shard" in capsys.readouterr().out
    assert only(root, out) == EXIT_DONE
    assert "nothing to do" in capsys.readouterr().out
    assert contents(out) == after


def test_a_build_afterwards_writes_the_shards_concerned_as_a_fresh_one_would(
    root: Path, out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(root, out)
    relabel(root)
    only(root, out)
    overruling = Manifest.read(out).build_id
    assert run(root, out) == EXIT_DONE
    assert "1 shard written, 4 kept" in capsys.readouterr().out
    run(root, tmp_path / "fresh")
    assert contents(out) == contents(tmp_path / "fresh")
    # The frames and labels are the same, the tars are not: neither passes for the other.
    assert Manifest.read(out).build_id != overruling


@pytest.mark.parametrize("again", [(), ("--labels-only",)])
def test_labels_that_come_back_leave_no_trace(root: Path, out: Path, again: tuple[str, ...]) -> None:
    run(root, out)
    whole = contents(out)
    good = relabel(root)
    only(root, out)
    (root / "game1" / "Clip2" / "Label.csv").write_text(good)
    assert run(root, out, *SMALL, *again) == EXIT_DONE
    assert contents(out) == whole


def test_copied_frames_are_the_same_frames(root: Path, out: Path) -> None:
    run(root, out)
    relabel(root)
    for frame in root.rglob("*.jpg"):
        os.utime(frame, ns=(1, 1))
    assert only(root, out) == EXIT_DONE
    assert rows(out)[KEY]["x_px"] == 33.5


def test_other_frames_are_refused_by_name(root: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(root, out)
    before = contents(out)
    clip = root / "game1" / "Clip1"
    shutil.copy(clip / "0005.jpg", clip / "0006.jpg")
    assert only(root, out) == EXIT_WRONG_REQUEST
    message = capsys.readouterr().err
    assert "(1 difference)" in message
    assert "game1/Clip1/0006.jpg has changed since train-" in message
    assert "without --labels-only" in message
    (clip / "0011.jpg").unlink()
    label = clip / "Label.csv"
    label.write_text("\n".join(label.read_text().splitlines()[:-1]))
    (out / "val-000.tar").unlink()
    assert only(root, out) == EXIT_WRONG_REQUEST
    message = capsys.readouterr().err
    assert "game1/Clip1/0011.jpg is in train-" in message
    assert "and has no label there any more" in message
    assert "val-000.tar is missing, or not what was built" in message
    del before["val-000.tar"]
    assert contents(out) == before


def test_a_plan_that_moved_is_refused(root: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(root, out)
    shutil.copytree(root / "game1" / "Clip1", root / "game1" / "Clip3")
    assert only(root, out) == EXIT_WRONG_REQUEST
    assert "game1/Clip3/0000.jpg is not in train-" in capsys.readouterr().err


def test_without_a_build_there_is_nothing_to_relabel(
    root: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert only(root, out) == EXIT_WRONG_REQUEST
    assert "is no finished build" in capsys.readouterr().err
    assert not out.exists()
    run(root, out)
    assert run(root, out, *SMALL, "--labels-only", "data.jpeg_quality=90") == EXIT_WRONG_REQUEST
    assert "jpeg_quality: 95 there, 90 asked for" in capsys.readouterr().err
    assert run(root, out, *SMALL, "--labels-only", "--overwrite") == EXIT_WRONG_REQUEST
    assert "choose one" in capsys.readouterr().err


@pytest.mark.parametrize("step", [1, 2])
def test_killed_between_index_and_manifest_there_is_no_dataset(
    root: Path, out: Path, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(root, out)
    relabel(root)
    replace_file, calls = store.replace_file, []

    def die_at(path: Path, data: bytes) -> None:
        calls.append(path.name)
        if len(calls) == step:
            raise RuntimeError("killed")
        replace_file(path, data)

    with monkeypatch.context() as patch, pytest.raises(RuntimeError):
        patch.setattr(store, "replace_file", die_at)
        only(root, out)
    assert calls == ["index.parquet", "manifest.json"][:step]
    assert not (out / "manifest.json").exists()
    assert only(root, out) == EXIT_DONE
    assert rows(out)[KEY]["x_px"] == 33.5
    assert len(open_split(out, "train").table.keys) == 48


def test_a_cluster_is_refused(root: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(root, out)
    before = contents(out)
    options = ("--labels-only", "--executor", "dask", "--scheduler", "tcp://h:1")
    assert run(root, out, *SMALL[:-2], *options) == EXIT_WRONG_REQUEST
    assert "leave --executor and --scheduler out" in capsys.readouterr().err
    assert contents(out) == before


def test_a_frame_that_goes_after_its_label_was_read_is_named(root: Path, out: Path) -> None:
    run(root, out)
    before = contents(out)
    prepared = prepare(BuildRequest(root, out, Size(64, 36), 95, 6, 3, None, 0))
    (root / "game1" / "Clip2" / "0003.jpg").unlink()
    with pytest.raises(UserError) as refused:
        rewrite_labels(prepared)
    assert "game1/Clip2/0003.jpg cannot be read" in str(refused.value)
    assert contents(out) == before
