"""Each step's size is a function of the seed and its number, and everything of a step is of that size."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.training.conftest import MakeTrainer, RunRanks, records, run_name, take_steps
from tracknet.datasets.batch import Batch
from tracknet.datasets.sized_batches import at_size
from tracknet.models.model import TrackNet
from tracknet.scripts import train
from tracknet.training import step_gradients, step_sizes
from tracknet.training.step_sizes import StepSizes, fitting_sizes
from tracknet.utils.config import load_config
from tracknet.utils.errors import RunError, UserError
from tracknet.utils.geometry import Size
from tracknet.utils.settings import SizesConfig, TrainingConfig

FACTORS = "training.sizes.factors=[0.5,1,1.5]"
# What they make of 96x48 in patches of 16.
SIZES = (Size(48, 32), Size(96, 48), Size(144, 80))
FULL = Size(512, 288)


def model_of(stored: Size = FULL, unit: int = 16, **more: Any) -> Any:
    heatmap = SimpleNamespace(size=Size(stored.width // 2, stored.height // 2), sigma=1.5)
    return SimpleNamespace(
        input_size=stored, size_unit=unit, config=SimpleNamespace(heatmap=heatmap), training_sizes=(), **more
    )


def steps_of(sizes: SizesConfig, total: int, *, seed: int = 0, stored: Size = FULL) -> StepSizes:
    model = model_of(stored)
    model.training_sizes = fitting_sizes(sizes, model)
    return StepSizes(TrainingConfig(sizes=sizes, seed=seed), model, total)


# ---------------------------------------------------------------- which sizes there are


@given(
    factors=st.lists(st.floats(0.25, 4.0), min_size=1, max_size=4),
    patch=st.sampled_from([8, 14, 16, 32]),
    columns=st.integers(2, 40),
    rows=st.integers(2, 40),
)
def test_sizes_are_whole_patches_near_what_was_asked_for(
    factors: list[float], patch: int, columns: int, rows: int
) -> None:
    stored = Size(columns * patch, rows * patch)
    for factor in factors:
        (size,) = fitting_sizes(SizesConfig((factor,)), model_of(stored, patch))
        for length, whole in zip(size, stored, strict=True):
            assert length % patch == 0 and length >= patch
            assert abs(length - whole * factor) <= patch / 2 + 1e-6 or length == patch
    assert fitting_sizes(SizesConfig((1.0,)), model_of(stored, patch)) == (stored,)


def test_the_usual_sizes() -> None:
    usual = SizesConfig((0.75, 1.0, 1.25))
    assert fitting_sizes(usual, model_of(Size(256, 144))) == ((192, 112), (256, 144), (320, 176))
    assert fitting_sizes(usual, model_of(FULL)) == ((384, 224), (512, 288), (640, 368))
    assert fitting_sizes(usual, model_of(Size(504, 280), 14)) == ((378, 210), (504, 280), (630, 350))
    assert fitting_sizes(SizesConfig(), model_of()) == ()


def test_factors_that_come_to_one_size_are_refused_with_those_there_are() -> None:
    with pytest.raises(UserError, match="some come to the same size") as caught:
        fitting_sizes(SizesConfig((0.98, 1.0, 1.25)), model_of(Size(256, 144)))
    assert caught.value.problems == ("0.98 and 1: 256x144",)
    assert caught.value.remedy is not None
    assert caught.value.remedy.startswith(
        "width and height are whole multiples of 16 px here, of 256x144 stored; "
    )
    named = caught.value.remedy.partition("there are ")[2].split(", ")
    assert "1 (256x144)" in named and len(named) == 9
    # Each comes to what is said of it.
    for entry in named:
        factor, size = entry.rstrip(")").split(" (")
        (found,) = fitting_sizes(SizesConfig((float(factor),)), model_of(Size(256, 144)))
        assert str(found) == size


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        (["training.sizes.factors=[0.1,1]"], "must be from 0.25 to 4 of the stored size, got [0.1, 1.0]"),
        (["training.sizes.factors=[1,1]"], "one is named twice: [1.0, 1.0]"),
        ([f"training.sizes.factors={[n / 4 for n in range(2, 10)]}"], "at most 7, for kernels"),
        (
            ["training.sizes.factors=[0.5]", "training.sizes.full_share=0"],
            "no step would be at the stored size, which is validated at: add 1 to training.sizes.factors",
        ),
        (
            [FACTORS, "data.features=there", "data.augment.enabled=false", "model.backbone.freeze=true"],
            "goes without data.features, which hold the tokens of one size: set it to [], or data.features=null",
        ),
    ],
)
def test_what_is_refused(settings: list[str], problem: str) -> None:
    with pytest.raises(UserError) as caught:
        load_config(overrides=settings)
    assert problem in str(caught.value)


# ---------------------------------------------------------------- which step has which


@given(seed=st.integers(0, 2**32 - 1), total=st.integers(1, 200), count=st.integers(1, 5))
def test_each_size_comes_as_often_and_the_last_steps_are_whole(seed: int, total: int, count: int) -> None:
    sizes = SizesConfig(tuple(0.5 + n / 4 for n in range(count)), full_share=0.25)
    steps = steps_of(sizes, total, seed=seed)
    taken = [steps.of_step(number) for number in range(1, total + 1)]
    whole = math.ceil(0.25 * total)
    assert taken[total - whole :] == [FULL] * whole
    changing = taken[: total - whole]
    counts = Counter(changing)
    assert set(counts) <= set(steps.sizes)
    assert max(counts.values(), default=0) - min(counts.values(), default=0) <= 1 or len(counts) < count
    # Another length of the training moves its end alone.
    longer = steps_of(sizes, total + 40, seed=seed)
    assert [longer.of_step(number) for number in range(1, len(changing) + 1)] == changing


def test_seeds_differ_and_turns_do() -> None:
    sizes = SizesConfig((0.5, 1.0, 1.5))
    one, other = ([steps_of(sizes, 300, seed=seed).of_step(n) for n in range(1, 271)] for seed in (0, 1))
    assert one != other
    assert len({tuple(one[n : n + 3]) for n in range(0, 270, 3)}) == 6


def test_growing_sizes() -> None:
    steps = steps_of(SizesConfig((1.0, 0.5), order="growing", full_share=0.2), 10)
    widths = [steps.of_step(number).width for number in range(1, 11)]
    assert widths == [256] * 4 + [512] * 6
    assert steps.describe() == "256x144, 512x288 one after the other for 8 steps, then 2 at 512x288"


@pytest.mark.parametrize("factors", [(0.5,), (0.75, 1.0, 1.25)])
@pytest.mark.parametrize("total", [1, 2, 3, 4, 7])
def test_a_short_training_too_ends_at_the_stored_size(factors: tuple[float, ...], total: int) -> None:
    """A tenth of four steps is less than half a step."""
    steps = steps_of(SizesConfig(factors), total)
    assert steps.of_step(total) == FULL
    assert total == 1 or steps.of_step(total - 1) in steps.sizes
    # 0.7 * 10 is 7.000000000000001 in floating point.
    assert steps_of(SizesConfig(factors, full_share=0.7), 10).describe().endswith(", then 7 at 512x288")


@given(
    seed=st.integers(0, 99),
    total=st.integers(1, 60),
    count=st.integers(1, 5),
    order=st.sampled_from(["mixed", "growing"]),
    share=st.sampled_from([0.0, 0.1, 0.9]),
)
def test_what_the_dry_run_reckons_with_is_what_the_steps_are(
    seed: int, total: int, count: int, order: Any, share: float
) -> None:
    steps = steps_of(SizesConfig(tuple(1.0 - n / 5 for n in range(count)), order, share), total, seed=seed)
    taken = [steps.of_step(number) for number in range(1, total + 1)]
    areas = [size.width * size.height for size in taken]
    assert steps.mean_area == pytest.approx(sum(areas) / total)
    assert steps.largest.width * steps.largest.height == max(areas)
    at = [number for number, size in enumerate(taken, 1) if size == steps.largest]
    assert steps.steps_at_largest(2) == (at if len(at) > 1 else 2 * at)[:2]


def test_what_the_dry_run_reckons_with() -> None:
    steps = steps_of(SizesConfig((0.5, 1.5)), 100)
    assert steps.largest == Size(768, 432)
    assert steps.mean_area == pytest.approx((0.9 * (0.25 + 2.25) / 2 + 0.1) * 512 * 288)
    assert steps_of(SizesConfig((0.5,)), 100).steps_at_largest(2) == [91, 92]
    off = steps_of(SizesConfig(), 100)
    assert (off.steps_at_largest(2), off.mean_area, off.of_step(7)) == ([1, 2], 512 * 288, FULL)
    assert off.at(batch := object(), FULL) is batch  # type: ignore[arg-type, comparison-overlap]


# ---------------------------------------------------------------- in a training


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The shapes of what passes through a model in training."""
    shapes: list[tuple[int, ...]] = []
    forward = TrackNet.forward

    def noted(self: TrackNet, frames: torch.Tensor, features: torch.Tensor | None = None) -> torch.Tensor:
        shapes.append((len(frames), frames.shape[-1], frames.shape[-2]))
        return forward(self, frames, features)

    monkeypatch.setattr(TrackNet, "forward", noted)
    return shapes


def test_all_parts_of_a_step_are_of_its_size(small_trainer: MakeTrainer, seen: list[tuple[int, ...]]) -> None:
    settings = (FACTORS, "training.accumulate=2")
    whole, parts = (small_trainer(*settings, *more) for more in ([], ["training.micro_batch=2"]))
    one = take_steps(whole, 3)
    assert [report.size for report in one] == [Size(*shape[1:]) for shape in seen[::2]]
    assert seen[::2] == seen[1::2]
    seen.clear()
    other = take_steps(parts, 3)
    assert [Size(*shape[1:]) for shape in seen[::4]] == [report.size for report in other]
    assert seen[::4] == seen[1::4] == seen[2::4] == seen[3::4]
    assert {report.size for report in one} == set(SIZES)
    for figure in ("loss", "grad_norm", "peak", "found", "balls"):
        assert [getattr(s, figure) for s in other] == pytest.approx(
            [getattr(s, figure) for s in one], rel=1e-4
        )


@pytest.mark.parametrize(
    "more",
    [
        ["training.amp=bf16"],
        ["training.loss.hard_fraction=0.5"],
        ["model.backbone.freeze=true"],
        ["training.gradient_checkpointing=true"],
        ["data.augment.enabled=true", "data.augment.by=device"],
        ["data.augment.enabled=true", "data.augment.mixup.prob=1"],
        ["training.accumulate=2", "training.loss.name=focal"],
    ],
)
def test_it_goes_with(small_trainer: MakeTrainer, more: list[str]) -> None:
    trainer = small_trainer(FACTORS, *more)
    reports = take_steps(trainer, 4)
    assert {report.size for report in reports} == set(SIZES)
    assert all(0 < report.loss < 10 and report.grad_norm > 0 for report in reports)


def test_balls_are_located_at_any_size(small_trainer: MakeTrainer) -> None:
    """Cells of each size come back to the frame where they belong."""
    trainer = small_trainer(FACTORS, "training.max_steps=40")
    trainer.model.train()
    reports = []
    for epoch in range(5):
        batches = trainer.train.epoch(epoch)
        reports += [trainer.learner.step(batches, 8 * epoch + n) for n in range(1, 9)]
    for size in SIZES:
        last = [report for report in reports[24:] if report.size == size]
        assert sum(r.found for r in last) >= 0.8 * sum(r.balls for r in last) > 0


def test_windows_are_halved_at_the_first_size_that_does_not_fit(
    small_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward, tried = TrackNet.forward, []

    def limited(self: TrackNet, frames: torch.Tensor, features: torch.Tensor | None = None) -> torch.Tensor:
        tried.append((len(frames), frames.shape[-1]))
        if len(frames) * frames.shape[-1] > 2 * 144:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return forward(self, frames, features)

    monkeypatch.setattr(TrackNet, "forward", limited)
    trainer = small_trainer(FACTORS, "training.micro_batch=auto")
    reports = take_steps(trainer, 6)
    assert all(report.windows == 4 for report in reports)
    # Halved once, and so it stays.
    failed = next(n for n, (count, width) in enumerate(tried) if count * width > 2 * 144)
    assert {count for count, _ in tried[:failed]} == {4}
    assert {count for count, _ in tried[failed + 1 :]} == {2}
    (note,) = trainer.learner.gradients.notes
    assert "going on with 2 at a time" in note


@pytest.mark.parametrize(
    ("counted", "says"), [(False, "set training.micro_batch=2 or auto"), (True, "less ")]
)
def test_no_memory_to_resample_either_leaves_the_remedy(
    small_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch, counted: bool, says: str
) -> None:
    """What would fit is worked out at the largest size, for which there may be no room at all."""
    full: list[int] = []

    def limited(self: TrackNet, frames: torch.Tensor, features: torch.Tensor | None = None) -> torch.Tensor:
        full.append(len(frames))
        raise torch.OutOfMemoryError("CUDA out of memory.")

    def resampled(*args: Any) -> Any:
        if full:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return at_size(*args)

    monkeypatch.setattr(TrackNet, "forward", limited)
    monkeypatch.setattr(step_sizes, "at_size", resampled)
    if counted:
        memory = SimpleNamespace(peak_bytes=lambda work: work(), release=lambda: None)
        monkeypatch.setattr(step_gradients, "memory_of", lambda device: memory)
    trainer = small_trainer(FACTORS)
    with pytest.raises(RunError, match="4 windows at once do not fit into memory") as told:
        take_steps(trainer, 1)
    assert str(told.value.remedy).startswith(says)


def test_a_run_says_its_sizes_and_validates_at_the_stored_one(
    small_train_args: list[str], capsys: pytest.CaptureFixture[str], seen: list[tuple[int, ...]]
) -> None:
    settings = [FACTORS, "training.sizes.order=growing", "training.max_steps=7", "training.log_every_steps=1"]
    assert train.run([*small_train_args, *settings, "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "sizes       48x32, 96x48, 144x80 one after the other for 6 steps, then 1 at 96x48" in lines
    assert "heatmaps    float16 [4, 1, 24, 48]  [B, M, h, w]" in lines
    assert any(line.startswith("speed ") and " at 144x80 " in line for line in lines)
    assert [shape[1:] for shape in seen] == [(96, 48), (144, 80), (144, 80)]
    seen.clear()
    run = run_name(small_train_args, "grows", *settings)
    assert [(r["width"], r["height"]) for r in records(run, "train")] == [
        *(size for size in SIZES for _ in range(2)),
        (96, 48),
    ]
    said = capsys.readouterr().out
    assert "sizes: 48x32, 96x48, 144x80 one after the other for 6 steps, then 1 at 96x48\n" in said
    assert "epoch 1  at 48x32  loss" in said
    assert {shape[1:] for shape in seen[7:]} == {(96, 48)}
    with pytest.raises(UserError, match="cannot go on exactly") as caught:
        train.run(["--resume", str(run), "training.sizes.factors=[]", "training.sizes.order=mixed"])
    assert "training.sizes.factors is [], the run began with [0.5, 1.0, 1.5]" in str(caught.value)
    with pytest.raises(UserError) as caught:
        train.run(["--resume", str(run), "training.sizes.order=mixed", "training.max_steps=9"])
    assert "training.sizes.order is mixed, the run began with growing" in str(caught.value)


def test_growing_sizes_go_on_as_those_of_a_longer_training(small_train_args: list[str]) -> None:
    """The steps that are taken stay what they were; those to come are as if the training had always been as long."""
    args = [*small_train_args, FACTORS, "training.sizes.order=growing", "training.log_every_steps=1"]
    run = run_name(args, "longer", "training.max_steps=4")
    assert [r["width"] for r in records(run, "train")] == [48, 96, 144, 96]
    assert train.run(["--resume", str(run), "training.max_steps=7"]) == 0
    # Of seven: two at each size, and one at the stored one.
    assert [r["width"] for r in records(run, "train")] == [48, 96, 144, 96, 144, 144, 96]


def test_without_sizes_nothing_is_said_of_them(small_train_args: list[str], capsys) -> None:  # type: ignore[no-untyped-def]
    run = run_name(small_train_args, "plain", "training.max_steps=1", "training.log_every_steps=1")
    (record,) = records(run, "train")
    assert not {"width", "height", "size"} & record.keys()
    assert " at 96x48" not in capsys.readouterr().out


def test_ranks_have_the_same_sizes(small_train_args: list[str], tmp_path: Path, run_ranks: RunRanks) -> None:
    args = [*small_train_args, FACTORS, "training.max_steps=5", "training.log_every_steps=1"]
    args += ["model.backbone.config.hidden_dropout_prob=0", "data.augment.mixup.prob=0.5"]
    args += ["training.micro_batch=auto"]
    one = run_name(args, "one")
    assert run_ranks(lambda rank: train.run([*args, "--name", "two"])) == [0, 0], (
        tmp_path / "rank_0.out"
    ).read_text()
    mine, theirs = (records(run, "train") for run in (one, one.with_name("two")))
    for name in ("width", "height", "balls"):
        assert [r[name] for r in mine] == [r[name] for r in theirs]
    assert [r["loss"] for r in theirs] == pytest.approx([r["loss"] for r in mine], rel=1e-3)


def test_ranks_agree_at_the_largest_size_on_what_fits(
    small_train_args: list[str], tmp_path: Path, run_ranks: RunRanks
) -> None:
    """Only the largest steps are too much: for one rank's model, and for the other's resampling, the first time."""
    args = [*small_train_args, FACTORS, "training.sizes.order=growing", "training.max_steps=4"]
    args += ["training.micro_batch=auto", "training.log_every_steps=1", "--name", "two"]

    def little(rank: int) -> int:
        forward, resample, seen, refused = TrackNet.forward, step_sizes.at_size, [], []

        def limited(
            self: TrackNet, frames: torch.Tensor, features: torch.Tensor | None = None
        ) -> torch.Tensor:
            if torch.is_grad_enabled():
                seen.append((len(frames), frames.shape[-1]))
                if rank == 1 and seen[-1] == (2, SIZES[-1].width):
                    raise torch.OutOfMemoryError("CUDA out of memory.")
            return forward(self, frames, features)

        def resampled(batch: Batch, size: Size, *args: Any) -> Batch:
            if rank == 0 and size == SIZES[-1] and not refused:
                refused.append(size)
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return resample(batch, size, *args)

        TrackNet.forward = limited  # type: ignore[method-assign]
        step_sizes.at_size = resampled
        code = train.run(args)
        # Two windows each: tried at the largest size alone, one at a time from there on, and no step fails.
        tried = [(1, 144)] if rank == 0 else [(2, 144), (1, 144)]
        steps = [(1, width) for width in (48, 96, 144, 96) for _ in range(2)]
        return code or (0 if seen == tried + steps else 70)

    assert run_ranks(little) == [0, 0], (tmp_path / "rank_0.out").read_text()
