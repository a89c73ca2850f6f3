"""Memory that runs out while the weights change: they are as before, or are not kept."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.training.conftest import MakeTrainer, take_steps
from tracknet.scripts import train
from tracknet.training import weight_update
from tracknet.training.weight_update import HalfChanged
from tracknet.utils.errors import EXIT_FAILED, RunError, cli_main


def test_no_room_for_the_moments_changes_no_weight(
    small_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(weights: list[torch.Tensor]) -> None:
        if weights:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nmore")

    trainer = small_trainer()
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    with monkeypatch.context() as patch:
        patch.setattr(weight_update, "reserve_moments", full)
        with pytest.raises(
            RunError, match=r"optimizer's 2 moments of .* weights .* CUDA out of memory"
        ) as told:
            take_steps(trainer, 1)
    assert not isinstance(told.value, HalfChanged) and "model.backbone.freeze=true" in str(told.value.remedy)
    assert all(torch.equal(value, before[name]) for name, value in trainer.model.state_dict().items())
    # Moments that are there need no room.
    take_steps(trainer, 1)
    monkeypatch.setattr(weight_update, "reserve_moments", full)
    take_steps(trainer, 1)


@pytest.mark.parametrize("half", [False, True])
def test_memory_that_runs_out_after_some_steps(
    small_train_args: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, half: bool, capsys
) -> None:
    """Weights that are half changed are not kept; anything else is."""
    place, name = (torch.optim.AdamW, "step") if half else (torch.nn.utils, "clip_grad_norm_")
    real, calls = getattr(place, name), []

    def limited(*args: object, **how: object) -> object:
        calls.append(name)
        if len(calls) == 3:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return real(*args, **how)

    monkeypatch.setattr(place, name, limited)
    settings = [
        "training.max_steps=4",
        "training.ckpt_every_steps=1" if half else "training.micro_batch=auto",
    ]
    assert cli_main(train.run, [*small_train_args, *settings, "--name", "a"]) == EXIT_FAILED
    said = capsys.readouterr().err
    assert ("some of the weights changed" in said) == half
    assert half or "error: memory ran out at step 2: CUDA out of memory." in said
    assert max(path.name for path in (tmp_path / "runs" / "a" / "checkpoints").glob("step_*")).endswith("2")
