"""A running average of the weights, which generalises better than where the last steps left them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn

from tracknet.training.distributed import Ranks


class WeightAverage:
    """The exponential moving average of a model's trained weights and batch statistics.

    After update n (from 0) the average is `d * average + (1 - d) * weights` with `d = min(decay, (1 + n) / (10 + n))`:
    a decay that begins at 0.1, so that the first random weights are soon forgotten.

    Source: Polyak & Juditsky, "Acceleration of stochastic approximation by averaging" (1992); Tan & Le, "EfficientNet"
    (ICML 2019), which averages batch statistics too; the warm-up is that of TensorFlow's `ExponentialMovingAverage`.

    Attributes:
        updates: how many there were.

    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        """Begins at the model's weights.

        Args:
            model: its weights stay what is trained; what it never trains is not averaged.
            decay: once warm, the share of the old average; at most so.
        """
        self._decay = decay
        self._model = model
        self.updates = 0
        trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
        self._parameters = sorted(trained)
        # Of buffers those that are saved: batch statistics.
        self._buffers = sorted(model.state_dict().keys() - dict(model.named_parameters()).keys())
        self._average = {name: value.clone() for name, value in self._live().items()}
        self._trained: dict[str, torch.Tensor] = {}

    @torch.no_grad()
    def update(self) -> None:
        """Takes the weights after a step in."""
        decay = min(self._decay, (1 + self.updates) / (10 + self.updates))
        live = self._live()
        moving = [name for name in live if live[name].is_floating_point()]
        torch._foreach_lerp_(
            [self._average[name] for name in moving], [live[name] for name in moving], 1.0 - decay
        )
        for name in live.keys() - set(moving):
            # A count of batches has no average.
            self._average[name].copy_(live[name])
        self.updates += 1

    def agree(self, ranks: Ranks) -> None:
        """Gives all ranks rank 0's batch statistics, which it saves: each averages those of its own batches."""
        if self._buffers and not ranks.alone:
            mine = {name: self._average[name].cpu() for name in self._buffers}
            self._copy(ranks.objects(mine)[0], self._average)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within it the model has the averaged weights; after it, what it had. It may be entered within itself."""
        if self._trained:
            yield
            return
        live = self._live()
        self._trained = {name: value.clone() for name, value in live.items()}
        try:
            self._copy(self._average, live)
            yield
        finally:
            self._copy(self._trained, live)
            self._trained = {}

    def put_aside(self) -> dict[str, torch.Tensor]:
        """What the model is trained with, on the CPU, while the average is applied; nothing otherwise."""
        return {name: value.cpu() for name, value in self._trained.items()}

    def weights(self) -> dict[str, torch.Tensor]:
        """A copy of the average, on the CPU."""
        return {name: value.cpu().clone() for name, value in self._average.items()}

    def restore(self, updates: int, weights: Mapping[str, torch.Tensor]) -> None:
        """Goes back to so many updates and such an average; weights that are not given stay as they began."""
        self.updates = updates
        self._copy(weights, self._average)

    def _live(self) -> dict[str, torch.Tensor]:
        """The model's own tensors, by name."""
        parameters = dict(self._model.named_parameters())
        buffers = dict(self._model.named_buffers()) if self._buffers else {}
        return {
            **{name: parameters[name].detach() for name in self._parameters},
            **{name: buffers[name] for name in self._buffers},
        }

    @staticmethod
    @torch.no_grad()
    def _copy(source: Mapping[str, torch.Tensor], target: Mapping[str, torch.Tensor]) -> None:
        for name, value in source.items():
            target[name].copy_(value)
