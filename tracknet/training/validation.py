"""Runs the model on the validation split while it is trained: figures, pictures, and the threshold that it keeps."""

from __future__ import annotations

from collections.abc import Callable

import torch

from tracknet.datasets.batch import Batch
from tracknet.datasets.loader import StreamLoader
from tracknet.models.model import TrackNet
from tracknet.models.precision import Precision
from tracknet.training.device_memory import memory_of
from tracknet.training.distributed import Ranks
from tracknet.training.evaluation import own_frames, predict_split
from tracknet.training.evaluation_parts import EvaluationParts
from tracknet.training.learner import Learner
from tracknet.training.metrics import best_threshold, summarise, threshold_protocol
from tracknet.training.micro_batches import MicroBatches
from tracknet.training.pictures import OverlayCollector
from tracknet.utils.progress import Progress
from tracknet.utils.settings import Config


class Validation:
    """A training's validation, as often as it is due."""

    def __init__(
        self,
        config: Config,
        model: TrackNet,
        val: StreamLoader,
        precision: Precision,
        learner: Learner,
        ranks: Ranks,
        *,
        set_windows: Callable[[int], str],
        check_stop: Callable[[], None],
    ) -> None:
        """Runs nothing yet.

        Args:
            config: the whole configuration.
            model: on the device already.
            val: the validation stream, or this rank's part of it.
            precision: device and arithmetic.
            learner: of the model, which knows the weights that are worth keeping.
            ranks: who else validates parts of the split.
            set_windows: so many windows at once -> how a person asks for them, after "set".
            check_stop: called by all ranks after each batch; may raise.
        """
        self._training, self._decoder = config.training, config.model.heatmap.decode
        self._model, self._val, self._precision = model, val, precision
        self._learner, self._ranks = learner, ranks
        self._set_windows, self._check_stop = set_windows, check_stop
        # A part's size is its own: without gradients more windows fit than in training, and no rank waits for another.
        self._micro = MicroBatches(config.training.micro_batch, val.stream.batch_size)
        self._memory = memory_of(precision.device)

    def run(self, warn: Callable[[str], None]) -> tuple[dict[str, float], OverlayCollector]:
        """Evaluates and sets the model's threshold; all ranks together.

        Args:
            warn: takes a line when parts are halved.

        Returns:
            The figures at that threshold, and what drew the pictures: `images` has those of all ranks.

        Raises:
            RunError: damaged data, or a part of a batch that does not fit into memory.
            Interrupted: a stop was asked for.
        """
        val, ranks, metrics = self._val, self._ranks, self._training.metrics
        pictures = OverlayCollector(self._model, val, self._training.overlay_images)
        frames = len(val.stream.table)
        with Progress("validating", frames, "frames", line_every_s=30, shown=ranks.is_main) as progress:

            def on_batch(step: int, batch: Batch, logits: torch.Tensor) -> None:
                pictures.take(step, batch, logits)
                progress.advance(int(ranks.numbers(own_frames(val, batch)).sum()))
                self._check_stop()

            with self._learner.weights_to_keep(agreed=True):
                by_decoder = predict_split(
                    self._model,
                    val,
                    self._precision,
                    decoders=[self._decoder],
                    on_batch=on_batch,
                    ranks=ranks,
                    parts=EvaluationParts(
                        self._micro, self._memory, set_windows=self._set_windows, note=warn
                    ),
                )
        predictions = by_decoder[self._decoder]
        threshold = best_threshold(predictions, threshold_protocol(metrics))
        figures = summarise(predictions, metrics, threshold=threshold)
        self._model.score_threshold = threshold
        return figures, pictures
