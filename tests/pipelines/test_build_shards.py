"""The command from end to end: what it writes, what it reuses, what it survives and what it says."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import pyarrow.parquet as pq
import pytest
import webdataset as wds
from PIL import Image

from pipelines import build as build_module
from pipelines.build_folder import BuildFolder
from pipelines.request import BuildRequest, prepare
from pipelines.workers import HeldInterrupts, Workers
from tests.pipelines.conftest import CHECKOUT, SMALL, MakeDataset, contents, run, start
from tracknet.datasets.manifest import Manifest
from tracknet.datasets.schema import INDEX_COLUMNS, index_schema
from tracknet.utils.errors import EXIT_DONE, EXIT_INTERRUPTED, EXIT_WRONG_REQUEST, RunError
from tracknet.utils.geometry import Size


def wait_for_a_finished_shard(out: Path, process: subprocess.Popen[str]) -> None:
    deadline_s = time.monotonic() + 20
    while not list(out.glob(".build/*-*.json")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline_s
        time.sleep(0.002)


def test_build_writes_what_the_manifest_says(
    root: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(root, out) == EXIT_DONE
    names = ["train-000.tar", "train-001.tar", "train-002.tar", "val-000.tar"]
    manifest = Manifest.read(out)
    # 48 training frames in 3 shards: 24 validation frames make 1.5, rounded to 2.
    assert [entry.name for entry in manifest.shards] == [*names, "val-001.tar"]
    assert manifest.games == {"train": ["game1", "game2"], "val": ["game3"]}
    for entry in manifest.shards:
        data = (out / entry.name).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (entry.bytes, entry.sha256)
    assert hashlib.sha256((out / "index.parquet").read_bytes()).hexdigest() == manifest.index_sha256
    assert manifest.totals["splits"]["train"] == {
        "games": 2,
        "clips": 4,
        "frames": 48,
        "visibility": {"0": 4, "1": 44},
        "shards": 3,
        "bytes": sum(entry.bytes for entry in manifest.shards_of("train")),
    }
    printed = capsys.readouterr().out
    assert "next: build with another data.resize: no model of configs/model takes frames of 64x36" in printed
    assert "72 frames" in printed
    assert str(root) not in (out / "manifest.json").read_text()


def test_index_leads_to_every_jpeg(root: Path, out: Path) -> None:
    run(root, out)
    table = pq.read_table(out / "index.parquet")
    assert table.schema == index_schema()
    assert table.column_names == list(INDEX_COLUMNS)
    rows = table.to_pylist()
    assert len(rows) == 72
    order = [(row["split"], row["game"], row["clip"], row["frame"]) for row in rows]
    assert order == sorted(order)
    for row in rows:
        with (out / row["shard"]).open("rb") as file:
            file.seek(row["offset"])
            jpeg = file.read(row["size"])
        assert google_crc32c.value(jpeg) == row["crc32c"]
        assert Image.open(io.BytesIO(jpeg)).size == (row["width"], row["height"]) == (64, 36)
        assert (row["source_width"], row["source_height"]) == (160, 90)
        assert (row["x_px"] is None) == (row["visibility"] == 0) == (row["frame"] == 3)
        source = (root / row["source"]).read_bytes()
        assert hashlib.sha256(source).hexdigest() == row["source_sha256"]


def test_plain_webdataset_reads_every_sample(root: Path, out: Path) -> None:
    run(root, out)
    dataset = wds.WebDataset(str(out / "train-{000..002}.tar"), shardshuffle=False).decode("rgb8")
    samples = list(dataset)
    rows = {row["key"]: row for row in pq.read_table(out / "index.parquet").to_pylist()}
    assert {s["__key__"] for s in samples} == {k for k, row in rows.items() if row["split"] == "train"}
    assert len(samples) == 48
    for sample in samples:
        row = rows[sample["__key__"]]
        assert sample["jpg"].shape == (36, 64, 3)
        assert sample["jpg"].dtype == np.uint8
        assert sample["json"]["xy_px"] == (None if row["x_px"] is None else [row["x_px"], row["y_px"]])
        assert sample["json"]["game"] == row["game"]


def test_same_bytes_for_any_number_of_workers_any_place_and_any_age(
    root: Path, out: Path, tmp_path: Path
) -> None:
    run(root, out)
    moved = tmp_path / "elsewhere"
    shutil.copytree(root, moved, copy_function=shutil.copy)  # new modification times
    for workers in ("1", "2", "4"):
        assert run(moved, tmp_path / workers, *SMALL[:-1], workers) == EXIT_DONE
        assert contents(tmp_path / workers) == contents(out)


class DeadPool(ThreadPoolExecutor):
    """An executor whose workers have died."""

    def submit(self, *_: object, **__: object) -> Future[Any]:  # type: ignore[override]
        future: Future[Any] = Future()
        future.set_exception(BrokenExecutor("gone"))
        return future


def test_any_executor_will_do(root: Path, out: Path, tmp_path: Path) -> None:
    run(root, out)
    request = BuildRequest(root, tmp_path / "threads", Size(64, 36), 95, 6, 3, None, 0)
    with HeldInterrupts() as interrupts, DeadPool() as dead, ThreadPoolExecutor(3) as alive:
        with pytest.raises(RunError, match="0 of 5 shards are finished and kept"):
            build_module.build(prepare(request), Workers(dead, interrupts))
        report = build_module.build(prepare(request), Workers(alive, interrupts))
    assert (report.written, report.frames_written, report.changed) == (5, 72, True)
    assert contents(tmp_path / "threads") == contents(out)


def test_second_build_does_nothing_and_reads_no_frame(
    root: Path, out: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(root, out)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    monkeypatch.setattr(build_module, "write_shard", None)
    assert run(root, out) == EXIT_DONE
    assert "nothing to do" in capsys.readouterr().out
    assert before == {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}


def test_a_changed_label_touches_only_its_shard(
    root: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(root, out)
    before = {path.name: path.stat().st_mtime_ns for path in out.glob("*.tar")}
    old = Manifest.read(out)
    label = root / "game1" / "Clip2" / "Label.csv"
    lines = label.read_text().splitlines()
    lines[1] = "0000.jpg,2,33.5,44.5,1"
    label.write_text("\n".join(lines))
    assert run(root, out) == EXIT_DONE
    row = next(r for r in pq.read_table(out / "index.parquet").to_pylist() if r["key"] == "game1_Clip2_0000")
    assert (row["x_px"], row["y_px"], row["visibility"], row["status"]) == (33.5, 44.5, 2, 1)
    after = {path.name: path.stat().st_mtime_ns for path in out.glob("*.tar")}
    assert [name for name in before if before[name] != after[name]] == [row["shard"]]
    assert "1 shard written, 4 kept" in capsys.readouterr().out
    assert Manifest.read(out).build_id != old.build_id


def test_scaled_decoding_is_another_dataset(
    make_dataset: MakeDataset, out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_dataset(games=2, clips=1, frames=4)
    assert run(root, out, *SMALL, "data.decode=scaled") == EXIT_DONE
    assert run(root, tmp_path / "full") == EXIT_DONE
    scaled, full = Manifest.read(out), Manifest.read(tmp_path / "full")
    assert (scaled.config["decode"], "decode" in full.config) == ("scaled", False)
    assert scaled.build_id != full.build_id
    assert not {entry.sha256 for entry in scaled.shards} & {entry.sha256 for entry in full.shards}
    capsys.readouterr()
    assert run(root, out) == EXIT_WRONG_REQUEST
    assert "decode: scaled there, null asked for" in capsys.readouterr().err


def test_new_frames_are_an_update_and_stale_shards_go(root: Path, out: Path, tmp_path: Path) -> None:
    run(root, out)
    shutil.rmtree(root / "game1" / "Clip1")
    shutil.rmtree(root / "game2")
    shutil.copytree(root / "game1" / "Clip2", root / "game1" / "Clip3")
    shutil.rmtree(root / "game1" / "Clip2")
    assert run(root, out) == EXIT_DONE
    assert not (out / "train-002.tar").exists()
    run(root, tmp_path / "fresh")
    assert contents(out) == contents(tmp_path / "fresh")


def test_a_missing_or_shortened_shard_is_built_again(root: Path, out: Path) -> None:
    run(root, out)
    whole = contents(out)
    (out / "train-001.tar").unlink()
    os.truncate(out / "val-000.tar", 1000)
    (out / "manifest.json").unlink()
    (out / ".build" / "train-002.json").write_text('{"fingerprint": 1')
    assert run(root, out) == EXIT_DONE
    assert contents(out) == whole


def test_a_reverted_label_never_takes_the_tar_of_the_edit(
    root: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A build killed between renaming a tar and noting it must not leave the old note beside the new tar."""
    run(root, out)
    whole = contents(out)
    label = root / "game1" / "Clip2" / "Label.csv"
    good = label.read_text()
    label.write_text(good.replace("0001.jpg,1,", "0001.jpg,2,"))

    def die(*_: object) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as patch, pytest.raises(RuntimeError):
        patch.setattr(BuildFolder, "record", die)
        run(root, out)
    label.write_text(good)
    assert run(root, out) == EXIT_DONE
    assert contents(out) == whole


SLOW = ("data.resize=[1280,720]", "data.segment_frames=3", "--num-shards", "16", "--workers", "2")


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_stopped_build_goes_on_and_ends_in_the_same_bytes(
    make_dataset: MakeDataset,
    tmp_path: Path,
    stop: signal.Signals,
    session_lives: Callable[[int], bool],
    capsys: pytest.CaptureFixture[str],
) -> None:
    root, out = make_dataset(games=2, clips=4, frames=12), tmp_path / "shards"
    process = start(root, out, *SLOW)
    wait_for_a_finished_shard(out, process)
    # Ctrl-C reaches every process of the terminal.
    (os.killpg if stop == signal.SIGINT else os.kill)(process.pid, stop)
    _, errors = process.communicate(timeout=20)
    assert not (out / "manifest.json").exists()
    assert "Traceback" not in errors
    if stop == signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL
        # Its workers must not write on beside the next build; once they are gone, so is their session.
        deadline_s = time.monotonic() + 10
        while session_lives(process.pid):
            assert time.monotonic() < deadline_s
            time.sleep(0.01)
    else:
        assert process.returncode == EXIT_INTERRUPTED
        assert "shards are finished and kept" in errors
        assert not [path for path in out.iterdir() if ".tmp-" in path.name]
    kept = len(list(out.glob(".build/*-*.json")))
    assert 0 < kept < 32
    assert run(root, out, *SLOW[:-1], "0") == EXIT_DONE
    assert f", {kept} kept" in capsys.readouterr().out
    assert not [path for path in out.iterdir() if ".tmp-" in path.name]
    run(root, tmp_path / "undisturbed", *SLOW[:-1], "0")
    assert contents(out) == contents(tmp_path / "undisturbed")


# ------------------------------------------------------------------ what is said


def test_too_small_a_ball_and_a_squeeze_are_warned_of(
    make_dataset: MakeDataset, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_dataset(games=2, clips=1, frames=4, size=(320, 180))
    assert run(root, out, "data.resize=[56,56]", "--workers", "0") == EXIT_DONE
    captured = capsys.readouterr()
    assert "a ball of 1.2 px in the 320x180 frames is 0.2 px wide and 0.4 px high" in captured.err
    assert "it takes recordings of more pixels" in captured.err
    assert "squeezed by 44% to 56x56: a height of 32 would keep their shape" in captured.err
    assert "train: 1 shard of 4 frames from game1\n" in captured.out
    assert "1 training shard instead of 32" in captured.out
    assert f"next: python -m tracknet.train {out}/train-000.tar" in captured.out


def test_the_size_of_the_processor_where_none_is_set(
    make_dataset: MakeDataset, out: Path, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "preprocessor_config.json").write_text(
        json.dumps({"image_processor_type": "ViTImageProcessor", "size": {"height": 48, "width": 80}})
    )
    (model / "config.json").write_text(json.dumps({"model_type": "vit"}))
    root = make_dataset(games=2, clips=1, frames=4)
    options = ("data.resize=null", f"model.backbone.name={model}", "--workers", "0")
    assert run(root, out, *options) == EXIT_DONE
    assert tuple(Manifest.read(out).image_size) == (80, 48)


def test_help_answers_at_once() -> None:
    check = (
        "import sys, pipelines.build_shards as b; b._parser().format_help(); "
        "print([m for m in ('torch', 'cv2', 'pyarrow', 'numpy', 'omegaconf', 'rich') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", check], cwd=CHECKOUT, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_real_broadcast_frames(shared_data: Path, out: Path) -> None:
    assert run(shared_data / "data" / "tennis", out, "--val-games", "2", "--workers", "2") == EXIT_DONE
    splits = Manifest.read(out).totals["splits"]
    assert (splits["train"]["frames"], splits["val"]["frames"]) == (241, 114)
    assert splits["val"]["visibility"] == {"0": 1, "1": 113}
    with tarfile.open(out / "train-000.tar") as tar:
        assert len(tar.getmembers()) % 2 == 0
