"""The training loop on a model of seconds: what a run leaves, and what its settings do."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.training.conftest import records, run_name
from tracknet.models.model_folder import resolve_model_folder
from tracknet.models.precision import Precision
from tracknet.scripts import train
from tracknet.training import validation
from tracknet.training.checkpoint import load_checkpoint
from tracknet.training.metrics import Predictions, Protocol, best_threshold
from tracknet.training.setup import prepare
from tracknet.training.trainer import Trainer
from tracknet.utils.config import load_config
from tracknet.utils.errors import RunError, UserError


def test_a_run_leaves_everything_that_it_should(small_train_args: list[str]):
    run = run_name(small_train_args, "full", "training.epochs=2", "training.log_every_steps=1")
    # 32 windows in batches of 4, two epochs.
    assert [r["step"] for r in records(run, "train")] == list(range(1, 17))
    assert [r["step"] for r in records(run, "val")] == [8, 16]
    assert {"loss", "lr", "grad_norm", "windows_per_s", "data_s"} <= records(run, "train")[0].keys()
    assert records(run, "val")[0]["frames"] == 32
    assert records(run, "val")[0]["frames_with_ball"] == 30
    facts = json.loads((run / "run.json").read_text())
    assert facts["seed"] == 0
    assert facts["dataset"]["games"] == {"train": ["game1"], "val": ["game2"]}
    assert facts["packages"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert (run / "checkpoints" / "last").resolve().name == "step_000016"
    assert (run / "checkpoints" / "best").exists()
    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    assert [e.step for e in events.Scalars("train/loss")] == list(range(1, 17))
    assert [e.step for e in events.Scalars("val/pck@5px")] == [8, 16]
    (picture, *_) = events.Images("val/overlay_0")
    assert (picture.width, picture.height) == (96 + 3 * 48, 48)
    best = json.loads((run / "checkpoints" / "best" / "model" / "config.json").read_text())
    assert best["provenance"]["run"] == "full"
    assert best["score_threshold"] == best["provenance"]["validation"]["threshold"]
    assert best["provenance"]["validation"]["step"] == best["provenance"]["step"]


def test_the_loss_falls(small_train_args: list[str]):
    settings = [
        "training.epochs=20",
        "training.log_every_steps=1",
        "training.loss.name=mse",
        "data.augment.enabled=false",
    ]
    losses = [r["loss"] for r in records(run_name(small_train_args, "falls", *settings), "train")]
    first, last = sum(losses[:16]) / 16, sum(losses[-16:]) / 16
    assert last < 0.6 * first, (first, last)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="a process has all CPUs here")
def test_no_more_threads_than_a_process_has_cpus_are_used(small_train_args: list[str]) -> None:
    before, said, allowed = torch.get_num_threads(), list[str](), os.sched_getaffinity(0)
    settings = [arg for arg in small_train_args if "=" in arg]
    config = load_config(model="vit_tiny", training="cpu", overrides=[*settings, "training.threads=999"])
    try:
        os.sched_setaffinity(0, {min(allowed)})
        prepare(config, say=said.append)
        assert torch.get_num_threads() == 1
    finally:
        os.sched_setaffinity(0, allowed)
        torch.set_num_threads(before)
    assert "note: training.threads=999 are more than the CPUs that this process may use: 1" in said


def test_max_steps_counts_whatever_the_epochs(small_train_args: list[str]):
    run = run_name(small_train_args, "steps", "training.epochs=1", "training.max_steps=11")
    assert load_checkpoint(run / "checkpoints")[1].step == 11


def test_checkpoints_elsewhere_are_found_and_never_mixed(small_train_args: list[str], tmp_path: Path):
    elsewhere = f"training.ckpt_dir={tmp_path / 'elsewhere'}"
    run = run_name(small_train_args, "far", elsewhere, "training.max_steps=2")
    assert (tmp_path / "elsewhere" / "far" / "step_000002" / "model" / "model.safetensors").is_file()
    assert resolve_model_folder(run).is_dir()
    assert train.run(["--resume", str(run), "training.max_steps=3"]) == 0
    shutil.rmtree(run)
    with pytest.raises(UserError, match=r"elsewhere.far exists already"):
        run_name(small_train_args, "far", elsewhere)


def test_fp16_overflows_leave_the_step_and_the_schedule_out(
    small_train_args: list[str], monkeypatch: pytest.MonkeyPatch
):
    class Scaler:
        """Overflows on its first two steps, as a GradScaler does that starts too high."""

        scale_now, steps = 65536.0, 0

        def is_enabled(self) -> bool:
            return True

        def scale(self, loss: torch.Tensor) -> torch.Tensor:
            return loss

        def unscale_(self, optimizer: torch.optim.Optimizer) -> None:
            pass

        def get_scale(self) -> float:
            return self.scale_now

        def step(self, optimizer: torch.optim.Optimizer) -> None:
            self.steps += 1
            if self.steps > 2:
                optimizer.step()

        def update(self) -> None:
            if self.steps <= self.overflows:
                self.scale_now /= 2

        def state_dict(self) -> dict[str, float]:
            return {}

        overflows = 2

    monkeypatch.setattr(Precision, "scaler", lambda self: Scaler())
    settings = ["training.max_steps=4", "training.log_every_steps=1", "training.ema=0.9"]
    run = run_name(small_train_args, "fp16", *settings)
    steps = records(run, "train")
    assert [r["skipped"] for r in steps] == [True, True, False, False]
    assert steps[0]["lr"] == steps[1]["lr"] == steps[2]["lr"] != steps[3]["lr"]
    _, state, tensors = load_checkpoint(run / "checkpoints")
    assert state.skipped_steps == 2
    assert tensors["ema"]["updates"] == 2
    monkeypatch.setattr(Scaler, "overflows", 100)
    with pytest.raises(RunError, match="fp16 gradient is nan at step 21"):
        run_name(small_train_args, "hopeless", "training.max_steps=50")


def test_a_run_whose_maps_stay_empty_is_told(small_train_args: list[str], capsys: pytest.CaptureFixture[str]):
    hopeless = [
        "training.optimizer.lr=1e-9",
        "training.metrics.distance_px=0.01",
        "training.empty_map_steps=5",
    ]
    run = run_name(small_train_args, "empty", *hopeless, "training.max_steps=7")
    (warning,) = records(run, "warning")
    assert warning["step"] == 5
    assert "the maps stay empty" in capsys.readouterr().out


def test_accumulation_takes_the_same_steps_as_a_larger_batch(small_train_args: list[str]):
    # Without dropout, augmentation and masked maps two halves are the whole: the mean of means is the mean.
    plain = [
        "model.backbone.config.hidden_dropout_prob=0",
        "data.augment.enabled=false",
        "training.max_steps=1",
        "training.log_every_steps=1",
        "training.loss.absent=negative",
        "training.loss.name=focal",
        "data.loader.lanes=1",
        "data.loader.run_length=1000",
        "data.sequence.length=1",
    ]
    large = run_name(small_train_args, "large", *plain, "training.batch_size=32")
    parts = run_name(small_train_args, "parts", *plain, "training.batch_size=8", "training.accumulate=4")
    assert records(parts, "train")[0]["loss"] == pytest.approx(records(large, "train")[0]["loss"], rel=1e-4)
    assert records(parts, "train")[0]["grad_norm"] == pytest.approx(
        records(large, "train")[0]["grad_norm"], rel=1e-3
    )


def test_a_loss_that_is_no_number_stops_before_the_update(
    small_train_args: list[str], monkeypatch: pytest.MonkeyPatch
):
    class Poison(torch.nn.Module):
        def forward(self, logits: torch.Tensor, *args: object, **kwargs: object) -> torch.Tensor:
            return logits.sum() * float("nan")

    seen: dict[str, torch.Tensor] = {}
    prepare = Trainer.__init__

    def poisoned(self: Trainer, *args: object, **kwargs: object) -> None:
        prepare(self, *args, **kwargs)  # type: ignore[arg-type]
        self.learner.gradients.loss = Poison()  # type: ignore[assignment]
        seen.update({name: value.clone() for name, value in self.model.state_dict().items()})
        seen["model"] = self.model  # type: ignore[assignment]

    monkeypatch.setattr(Trainer, "__init__", poisoned)
    with pytest.raises(RunError, match=r"the loss is nan at step 1, with samples game1_Clip\d_00"):
        train.run([*small_train_args, "--name", "nan"])
    model = seen.pop("model")
    assert all(torch.equal(value, seen[name]) for name, value in model.state_dict().items())  # type: ignore[attr-defined]


def test_the_threshold_is_chosen_by_the_protocol_asked_for_and_the_model_says_so(
    small_train_args: list[str], monkeypatch: pytest.MonkeyPatch
):
    by: list[str] = []

    def chosen(predictions: Predictions, protocol: Protocol) -> float:
        by.append(protocol.name)
        return best_threshold(predictions, protocol)

    monkeypatch.setattr(validation, "best_threshold", chosen)
    settings = ["training.max_steps=2", "training.metrics.monitor=f1"]
    run = run_name(small_train_args, "wasb", *settings, "training.metrics.threshold_protocol=wasb")
    assert by == ["wasb"]
    model = json.loads((run / "checkpoints" / "best" / "model" / "config.json").read_text())
    assert model["provenance"]["threshold_chosen_on"]["protocol"] == "wasb, d < 4 px at 1280x720"
    assert "chosen by F1 under wasb, d < 4 px" in (run / "checkpoints/best/model/README.md").read_text()
    (figures,) = records(run, "val")
    state = load_checkpoint(run / "checkpoints")[1]
    assert (state.best, state.best_of) == (figures["f1_wasb"], "f1_wasb")
    # A resumed run goes on under the same one, and by another the old record is no record.
    assert train.run(["--resume", str(run), "training.max_steps=3"]) == 0
    assert by == ["wasb", "wasb"]
    more = ["training.max_steps=4", "training.metrics.threshold_protocol=design"]
    assert train.run(["--resume", str(run), *more]) == 0
    assert load_checkpoint(run / "checkpoints")[1].best_of == "f1_all_frames"
    plain = run_name(small_train_args, "plain", *settings)
    assert by[2:] == ["design", "design"]
    assert not {name for name in records(plain, "val")[0] if name.startswith("f1_")} - {"f1_all_frames"}


def test_bf16_and_gradient_checkpointing_train_too(small_train_args: list[str]):
    run = run_name(
        small_train_args,
        "bf16",
        "training.amp=bf16",
        "training.gradient_checkpointing=true",
        "training.max_steps=2",
    )
    assert (run / "checkpoints" / "last" / "model" / "model.safetensors").is_file()


def test_frozen_backbone_stays_what_it_was(small_train_args: list[str]):
    run = run_name(small_train_args, "frozen", "model.backbone.freeze=true", "training.epochs=2")
    first, last = (
        load_file(p / "model" / "model.safetensors") for p in sorted((run / "checkpoints").glob("step_*"))
    )
    assert all(torch.equal(first[k], last[k]) for k in first if k.startswith("backbone."))
    assert not all(torch.equal(first[k], last[k]) for k in first if not k.startswith("backbone."))


def test_init_from_starts_a_new_run_from_weights(small_train_args: list[str]):
    first = run_name(small_train_args, "first", "training.max_steps=2")
    second = run_name(
        small_train_args,
        "second",
        f"training.init_from={first}",
        "training.max_steps=1",
        "training.optimizer.lr=1e-12",
    )
    a, b = (
        load_file(run / "checkpoints" / "last" / "model" / "model.safetensors") for run in (first, second)
    )
    assert all(torch.allclose(a[k], b[k], atol=1e-6) for k in a)
    assert [r["step"] for r in records(second, "val")] == [1]
    with pytest.raises(UserError, match=r"model.heatmap.sigma: asked for 2.0, the weights have 1.0"):
        run_name(small_train_args, "third", f"training.init_from={first}", "model.heatmap.sigma=2.0")


def test_all_maps_are_trained_and_the_anchors_evaluated(small_train_args: list[str]):
    run = run_name(small_train_args, "all", "model.head.maps=all", "training.max_steps=2")
    assert records(run, "val")[0]["frames"] == 32
