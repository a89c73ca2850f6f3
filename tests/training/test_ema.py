"""The running average of the weights: its figures, and that the model is given back what it had."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from tests.training.conftest import RunRanks
from tracknet.training.distributed import Ranks
from tracknet.training.ema import WeightAverage


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(2, 3)
        self.norm = nn.BatchNorm1d(3)
        self.fixed = nn.Linear(3, 1).requires_grad_(False)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.fixed(self.norm(self.first(inputs)))  # type: ignore[no-any-return]


def steps(model: nn.Module, average: WeightAverage, count: int) -> list[dict[str, torch.Tensor]]:
    """Takes steps of SGD; the weights after each."""
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.3)
    seen = []
    for number in range(count):
        torch.manual_seed(number)
        optimizer.zero_grad()
        model(torch.randn(8, 2)).square().mean().backward()
        optimizer.step()
        average.update()
        seen.append({name: value.clone() for name, value in model.state_dict().items()})
    return seen


def test_it_is_the_average_it_says():
    torch.manual_seed(0)
    model = Net()
    first = {name: value.clone() for name, value in model.state_dict().items()}
    average = WeightAverage(model, 0.4)
    seen = steps(model, average, 12)
    # (1 + n) / (10 + n) until that is more than 0.4, at n = 5.
    decays = [1 / 10, 2 / 11, 3 / 12, 4 / 13, 5 / 14, *[0.4] * 7]
    for name, value in average.weights().items():
        if name == "norm.num_batches_tracked":
            assert value.item() == 12
            continue
        expected = first[name].double()
        for decay, weights in zip(decays, seen, strict=True):
            expected = decay * expected + (1 - decay) * weights[name].double()
        assert torch.allclose(value.double(), expected, atol=1e-6), name
    assert set(average.weights()) == {name for name in first if not name.startswith("fixed")}
    assert not torch.equal(average.weights()["norm.running_mean"], seen[-1]["norm.running_mean"])


def test_the_model_gets_back_what_it_had_also_after_an_error():
    model = Net()
    average = WeightAverage(model, 0.9)
    last = steps(model, average, 3)[-1]
    wanted = average.weights()
    with pytest.raises(RuntimeError, match="within"), average.applied():
        inside = model.state_dict()
        assert all(torch.equal(inside[name], value) for name, value in wanted.items())
        with average.applied():
            assert torch.equal(average.put_aside()["first.weight"], last["first.weight"])
        # Still within the outer one.
        assert torch.equal(model.first.weight, wanted["first.weight"])
        raise RuntimeError("within")
    assert all(torch.equal(model.state_dict()[name], value) for name, value in last.items())
    assert average.put_aside() == {}


def test_restored_it_goes_on_as_if_nothing_had_been():
    torch.manual_seed(0)
    model = Net()
    average = WeightAverage(model, 0.99)
    steps(model, average, 4)
    other = Net()
    other.load_state_dict(model.state_dict())
    again = WeightAverage(other, 0.99)
    again.restore(average.updates, average.weights())
    for one in ((model, average), (other, again)):
        steps(*one, 3)
    assert all(torch.equal(again.weights()[name], value) for name, value in average.weights().items())
    assert again.updates == 7


def test_all_ranks_have_the_batch_statistics_that_are_saved(run_ranks: RunRanks, tmp_path: Path):
    """Each averages those of its own batches; the weights are the same by themselves."""

    def work(rank: int) -> int:
        with Ranks.join() as ranks:
            model = Net()
            average = WeightAverage(model, 0.9)
            model.norm.running_mean.fill_(10.0 + rank)
            average.update()
            before = average.weights()["norm.running_mean"]
            average.agree(ranks)
            after = average.weights()["norm.running_mean"]
            # A tenth of the first 0 is kept.
            assert torch.allclose(before, torch.full((3,), 0.9 * (10 + rank)))
            assert torch.allclose(after, torch.full((3,), 9.0))
        return 0

    assert run_ranks(work) == [0, 0], (tmp_path / "rank_1.out").read_text()


def test_weights_that_do_not_move_stay_to_the_bit():
    model = Net()
    average = WeightAverage(model, 0.999)
    first = average.weights()
    for _ in range(5):
        average.update()
    assert all(torch.equal(first[name], value) for name, value in average.weights().items())
