"""Every option of speed takes the same steps as the plain path, and is really what runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from functorch.compile import make_boxed_func
from safetensors.torch import load_file
from torch import nn
from torch._dynamo.backends.common import aot_autograd
from torch._inductor.exc import InductorError
from torch.nn import functional as F

from tests.training.conftest import MakeTrainer, RunRanks, records, take_steps
from tracknet.models.decoders.upsampling_decoder import UpsamplingStage
from tracknet.scripts import train
from tracknet.training import acceleration
from tracknet.training.setup import prepare
from tracknet.utils.config import load_config
from tracknet.utils.errors import UserError
from tracknet.utils.settings import SpeedConfig

PLAIN = (
    "training.speed.attention=eager",
    "training.speed.channels_last=false",
    "training.speed.fused_optimizer=false",
    "training.speed.prefetch=false",
)


@pytest.mark.parametrize(
    ("setting", "tolerance"),
    [
        ("training.speed.attention=sdpa", 1e-5),
        ("training.speed.channels_last=true", 1e-5),
        ("training.speed.fused_optimizer=true", 1e-5),
        ("training.gradient_checkpointing=true", 1e-5),
        ("training.micro_batch=3", 1e-5),
        ("training.amp=bf16", 2e-2),
    ],
)
def test_an_option_takes_the_plain_steps(small_trainer: MakeTrainer, setting: str, tolerance: float) -> None:
    plain, fast = small_trainer(*PLAIN), small_trainer(*PLAIN, setting)
    plain_steps, fast_steps = take_steps(plain, 3), take_steps(fast, 3)
    for figure in ("loss", "grad_norm", "peak"):
        a, b = ([getattr(step, figure) for step in steps] for steps in (plain_steps, fast_steps))
        assert b == pytest.approx(a, rel=tolerance, abs=0)
    if tolerance < 1e-2:
        assert [(s.found, s.balls) for s in fast_steps] == [(s.found, s.balls) for s in plain_steps]
    weights = fast.model.state_dict()
    # Adam divides by gradients' own sizes: where one is all rounding, so is its step of at most lr.
    for name, weight in plain.model.state_dict().items():
        assert float((weights[name] - weight).abs().mean()) <= max(tolerance, 1e-9) * 3e-3 * 100, name


@pytest.mark.parametrize(("name", "calls"), [("sdpa", 1), ("eager", 0)])
def test_the_attention_asked_for_is_what_runs(
    small_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch, name: str, calls: int
) -> None:
    seen = []
    attend = F.scaled_dot_product_attention

    def counted(*args: object, **kwargs: object) -> torch.Tensor:
        seen.append(1)
        return attend(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(F, "scaled_dot_product_attention", counted)
    trainer = small_trainer(f"training.speed.attention={name}")
    take_steps(trainer, 1)
    # One layer, all frames of a batch at once.
    assert len(seen) == calls


def test_convolutions_see_channels_last(small_trainer: MakeTrainer) -> None:
    trainer = small_trainer("training.speed.channels_last=true")
    seen = []
    stage = trainer.model.decoder.stages[-1]  # type: ignore[union-attr,index]
    stage.conv.register_forward_pre_hook(lambda part, inputs: seen.append(inputs[0]))
    take_steps(trainer, 2)
    assert all(value.is_contiguous(memory_format=torch.channels_last) for value in seen)
    assert not any(value.is_contiguous() for value in seen)


@pytest.mark.parametrize("again", [False, True])
def test_gradient_checkpointing_reaches_every_layer_and_stage(
    small_trainer: MakeTrainer, again: bool
) -> None:
    trainer = small_trainer(
        f"training.gradient_checkpointing={again}", "model.backbone.config.num_hidden_layers=2"
    )
    counts: dict[str, int] = {}

    def count(name: str) -> Callable[..., None]:
        return lambda *_: counts.update({name: counts.get(name, 0) + 1})

    # Hooks of a layer or stage itself stand outside of what is computed again: those of what is in it do not.
    inner = {
        f"{name}.conv": part.conv
        for name, part in trainer.model.named_modules()
        if isinstance(part, UpsamplingStage)
    }
    inner |= {
        name: part for name, part in trainer.model.backbone.named_modules() if isinstance(part, nn.Linear)
    }
    # Three stages; four linear maps of attention and two of the MLP in each of two layers.
    assert len(inner) == 3 + 2 * 6
    for name, part in inner.items():
        part.register_forward_pre_hook(count(name))
    take_steps(trainer, 1)
    assert counts == dict.fromkeys(inner, 1 + again)


@pytest.mark.parametrize("on", [True, False])
def test_what_torch_holds_for_the_process_is_set_on_cuda_only(
    monkeypatch: pytest.MonkeyPatch, on: bool
) -> None:
    before = torch.get_float32_matmul_precision()
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", not on)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", not on)
    speed = SpeedConfig(tf32=on, cudnn_benchmark=on)
    try:
        acceleration.set_backends(speed, torch.device("cpu"))
        assert (torch.get_float32_matmul_precision(), torch.backends.cudnn.benchmark) == (before, not on)
        acceleration.set_backends(speed, torch.device("cuda"))
        assert torch.get_float32_matmul_precision() == ("high" if on else "highest")
        assert (torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32) == (on, on)
    finally:
        torch.set_float32_matmul_precision(before)


# ---------------------------------------------------------------- torch.compile


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the graphs that are compiled, by a backend that runs them as they are."""
    sizes: list[int] = []

    def backend(graph: torch.fx.GraphModule, inputs: object) -> Callable[..., object]:
        sizes.append(len(graph.graph.nodes))
        return graph.forward

    monkeypatch.setattr(acceleration, "BACKEND", backend)
    monkeypatch.setattr(acceleration, "check_compiler", lambda device: None)
    torch._dynamo.reset()
    return sizes


NONE = (
    "model.decoder.channels=[C,8,8]",
    "model.decoder.upsample=[2,2]",
    "model.decoder.detail_levels=2",
    "model.decoder.detail_channels=4",
    "model.heatmap.size=[96,48]",
)


@pytest.mark.parametrize(
    ("sizes", "compiled"), [((), [2, 2, 2]), (("training.sizes.factors=[0.5,1]",), [2, 4, 4])]
)
def test_each_size_and_length_is_compiled_once_and_takes_the_plain_steps(
    small_trainer: MakeTrainer, graphs: list[int], sizes: tuple[str, ...], compiled: list[int]
) -> None:
    """However few variants torch keeps by itself (8), beyond which it silently compiles nothing."""
    settings = (*NONE, *sizes, "training.batch_size=5")
    plain = small_trainer(*settings, model="detail_small")
    # In parts of two and of three windows.
    fast = small_trainer(
        *settings, "training.compile=default", "training.micro_batch=3", model="detail_small"
    )
    losses = [step.loss for step in take_steps(plain, 3)]
    assert not graphs
    batches, made = fast.train.epoch(), []
    fast.model.train()
    with torch._dynamo.config.patch(cache_size_limit=1, accumulated_cache_size_limit=1):
        for number, loss in enumerate(losses, 1):
            assert fast.learner.step(batches, number).loss == pytest.approx(loss, rel=1e-4)
            made.append(len(graphs))
    assert made == compiled
    assert all(size > 20 for size in graphs)
    assert plain.model.state_dict().keys() == fast.model.state_dict().keys()
    names = [group["name"] for group in fast.learner.tensors()["optimizer"]["param_groups"]]
    assert names == [group["name"] for group in plain.learner.tensors()["optimizer"]["param_groups"]]


def test_what_was_compiled_before_leaves_as_much_room(graphs: list[int]) -> None:
    """As before a thaw, or of another training in the same process."""
    with torch._dynamo.config.patch(cache_size_limit=1, accumulated_cache_size_limit=1):
        layer = torch.nn.Linear(3, 1)
        for requires_grad in (False, True):
            layer.requires_grad_(requires_grad)
            forward = acceleration.compiled(layer, "default", dynamic=False, variants=3)
            for rows in (2, 3, 4):
                assert forward(torch.ones(rows, 3)).shape == (rows, 1)
        assert len(graphs) == 6


def test_two_ranks_compile_and_leave_a_plain_checkpoint(
    small_train_args: list[str], tmp_path: Path, run_ranks: RunRanks, graphs: list[int]
) -> None:
    places = [arg for arg in small_train_args if arg.startswith(("data.", "training."))]
    args = ["--model", "detail_small", "--training", "cpu", *places, *NONE, "training.max_steps=2"]
    args += ["training.log_every_steps=1", "data.augment.enabled=false"]
    assert train.run([*args, "--name", "one"]) == 0
    assert not graphs
    work = [*args, "training.compile=default", "training.accumulate=1", "--name", "two"]
    assert run_ranks(lambda rank: train.run(work) or (0 if graphs else 60)) == [0, 0], (
        tmp_path / "rank_0.out"
    ).read_text()
    runs = [tmp_path / "runs" / name for name in ("one", "two")]
    one, two = ([line["loss"] for line in records(run, "train")] for run in runs)
    assert two == pytest.approx(one, rel=1e-4)
    names = [load_file(run / "checkpoints/last/model/model.safetensors").keys() for run in runs]
    assert names[0] == names[1]


THAW = ("model.backbone.freeze=true", "training.unfreeze_at=2", "training.ema=0.9")


def test_a_backbone_that_thaws_is_compiled_again_and_takes_the_plain_steps(
    small_trainer: MakeTrainer, graphs: list[int]
) -> None:
    """With parts, layouts, fused kernels and an average at once."""
    plain = small_trainer(*THAW)
    fast = small_trainer(*THAW, "training.compile=default", "training.micro_batch=3")
    before = {name: value.clone() for name, value in fast.model.backbone.state_dict().items()}
    batches = [trainer.train.epoch() for trainer in (plain, fast)]
    losses: list[list[float]] = [[], []]
    sizes = []
    for number in range(1, 5):
        for trainer, stream, told in zip((plain, fast), batches, losses, strict=True):
            trainer.model.train()
            told.append(trainer.learner.step(stream, number).loss)
        sizes.append(len(graphs))
        same = all(
            torch.equal(value, before[name]) for name, value in fast.model.backbone.state_dict().items()
        )
        assert same is (number <= 2)
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    assert 0 < sizes[1] < sizes[2]


@pytest.mark.parametrize("compile_mode", ["off", "default"])
def test_two_ranks_thaw_as_one(
    small_train_args: list[str], tmp_path: Path, run_ranks: RunRanks, graphs: list[int], compile_mode: str
) -> None:
    args = [*small_train_args, *THAW, "training.max_steps=4", "training.log_every_steps=1"]
    args += ["training.loss.hard_fraction=0.5", "data.augment.enabled=false", "training.overlay_images=0"]
    args += ["model.backbone.config.hidden_dropout_prob=0"]
    assert train.run([*args, "--name", "one"]) == 0
    work = [*args, f"training.compile={compile_mode}", "--name", "two"]
    assert run_ranks(lambda rank: train.run(work)) == [0, 0], (tmp_path / "rank_0.out").read_text()
    one, two = (
        load_file(tmp_path / "runs" / name / "checkpoints/last/model/model.safetensors")
        for name in ("one", "two")
    )
    assert one.keys() == two.keys()
    assert max(float((one[name] - two[name]).abs().max()) for name in one) < 1e-4


def test_what_cannot_be_compiled_is_said_so(
    small_trainer: MakeTrainer, graphs: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(graph: torch.fx.GraphModule, inputs: object) -> Callable[..., object]:
        raise RuntimeError("no such kernel")

    monkeypatch.setattr(acceleration, "BACKEND", broken)
    trainer = small_trainer(*NONE, "training.compile=default", model="detail_small")
    with pytest.raises(UserError, match=r"this model cannot be compiled here: .*no such kernel") as refused:
        take_steps(trainer, 1)
    assert refused.value.remedy == "train with training.compile=off"


def test_what_cannot_be_compiled_backward_is_said_so(
    small_trainer: MakeTrainer, graphs: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the compiler first sees the backward pass when it is run, as inductor does."""

    def broken(graph: torch.fx.GraphModule, inputs: object) -> Callable[..., object]:
        def run(*args: object) -> object:
            raise InductorError(RuntimeError("no such kernel"), None)

        return make_boxed_func(run)

    def backend(graph: torch.fx.GraphModule, inputs: object) -> Callable[..., object]:
        return aot_autograd(fw_compiler=lambda fx, _: make_boxed_func(fx.forward), bw_compiler=broken)(
            graph, inputs
        )

    monkeypatch.setattr(acceleration, "BACKEND", backend)
    trainer = small_trainer(*NONE, "training.compile=default", model="detail_small")
    with pytest.raises(UserError, match=r"this model cannot be compiled here: .*no such kernel") as refused:
        take_steps(trainer, 1)
    assert refused.value.remedy == "train with training.compile=off"


def test_a_machine_without_a_compiler_is_told_before_the_start(
    small_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(UserError, match="compile cannot be had") as refused:
        small_trainer("training.compile=default")
    assert "there is no compiler: g++, clang++, c++" in refused.value.problems


def test_a_baseline_is_told_that_checkpointing_does_nothing(small_train_args: list[str]) -> None:
    places = [arg for arg in small_train_args if arg.startswith(("data.", "training."))]
    config = load_config(
        model="wasb",
        training="cpu",
        overrides=[*places, "model.heatmap.size=[96,48]", "training.gradient_checkpointing=true"],
    )
    told: list[str] = []
    prepare(config, say=told.append)
    assert "note: training.gradient_checkpointing does nothing for wasb" in told
