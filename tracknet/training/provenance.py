"""What the model of a checkpoint says of where it comes from, and on which frames its figures are optimistic."""

from __future__ import annotations

from typing import Any

import torch

from tracknet import __version__
from tracknet.datasets.filters import chosen_games
from tracknet.datasets.shard_set import ShardSet
from tracknet.models.window_overlap import resolve_overlap
from tracknet.training.checkpoint import TrainingState
from tracknet.training.metrics import ChosenOn, ThresholdOrigin, threshold_protocol
from tracknet.utils.files import finite_or_none
from tracknet.utils.settings import Config


class Provenance:
    """What all models of one training have in common, and what one of them adds."""

    def __init__(self, config: Config, shards: ShardSet, num_maps: int) -> None:
        """Notes what does not change.

        Args:
            config: the whole configuration.
            shards: of the training.
            num_maps: of the model's windows.
        """
        self._training = config.training
        self._shards = shards
        self._num_maps = num_maps
        self._games_seen = chosen_games(shards.table, config.data.filter)

    def of(
        self, state: TrainingState, run_name: str, validation: dict[str, Any], *, is_best: bool
    ) -> dict[str, Any]:
        """In plain values, for the model's configuration.

        Args:
            state: where the training stands.
            run_name: of the training.
            validation: the figures of the last one and its `step`; empty before the first.
            is_best: this is the best model so far.
        """
        return {
            "run": run_name,
            "step": state.step,
            "init_from": self._training.init_from,
            "build_id": state.build_id,
            "games": {**self._shards.manifest.games, "train": self._games_seen},
            "threshold_chosen_on": self._threshold_origin() if validation else None,
            # A figure on the frames that chose the checkpoint is optimistic, whatever the threshold.
            "chosen_as_best_on": self._best_on().to_plain() if is_best else None,
            # Of the step that it names: a checkpoint between two validations carries the former's.
            "validation": finite_or_none(validation),
            "versions": {"tracknet": __version__, "torch": torch.__version__},
        }

    def _best_on(self) -> ChosenOn:
        games = tuple(self._shards.manifest.games.get("val", ()))
        return ChosenOn(build_ids=tuple(self._shards.builds()), split="val", games=games)

    def _threshold_origin(self) -> dict[str, Any]:
        best_on = self._best_on()
        return ThresholdOrigin(
            build_ids=best_on.build_ids,
            split=best_on.split,
            games=best_on.games,
            protocol=threshold_protocol(self._training.metrics).named_distance_text,
            overlap=resolve_overlap(None, self._num_maps),
        ).to_plain()
