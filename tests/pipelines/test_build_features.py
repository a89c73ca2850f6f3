"""Feature shards: what lies in them, what a second build does, and how builds end that cannot go on."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from pipelines import build_features, build_shards
from pipelines.store import LocalStore
from tests.conftest import SMALL, draw_dataset
from tests.datasets import http_server
from tests.pipelines.conftest import contents
from tracknet.datasets.feature_format import FeatureInfo, decode_tokens
from tracknet.datasets.index import open_shards, open_split
from tracknet.datasets.manifest import Manifest
from tracknet.datasets.reader import ShardReader
from tracknet.models.frame_encoder import FrameEncoder
from tracknet.models.model import TrackNet
from tracknet.scripts import inspect, train
from tracknet.utils.config import load_config
from tracknet.utils.errors import EXIT_FAILED, Interrupted, RunError, UserError, cli_main
from tracknet.utils.geometry import Size


def compute(shards: Path | str, out: Path, *options: str) -> int:
    return build_features.run([str(shards), "--model", "vit_tiny", "--out", str(out), *SMALL, *options])


def test_the_tokens_are_those_of_the_model_without_its_cls_token(
    small_shards: Path, small_features: Path
) -> None:
    torch = pytest.importorskip("torch")
    config = load_config(model="vit_tiny", training="cpu", overrides=SMALL)
    torch.manual_seed(config.training.seed)
    model = TrackNet(config.model, input_size=Size(96, 48), num_frames=3).eval()
    info = FeatureInfo.of(Manifest.read(small_features), "")
    assert info.shape == (3, 6, 24)
    assert info.stored_bytes == 2 * 3 * 6 * 24
    for split in ("train", "val"):
        frames = open_split(small_shards, split)
        stored = open_shards([small_features / name for name in frames.shard_names], tokens=True)
        assert list(stored.table.keys) == list(frames.table.keys)
        for row in (0, 7, len(frames) - 1):
            picture = torch.from_numpy(ShardReader(frames).read(row)).permute(2, 0, 1)
            tokens = decode_tokens(ShardReader(stored).read_bytes(row), info)
            expected = model.encode_frames(picture[None])[0].permute(1, 2, 0).detach().numpy()
            np.testing.assert_allclose(tokens, expected, rtol=1e-3, atol=1e-3)


def test_a_second_build_does_nothing_and_another_batch_size_gives_the_same_frames(
    small_shards: Path, small_features: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(small_features)
    assert compute(small_shards, small_features, "--batch", "5") == 0
    assert "nothing to do" in capsys.readouterr().out
    assert contents(small_features) == before
    assert compute(small_shards, tmp_path / "other", "--batch", "5") == 0
    assert contents(tmp_path / "other") == before
    assert "times the shards of frames" in capsys.readouterr().out


def test_a_killed_build_goes_on_and_ends_the_same(
    small_shards: Path, small_features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, encode, done = tmp_path / "features", FrameEncoder.__call__, 0

    def killing(self: FrameEncoder, frames: np.ndarray) -> np.ndarray:
        nonlocal done
        done += len(frames)
        if done > 20:
            os.kill(os.getpid(), signal.SIGKILL)
        return encode(self, frames)

    child = os.fork()
    if child == 0:
        try:
            FrameEncoder.__call__ = killing  # type: ignore[method-assign]
            compute(small_shards, out, "--batch", "5")
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert (out / "train-000.tar").exists()
    assert not (out / "manifest.json").exists()
    seen: list[int] = []

    def counting(self: FrameEncoder, frames: np.ndarray) -> np.ndarray:
        seen.append(len(frames))
        return encode(self, frames)

    monkeypatch.setattr(FrameEncoder, "__call__", counting)
    assert compute(small_shards, out, "--batch", "5") == 0
    assert sum(seen) == 64 - 16
    assert contents(out) == contents(small_features)


def test_an_interrupted_build_keeps_what_is_finished(
    small_shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode, done = FrameEncoder.__call__, 0

    def interrupted(self: FrameEncoder, frames: np.ndarray) -> np.ndarray:
        nonlocal done
        done += len(frames)
        if done > 20:
            os.kill(os.getpid(), signal.SIGTERM)
        return encode(self, frames)

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(FrameEncoder, "__call__", interrupted)
    try:
        with pytest.raises(Interrupted, match="1 of 4 shards are finished and kept"):
            compute(small_shards, tmp_path / "features", "--batch", "5")
    finally:
        signal.signal(signal.SIGTERM, before)
    assert [path.name for path in (tmp_path / "features").iterdir() if path.is_file()] == ["train-000.tar"]


def test_a_stop_does_not_wait_for_a_silent_server(
    small_shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_server, "STALL_S", 60.0)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with http_server.serve() as site:
        site.files = {
            f"/shards/{path.name}": path.read_bytes() for path in small_shards.iterdir() if path.is_file()
        }
        site.faults = {path: ["stall"] * 9 for path in site.files if path.endswith(".tar")}
        asked_s: list[float] = []

        def stop() -> None:
            while not any(request.path.endswith(".tar") for request in site.requests):
                time.sleep(0.02)
            asked_s.append(time.monotonic())
            os.kill(os.getpid(), signal.SIGINT)

        before = signal.getsignal(signal.SIGTERM)
        threading.Thread(target=stop, daemon=True).start()
        try:
            with pytest.raises(Interrupted, match="0 of 4 shards are finished"):
                compute(f"{site.url}/shards", tmp_path / "features")
        finally:
            signal.signal(signal.SIGTERM, before)
        # Far below the 30 s of silence that end an attempt; not a measurement.
        assert time.monotonic() - asked_s[0] < 15
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("frames")]
    assert not list((tmp_path / "features").glob("*.tar"))


def test_another_backbone_is_refused_by_name_and_overwrite_rebuilds(
    small_shards: Path, small_features: Path, tmp_path: Path
) -> None:
    out = Path(shutil.copytree(small_features, tmp_path / "features"))
    before = contents(out)
    with pytest.raises(UserError, match="another configuration") as refused:
        compute(small_shards, out, "training.seed=1")
    assert [problem.split(":")[0] for problem in refused.value.problems] == ["weights"]
    # No option says it.
    assert str(refused.value.remedy).startswith("choose another --out, or rebuild it with --overwrite")
    with pytest.raises(UserError) as refused:
        compute(small_shards, out, "--dtype", "int8")
    assert "--dtype float16" in str(refused.value.remedy)
    assert contents(out) == before
    assert compute(small_shards, out, "--dtype", "int8", "--overwrite") == 0
    info = FeatureInfo.of(Manifest.read(out), "")
    assert info.stored_bytes == 4 * 24 + 3 * 6 * 24
    assert inspect.run([str(out), "--verify", "--decode"]) == 0


def test_what_comes_next_states_every_setting_once(
    small_shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    size, out = "data.resize=[96,48]", tmp_path / "features"
    assert compute(small_shards, out, size) == 0
    told = shlex.split(capsys.readouterr().out.rpartition("next: ")[2])
    keys = [item.partition("=")[0] for item in told if "=" in item]
    assert sorted(keys) == sorted(set(keys))
    assert size in told


@pytest.mark.parametrize(
    "settings", [[], ["model.decoder.upsample=[2]", "model.decoder.channels=[C,8]", "model.head.subpixel=2"]]
)
def test_what_comes_next_runs_as_it_is_written(
    small_shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], settings: list[str]
) -> None:
    model = Path(shutil.copy("configs/model/vit_tiny.yaml", tmp_path / "mine.yaml"))
    data = Path(shutil.copy("configs/data/tracknet.yaml", tmp_path / "data.yaml"))
    options = ["--out", str(tmp_path / "features out"), "--data", str(data)]
    assert build_features.run([str(small_shards), "--model", str(model), *options, *settings]) == 0
    python, _, module, *told = shlex.split(capsys.readouterr().out.rpartition("next: ")[2])
    assert (python, module) == ("python", "tracknet.train")
    assert train.run([*told, "--dry-run"]) == 0
    assert "heatmaps" in capsys.readouterr().out


def test_what_comes_next_begins_with_the_weights_of_a_saved_model(
    small_shards: Path,
    small_train_args: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    length = ["data.sequence.length=5", "model.fusion.kind=attention"]
    assert train.run([*small_train_args, *length, "--name", "a", "training.max_steps=1"]) == 0
    run, out = tmp_path / "runs" / "a", tmp_path / "features"
    assert build_features.run([str(small_shards), "--model", str(run), "--out", str(out)]) == 0
    told = shlex.split(capsys.readouterr().out.rpartition("next: ")[2])[3:]
    assert f"training.init_from={run}" in told
    assert train.run([*told, "--dry-run"]) == 0
    # Where no shipped config can be made like it, no command is shown that would not run.
    monkeypatch.setattr("tracknet.utils.nearest_config.config_folders", list)
    assert build_features.run([str(small_shards), "--model", str(run), "--out", str(out)]) == 0
    told = capsys.readouterr().out.rpartition("next: ")[2].split()
    assert "MODEL" not in told
    assert {"config.json", ".yaml", f"data.features={out}", f"training.init_from={run}"} <= set(told)


def test_changed_labels_touch_the_index_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = draw_dataset(tmp_path / "raw", games=2, clips=1, frames=6)
    build = ["--root", str(root), "--out", str(tmp_path / "shards"), "--workers", "0", "data.resize=[96,48]"]
    assert build_shards.run(build) == 0
    assert compute(tmp_path / "shards", tmp_path / "features") == 0
    before = contents(tmp_path / "features")
    label = root / "game1" / "Clip1" / "Label.csv"
    label.write_text(label.read_text().replace("0000.jpg,1,", "0000.jpg,2,"))
    assert build_shards.run(build) == 0
    capsys.readouterr()
    assert compute(tmp_path / "shards", tmp_path / "features") == 0
    assert "anew" in capsys.readouterr().out
    after = contents(tmp_path / "features")
    assert {name for name in before if before[name] != after[name]} == {"index.parquet", "manifest.json"}
    assert open_shards([tmp_path / "features/train-000.tar"], tokens=True).table.visibility[0] == 2
    # Another picture, and its shard alone is computed again.
    shutil.copy(root / "game1/Clip1/0001.jpg", root / "game1/Clip1/0002.jpg")
    assert build_shards.run(build) == 0
    assert compute(tmp_path / "shards", tmp_path / "features") == 0
    assert "1 shard written, 1 kept" in capsys.readouterr().out


def test_verify_names_what_is_damaged(
    small_features: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert inspect.run([str(small_features), "--verify"]) == 0
    assert "64 frames" in capsys.readouterr().out
    folder = Path(shutil.copytree(small_features, tmp_path / "features"))
    shard = folder / "val-000.tar"
    data = bytearray(shard.read_bytes())
    data[600] ^= 1
    shard.write_bytes(data)
    assert cli_main(inspect.run, [str(folder), "--verify"]) == EXIT_FAILED
    out = capsys.readouterr().out
    assert "val-000.tar: game2_Clip" in out
    assert "its map of tokens is damaged: it has not the checksum" in out
    assert "1 faults, 63 of 64" in out
    command = f"python -m pipelines.build_features {small_features.parent / 'shards'} --out {folder}"
    assert (
        f"remedy: delete val-000.tar and run `{command} --model vit_tiny --amp off` (with the key=value"
        in out
    )


def test_inspect_tells_whose_tokens_they_are(
    small_features: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert inspect.run([str(small_features)]) == 0
    out = capsys.readouterr().out
    assert "features of 64 frames of 96x48" in out
    assert "6x3 of 24 channels in float16, 0.9 kB a frame" in out
    assert inspect.run([str(small_features), "--json"]) == 0
    body = json.loads(capsys.readouterr().out)
    assert body["features"]["bytes_per_frame"] == 864
    assert len(body["features"]["frames"]) == 4
    with pytest.raises(UserError, match="no pictures to show"):
        inspect.run([str(small_features), "--samples", "4"])


def test_features_are_no_frames(small_shards: Path, small_features: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds features, not frames") as refused:
        open_split(small_features, "train")
    assert f"data.features={small_features}" in str(refused.value.remedy)
    with pytest.raises(UserError, match="holds features, not frames"):
        compute(small_features, tmp_path / "out")
    with pytest.raises(UserError, match="is the folder of the frames"):
        compute(small_shards, small_shards, "--overwrite")
    root = str(small_shards.parent / "tracknet")
    with pytest.raises(UserError, match="holds a build of features, not of frames"):
        build_shards.run(
            ["--root", root, "--out", str(small_features), "--workers", "0", "data.resize=[96,48]"]
        )
    with pytest.raises(UserError, match="holds frames, not features"):
        FeatureInfo.of(Manifest.read(small_shards), "shards")


def test_tokens_that_float16_cannot_hold_are_refused_by_key(
    small_shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode = FrameEncoder.__call__

    def overflowing(self: FrameEncoder, frames: np.ndarray) -> np.ndarray:
        tokens = encode(self, frames)
        tokens[-1, 0, 0, 0] = np.inf
        return tokens

    monkeypatch.setattr(FrameEncoder, "__call__", overflowing)
    with pytest.raises(RunError, match=r"game1_Clip\d_0003: its tokens are no numbers, or beyond"):
        compute(small_shards, tmp_path / "features", "--batch", "4")
    assert not list((tmp_path / "features").glob("*.tar"))


def test_what_cannot_be_computed_is_said_first(
    small_shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match="no backbone"):
        build_features.run([str(small_shards), "--model", "detail_small", "--out", str(tmp_path / "out")])
    with pytest.raises(UserError, match="no whole number of 14x14 patches"):
        compute(small_shards, tmp_path / "out", "model.backbone.config.patch_size=14")
    with pytest.raises(UserError) as refused:
        compute(small_shards, tmp_path / "out", "--batch", "0")
    assert list(refused.value.problems) == ["--batch must be at least 1"]
    monkeypatch.setattr(LocalStore, "free_bytes", lambda self: 100_000)
    with pytest.raises(UserError, match=r"the features need about 0\.1 MB, 0\.1 MB are free"):
        compute(small_shards, tmp_path / "out")
