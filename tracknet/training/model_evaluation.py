"""Runs a saved model over a split, once, for all that is scored or drawn of it; and sets its threshold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from tracknet.datasets.batch import Batch
from tracknet.datasets.loader import StreamLoader
from tracknet.datasets.shard_set import ShardSet
from tracknet.datasets.shard_streams import check_stored_size, evaluation_stream
from tracknet.models.model import TrackNet
from tracknet.models.model_folder import config_of_run
from tracknet.models.precision import Precision, resolve_device
from tracknet.models.window_overlap import resolve_overlap
from tracknet.training.device_memory import memory_of, out_of_memory_alike
from tracknet.training.distributed import Ranks
from tracknet.training.evaluation import evaluation_spec, own_frames, predict_split
from tracknet.training.evaluation_parts import EvaluationParts
from tracknet.training.metrics import PredictionOrigin, Predictions, Protocol, ThresholdOrigin, best_threshold
from tracknet.training.micro_batches import MicroBatches
from tracknet.training.pictures import OverlayCollector
from tracknet.training.same_data import check_same_data
from tracknet.training.stored_features import builder_options, feature_opener
from tracknet.utils.environment import describe_environment
from tracknet.utils.errors import RunError, UserError, first_line
from tracknet.utils.heatmap import DECODERS
from tracknet.utils.naming import listed
from tracknet.utils.progress import Progress
from tracknet.utils.settings import Config, LoaderConfig, TrainingConfig


@dataclass(frozen=True)
class ModelRun:
    """What a model said of a split.

    Attributes:
        model: on its device.
        precision: device and arithmetic.
        by_decoder: the predictions, as each decoder reads the heatmaps.
        origin: what made them; the model's own decoder is `origin.decode`.
        overlays: a few frames with their heatmaps, uint8 RGB `[H, W + 3 H, 3]`.
        environment: machine, versions and arithmetic.
        batch_size: windows that went through it at once, in each process.
    """

    model: TrackNet
    precision: Precision
    by_decoder: dict[str, Predictions]
    origin: PredictionOrigin
    overlays: list[npt.NDArray[np.uint8]]
    environment: dict[str, Any]
    batch_size: int

    @property
    def predictions(self) -> Predictions:
        """As the model's own decoder reads them."""
        return self.by_decoder[self.origin.decode]


def run_model(
    folder: Path,
    shards: ShardSet,
    *,
    batch_size: int,
    workers: int,
    device: str,
    amp: str,
    pictures: int = 0,
    decoders: Sequence[str] = tuple(DECODERS),
    overlap: str | None = None,
    flip: bool = False,
    ranks: Ranks | None = None,
    features: str | None = None,
) -> ModelRun:
    """Predicts every frame of a split; of several processes each a part, and all get the whole.

    Args:
        folder: of the model.
        shards: the split.
        batch_size: windows at once, in each process.
        workers: loading processes.
        device: torch's name, or `auto`.
        amp: `auto`, `bf16`, `fp16` or `off`.
        pictures: overlays to draw.
        decoders: by name; the model's own is always among them.
        overlap: how several windows' maps of one frame become one; `None` is the model's default.
        flip: average with the mirror image.
        ranks: this process among those that evaluate together; alone where not given.
        features: folder or URL of the backbone's tokens, which is then not run; not with `flip`.

    Raises:
        UserError: model, shards and features do not fit, or the model has nothing to combine.
        RunError: the windows do not fit into memory, with how many would.
    """
    everyone = ranks or Ranks()

    def prepare() -> tuple[TrackNet, str, Precision, StreamLoader]:
        model = TrackNet.from_pretrained(folder)
        # Outside of its run a model is all that says which random weights its backbone has.
        alone = Config(model=model.config, training=TrainingConfig(init_from=str(folder)))
        how = resolve_overlap(overlap, model.num_maps)
        check_stored_size(shards, model.input_size)
        precision = Precision.resolve(amp, everyone.device(resolve_device(device)))
        model.to(precision.device)
        stream = evaluation_stream(
            shards,
            evaluation_spec(model),
            batch_size=batch_size * everyone.topology.world_size,
            topology=everyone.topology,
            features=feature_opener(
                features, model, partial(builder_options, config_of_run(folder) or alone, folder)
            )(shards),
        )
        loader = StreamLoader(
            stream, LoaderConfig(workers=workers), pin_memory=precision.device.type == "cuda"
        )
        return model, how, precision, loader

    model, overlap, precision, loader = everyone.agreed(prepare)
    check_same_data(everyone, shards, loader.stream)
    overlays = OverlayCollector(model, loader, pictures)
    own = model.config.heatmap.decode
    with Progress("evaluating", len(shards), "frames", shown=everyone.is_main) as progress:

        def on_batch(step: int, batch: Batch, logits: torch.Tensor) -> None:
            overlays.take(step, batch, logits)
            progress.advance(int(everyone.numbers(own_frames(loader, batch)).sum()))

        try:
            with out_of_memory_alike():
                by_decoder = predict_split(
                    model,
                    loader,
                    precision,
                    decoders=list(dict.fromkeys([*decoders, own])),
                    overlap=overlap,
                    flip=flip,
                    on_batch=on_batch,
                    ranks=everyone,
                    parts=EvaluationParts(
                        MicroBatches(None, batch_size),
                        memory_of(precision.device),
                        set_windows=lambda windows: f"--batch-size {windows}",
                    ),
                )
        except torch.OutOfMemoryError as error:
            # Not of the model's pass, but of what is read from its maps.
            raise RunError(
                f"memory ran out: {first_line(error)}",
                remedy=f"set --batch-size {max(1, batch_size // 2)}",
            ) from None
        finally:
            loader.close()
    origin = PredictionOrigin(
        model=str(folder),
        build_id=shards.manifest.build_id,
        split=shards.split,
        threshold=float(model.score_threshold),
        threshold_chosen_on=_threshold_origin(model),
        decode=own,
        overlap=overlap,
        flip=flip,
        provenance=model.provenance,
    )
    environment = {**describe_environment(), "device": str(precision.device), "precision": precision.name}
    if not everyone.alone:
        environment["processes"] = everyone.topology.world_size
    return ModelRun(model, precision, by_decoder, origin, overlays.images(everyone), environment, batch_size)


def only_clips(shards: ShardSet, names: Sequence[str]) -> ShardSet:
    """The frames of some clips.

    Args:
        shards: a split.
        names: `game1/Clip3` or `game1_Clip3`.

    Raises:
        UserError: naming every clip that the split does not have.
    """
    known = {f"{game}{mark}{clip}": (game, clip) for game, clip in shards.table.clips for mark in "/_"}
    unknown = [name for name in names if name not in known]
    if unknown:
        there = [f"{game}/{clip}" for game, clip in shards.table.clips]
        raise UserError(
            f"the split {shards.split!r} of {shards.folder} has no clip {', '.join(unknown)}",
            remedy=f"choose from {listed(there, 12)}",
        )
    wanted = {known[name] for name in names}
    numbers = [number for number, clip in enumerate(shards.table.clips) if clip in wanted]
    return shards.take(np.flatnonzero(np.isin(shards.table.clip_id, numbers)))


def set_threshold(
    made: ModelRun,
    folder: Path,
    protocol: Protocol,
    shards: ShardSet,
    *,
    whole_split: bool,
    most_false_alarms: float | None = None,
) -> ThresholdOrigin:
    """Chooses the score threshold of highest F1 and writes the model again with it, and with how it was chosen.

    Args:
        made: the model and what it said of the calibration frames.
        folder: its model folder; each file is replaced in one step.
        protocol: whose F1 decides; frames that it excludes count too.
        shards: the calibration frames.
        whole_split: they are all of their split.
        most_false_alarms: see `best_threshold`.

    Returns:
        How it was chosen.

    Raises:
        UserError: no threshold keeps that share; nothing is written then.
    """
    clips = [shards.table.clips[number] for number in np.unique(shards.table.clip_id)]
    games = tuple(dict.fromkeys(game for game, _ in clips))
    origin = ThresholdOrigin(
        build_ids=(shards.manifest.build_id,),
        split=shards.split,
        games=games,
        clips=None if whole_split else tuple(f"{game}/{clip}" for game, clip in clips),
        protocol=protocol.named_distance_text,
        overlap=made.origin.overlap,
        flip=made.origin.flip,
        most_false_alarms=most_false_alarms,
    )
    model = made.model
    model.score_threshold = best_threshold(made.predictions, protocol, most_false_alarms=most_false_alarms)
    model.provenance = {**model.provenance, "threshold_chosen_on": origin.to_plain()}
    model.save_pretrained(folder)
    return origin


def _threshold_origin(model: TrackNet) -> ThresholdOrigin | None:
    origin = ThresholdOrigin.read(model.provenance.get("threshold_chosen_on"))
    return origin and origin.with_games_of(model.provenance)
