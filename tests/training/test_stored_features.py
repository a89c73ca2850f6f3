"""A training on stored tokens is the training that runs the backbone, but for their rounding."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from pipelines import build_features
from tests.conftest import SMALL
from tests.training.conftest import records, run_name
from tracknet.datasets.index import open_split
from tracknet.models.backbones.vit_backbone import ViTBackbone
from tracknet.models.model import TrackNet
from tracknet.scripts import evaluate, train
from tracknet.training.model_evaluation import run_model
from tracknet.training.stored_features import builder_options
from tracknet.utils.config import load_config
from tracknet.utils.errors import RunError, UserError
from tracknet.utils.geometry import Size

FROZEN = ("model.backbone.freeze=true", "data.augment.enabled=false", "training.epochs=1")
NO_SKIP = "model.decoder.skip=none"


def losses(run: Path) -> list[float]:
    return [line["loss"] for line in records(run, "train")]


def trained(args: list[str], name: str, *options: str) -> Path:
    """The run's folder."""
    return run_name(args, name, "training.log_every_steps=1", *FROZEN, *options)


def never_run(*args: object) -> None:
    pytest.fail("the backbone was run")


@pytest.mark.parametrize("skip", [(), (NO_SKIP,)])
def test_losses_and_weights_are_those_of_the_online_training(
    small_train_args: list[str],
    small_features: Path,
    skip: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    online = trained(small_train_args, "online", *skip)
    with monkeypatch.context() as patch:
        patch.setattr(ViTBackbone, "forward", never_run)
        stored = trained(small_train_args, "stored", f"data.features={small_features}", *skip)
    assert len(losses(stored)) == len(losses(online)) == 8
    np.testing.assert_allclose(losses(stored), losses(online), rtol=2e-3)
    one, other = (
        TrackNet.from_pretrained(run / "checkpoints" / "last" / "model").state_dict()
        for run in (online, stored)
    )
    for name, value in one.items():
        torch.testing.assert_close(
            other[name], value, rtol=0.05, atol=5e-3, msg=lambda text, n=name: f"{n}: {text}"
        )
        if name.startswith("backbone."):
            assert other[name].equal(value)


def test_a_model_of_features_finds_the_same_on_frames(
    small_train_args: list[str], small_shards: Path, small_features: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trained(small_train_args, "stored", f"data.features={small_features}")
    folder, shards = run / "checkpoints" / "last" / "model", open_split(small_shards, "val")
    how = {"batch_size": 8, "workers": 0, "device": "cpu", "amp": "off", "pictures": 2}
    frames = run_model(folder, shards, **how)  # type: ignore[arg-type]
    with monkeypatch.context() as patch:
        patch.setattr(ViTBackbone, "forward", never_run)
        stored = run_model(folder, shards, **how, features=str(small_features))  # type: ignore[arg-type]
        options = ["--shards", str(small_shards), "--features", str(small_features), "--no-report"]
        place = ["--workers", "0", "--resamples", "100", "--out", str(run / "evaluated")]
        assert evaluate.run([str(run), *options, *place]) == 0
    np.testing.assert_allclose(stored.predictions.score, frames.predictions.score, atol=2e-3)
    apart = np.abs(stored.predictions.xy_px - frames.predictions.xy_px).max(axis=1)
    assert np.median(apart) < 0.05
    assert len(stored.overlays) == len(frames.overlays) == 2
    with pytest.raises(UserError) as refused:
        evaluate.run([str(run), *options, "--flip"])
    assert "leave out --features" in str(refused.value.problems)


def test_pictures_are_drawn_where_batches_have_none(
    small_train_args: list[str], small_shards: Path, small_features: Path
) -> None:
    run = trained(small_train_args, "bare", f"data.features={small_features}", NO_SKIP)
    shards = open_split(small_shards, "val")
    made = run_model(
        run / "checkpoints" / "last" / "model",
        shards,
        batch_size=8,
        workers=0,
        device="cpu",
        amp="off",
        pictures=1,
        features=str(small_features),
    )
    (picture,) = made.overlays
    assert picture.shape == (48, 96 + 3 * 48, 3)
    assert picture[:, :96].std() > 5


def test_a_run_goes_on_with_its_features_and_with_no_others(
    small_train_args: list[str], small_features: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stored = f"data.features={small_features}"
    whole = trained(small_train_args, "whole", stored)
    cut = trained(small_train_args, "cut", stored, "training.max_steps=5", "training.scheduler.name=constant")
    del whole
    with pytest.raises(UserError, match="cannot go on exactly") as refused:
        train.run(["--resume", str(cut), "training.max_steps=6", "data.features=null"])
    assert "the build of data.features is not stated, the run began with" in str(refused.value.problems)
    capsys.readouterr()
    assert train.run(["--resume", str(cut), "training.max_steps=6"]) == 0
    assert "going on after step 5" in capsys.readouterr().out


def test_a_lost_shard_of_features_is_skipped_by_a_training(
    small_train_args: list[str], small_features: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(small_features, tmp_path / "features"))
    (folder / "train-001.tar").unlink()
    skip = ["data.loader.on_bad_frame=skip", "data.loader.max_bad_frames=99"]
    asked = [*small_train_args, *FROZEN, f"data.features={folder}", NO_SKIP, "--dry-run"]
    assert train.run([*asked, *skip]) == 0
    assert f"warning: 1 of 2 shards are not what was built: {folder}" in capsys.readouterr().out
    with pytest.raises(RunError, match=r"more than data\.loader\.max_bad_frames=3 allows") as refused:
        train.run([*asked, skip[0], "data.loader.max_bad_frames=3"])
    remedy = str(refused.value.remedy)
    assert remedy.startswith("run `python -m pipelines.build_features ")
    assert "the build command" not in remedy
    assert "the build command" not in refused.value.problems[0]
    with pytest.raises(RunError, match="1 of 2 shards are not what was built"):
        train.run(asked)


def test_an_evaluation_names_a_command_that_computes_its_own_backbones_tokens(
    small_train_args: list[str], small_shards: Path, tmp_path: Path
) -> None:
    """Of a random backbone the config that it was noted as says nothing without the seed."""
    folder, seed = tmp_path / "features", "training.seed=4"
    settings = [item for item in small_train_args if item.startswith("model.")]
    built = [str(small_shards), "--model", "vit_tiny", "--out", str(folder), *settings, seed]
    assert build_features.run(built) == 0
    before = (folder / "val-000.tar").read_bytes()
    run = trained(small_train_args, "four", f"data.features={folder}", NO_SKIP, seed, "training.max_steps=1")
    (folder / "val-000.tar").unlink()
    asked = [str(run), "--shards", str(small_shards), "--features", str(folder), "--no-report"]
    asked += ["--workers", "0", "--resamples", "100", "--out", str(tmp_path / "evaluated")]
    with pytest.raises(RunError) as refused:
        evaluate.run(asked)
    assert build_features.run(shlex.split(str(refused.value.remedy).split("`")[1])[3:]) == 0
    assert (folder / "val-000.tar").read_bytes() == before
    assert evaluate.run(asked) == 0


@pytest.mark.parametrize("damage", ["lost", "index", "flipped", "manifest"])
def test_damaged_features_are_mended_by_the_command_that_is_named(
    small_train_args: list[str],
    small_shards: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    damage: str,
) -> None:
    folder = tmp_path / "features"
    settings = [item for item in small_train_args if item.startswith("model.")]
    built = [str(small_shards), "--model", "vit_tiny", "--out", str(folder), "--dtype", "int8", *settings]
    assert build_features.run(built) == 0
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    file = {"index": "index.parquet", "manifest": "manifest.json"}
    place = folder / file.get(damage, "train-001.tar")
    if damage == "manifest":
        place.write_text("{")
    elif damage == "flipped":
        place.write_bytes(
            bytes([*before[place.name][:600], before[place.name][600] ^ 1, *before[place.name][601:]])
        )
    else:
        place.unlink()
    asked = [*small_train_args, *FROZEN, f"data.features={folder}", NO_SKIP]
    with pytest.raises((RunError, UserError)) as refused:
        train.run([*asked, "--name", "failed"])
    remedy = str(refused.value.remedy)
    start = {"flipped": f"delete {place} and run `", "manifest": "delete it and run `"}
    assert remedy.startswith(start.get(damage, "run `"))
    if damage in start:
        place.unlink()
    python, _, module, *options = shlex.split(remedy.split("`")[1])
    assert (python, module) == ("python", "pipelines.build_features")
    assert build_features.run(options) == 0
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before
    assert train.run([*asked, "--name", "mended"]) == 0


def test_a_dry_run_shows_the_features(
    small_train_args: list[str], small_features: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        train.run([*small_train_args, *FROZEN, f"data.features={small_features}", NO_SKIP, "--dry-run"]) == 0
    )
    out = capsys.readouterr().out
    assert "features    float16 [4, 3, 24, 3, 6]" in out
    assert "frames      uint8   [4, 3, 3, 0, 0]" in out


def test_what_does_not_go_together_is_refused_at_once(
    small_train_args: list[str], small_features: Path
) -> None:
    stored = f"data.features={small_features}"
    with pytest.raises(UserError) as refused:
        load_config(model="vit_tiny", overrides=[stored, "data.sources=[{shards: a}, {shards: b}]"])
    said = " | ".join(refused.value.problems)
    assert "data.augment.enabled (" in said
    assert "set it to false" in said
    assert "data.features (command line): goes without data.sources" in said
    frozen = ["data.augment.enabled=false", stored]
    with pytest.raises(UserError) as refused:
        load_config(model="vit_tiny", overrides=frozen)
    assert "set model.backbone.freeze=true" in str(refused.value.problems)
    with pytest.raises(UserError) as refused:
        load_config(model="detail_small", overrides=frozen)
    assert "no backbone" in str(refused.value.problems)
    with pytest.raises(UserError, match="of another backbone than this model's"):
        train.run([*small_train_args, "--dry-run", *FROZEN, stored, "training.seed=1"])


def test_the_command_that_is_named_computes_what_is_missing(
    small_train_args: list[str], small_features: Path, tmp_path: Path
) -> None:
    asked = [*small_train_args, "--dry-run", *FROZEN, "training.seed=1"]
    with pytest.raises(UserError, match="of another backbone") as refused:
        train.run([*asked, f"data.features={small_features}"])
    out = tmp_path / "another"
    command = (
        str(refused.value.remedy).rpartition("compute this one's: ")[2].replace("ANOTHER_FOLDER", str(out))
    )
    python, _, module, *options = shlex.split(command)
    assert (python, module) == ("python", "pipelines.build_features")
    assert options[options.index("--model") + 1] == "vit_tiny"
    assert "training.seed=1" in options
    assert build_features.run(options) == 0
    assert train.run([*asked, f"data.features={out}"]) == 0


def test_a_backbone_is_named_by_the_nearest_config(tmp_path: Path) -> None:
    shipped = load_config(model="dinov2_small")
    assert builder_options(shipped) == ["--model", "dinov2_small"]
    assert builder_options(shipped, tmp_path) == ["--model", str(tmp_path)]
    # What the tokens that are there were computed by comes first, as far as it is still to be had.
    assert builder_options(shipped, tmp_path, "dinov2_small") == ["--model", "dinov2_small"]
    assert builder_options(shipped, None, str(tmp_path)) == ["--model", str(tmp_path)]
    assert builder_options(shipped, tmp_path, "gone/model") == ["--model", str(tmp_path)]
    # A seed is of random weights alone.
    changed = ["model.backbone.layers=[3,6]", "training.seed=4"]
    options = ["--model", "dinov2_small", "model.backbone.layers=[3,6]"]
    assert builder_options(load_config(model="dinov2_small", overrides=changed)) == options
    random = load_config(model="vit_tiny", overrides=["training.seed=4"])
    assert builder_options(random) == ["--model", "vit_tiny", "training.seed=4"]
    assert builder_options(random, tmp_path, "vit_tiny") == ["--model", "vit_tiny", "training.seed=4"]
    # Begun from another model it has that one's seed.
    begun = load_config(model="vit_tiny", overrides=["training.init_from=other"])
    assert builder_options(begun, tmp_path, "vit_tiny") == ["--model", str(tmp_path)]


def test_a_backbone_that_is_trained_takes_no_features() -> None:
    config = load_config(model="vit_tiny", overrides=[*SMALL, "model.backbone.freeze=true"])
    model = TrackNet(config.model, input_size=Size(96, 48), num_frames=3)
    frames = torch.randint(0, 256, (2, 3, 3, 48, 96), dtype=torch.uint8)
    features = model.encode_frames(frames.flatten(0, 1)).unflatten(0, (2, 3))
    torch.testing.assert_close(model(frames, features), model(frames))
    model.backbone.set_frozen(False)
    with pytest.raises(UserError, match="this model's is trained"):
        model(frames, features)
    assert model.eval()(frames, features.half()).dtype == torch.float32
