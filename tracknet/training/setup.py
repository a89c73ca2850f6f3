"""From a configuration to the objects of a training: shards, streams, model, device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from torch import nn

from tracknet.datasets.fetch_ahead import RemoteShards, room_wanted
from tracknet.datasets.loader import StreamLoader
from tracknet.datasets.lost_frames import LostFrames
from tracknet.datasets.sample_spec import SampleSpec
from tracknet.datasets.shard_cache import ShardCache
from tracknet.datasets.shard_set import ShardSet
from tracknet.datasets.shard_streams import check_stored_size, evaluation_stream, training_stream
from tracknet.datasets.sources import Sources, open_sources
from tracknet.datasets.topology import Topology
from tracknet.models.backbones.vit_backbone import ViTBackbone
from tracknet.models.model import TrackNet
from tracknet.models.precision import Precision, resolve_device
from tracknet.training.acceleration import accelerate
from tracknet.training.distributed import Ranks
from tracknet.training.evaluation import evaluation_spec
from tracknet.training.step_sizes import fitting_sizes
from tracknet.training.stored_features import builder_options, feature_opener
from tracknet.utils.config import leaves, to_plain
from tracknet.utils.cpus import usable_cpus
from tracknet.utils.errors import UserError
from tracknet.utils.processor import read_processor
from tracknet.utils.settings import Config


@dataclass
class Setup:
    """What a training needs. `val` is `None` where the build has no validation split."""

    model: TrackNet
    shards: ShardSet
    train: StreamLoader
    val: StreamLoader | None
    precision: Precision
    ranks: Ranks = field(default_factory=Ranks)


def prepare(
    config: Config,
    *,
    weights: Path | None = None,
    ranks: Ranks | None = None,
    say: Callable[[str], None] = print,
) -> Setup:
    """Builds everything, cheap checks first.

    Args:
        config: the whole configuration.
        weights: a model folder to start from instead of the backbone's own weights.
        ranks: this process among those that train together; alone where not given.
        say: takes a line for the person watching.

    Raises:
        UserError: something does not fit together, with the remedy.
    """
    training, ranks = config.training, ranks or Ranks()
    # Cheap, and asked for wrongly by everyone at some time: refused before minutes of building.
    ranks.topology.slots(training.batch_size)
    torch.manual_seed(training.seed)
    if training.threads:
        # More than that only wait for each other. Not refused: a run may go on where there are fewer.
        cpus = usable_cpus()
        if training.threads > cpus:
            say(
                f"note: training.threads={training.threads} are more than the CPUs that this process may use: {cpus}"
            )
        torch.set_num_threads(min(training.threads, cpus))
    precision = Precision.resolve(training.amp, ranks.device(resolve_device(training.device)))
    sources = open_sources(config.data, say)
    shards = sources.train
    if weights is not None:
        model = TrackNet.from_pretrained(weights)
        _check_same_model(model, config, weights)
        model.backbone.set_frozen(config.model.backbone.freeze)
        if config.model.backbone.lora is not None and isinstance(model.backbone, ViTBackbone):
            model.backbone.adapt(config.model.backbone.lora)
        model.config = config.model
    else:
        processor = read_processor(config.model.backbone, config.data.resize)
        model = TrackNet(
            config.model,
            input_size=processor.size,
            num_frames=config.data.sequence.length,
            anchor=config.data.sequence.anchor,
            frame_stride=config.data.sequence.stride,
            mean=processor.mean,
            std=processor.std,
        )
    model.training_sizes = fitting_sizes(training.sizes, model)
    # After the model's own checks: shards need not be built for a size that the model cannot take.
    check_stored_size(shards, model.input_size)
    model.to(precision.device)
    accelerate(model, training, precision.device)
    if training.gradient_checkpointing and config.model.architecture != "modular":
        say(f"note: training.gradient_checkpointing does nothing for {config.model.architecture}")
    if note := _batch_norm_note(model, config, ranks.topology):
        say(note)
    train, val = _streams(config, sources, model, weights, precision, ranks.topology, say)
    return Setup(model=model, shards=shards, train=train, val=val, precision=precision, ranks=ranks)


def _streams(
    config: Config,
    sources: Sources,
    model: TrackNet,
    weights: Path | None,
    precision: Precision,
    topology: Topology,
    say: Callable[[str], None],
) -> tuple[StreamLoader, StreamLoader | None]:
    training, pin = config.training, precision.device.type == "cuda"
    spec = SampleSpec.for_training(config, model.input_size, precision.device.type)
    features = feature_opener(
        config.data.features,
        model,
        partial(builder_options, config, weights),
        ShardCache.of(config.data.cache),
    )
    lost = LostFrames.of(config.data.loader)
    train_features = features(sources.train, lost)
    if lost is not None:
        lost.tell(say)
    stream = training_stream(
        sources.train,
        spec,
        config.data.loader,
        batch_size=training.batch_size,
        seed=training.seed,
        filters=config.data.filter,
        weights=sources.weights,
        topology=topology,
        features=train_features,
    )
    if stream.num_steps < training.accumulate:
        raise UserError(
            f"training.accumulate={training.accumulate} batches of {training.batch_size} windows are more than the "
            f"{sum(map(len, stream.sources))} training windows give",
            remedy=f"set training.accumulate to at most {stream.num_steps}",
        )
    train = StreamLoader(stream, config.data.loader, pin_memory=pin)
    val_shards = sources.open_val()
    if val_shards is None:
        say("note: this build has no validation split; the last checkpoint will be the one to use")
        return train, None
    if costs := room_wanted(RemoteShards.of(sources.train), RemoteShards.of(val_shards)):
        say(f"note: {costs}")
    evaluation = evaluation_stream(
        val_shards,
        evaluation_spec(model),
        batch_size=training.batch_size,
        topology=topology,
        features=features(val_shards),
    )
    return train, StreamLoader(evaluation, config.data.loader, pin_memory=pin)


def _batch_norm_note(model: TrackNet, config: Config, topology: Topology) -> str | None:
    """That batch statistics are of fewer windows than a step has, where they are."""
    training = config.training
    if not any(isinstance(part, nn.BatchNorm2d) for part in model.modules()):
        return None
    at_once, step = training.batch_size // topology.world_size, training.batch_size * training.accumulate
    if isinstance(training.micro_batch, int):
        at_once = min(at_once, training.micro_batch)
    if at_once == step:
        return None
    return (
        f"note: {config.model.architecture} has batch norm, whose statistics are of {at_once} windows at a time here "
        f"and not of a step's {step} (processes, training.accumulate and training.micro_batch share a step out): its "
        "curve is not that of one process with whole batches"
    )


# What may differ between a model's weights and the configuration that goes on with them.
_MAY_DIFFER = (
    "model.backbone.freeze",
    "model.backbone.pretrained",
    "model.backbone.lora",
    "model.heatmap.decode",
)


def _check_same_model(model: TrackNet, config: Config, weights: Path) -> None:
    """Refuses weights that are of another model than is configured, naming every difference."""
    asked = {
        **leaves(to_plain(config.data.sequence), "data.sequence"),
        **leaves(to_plain(config.model), "model"),
        "data.resize": to_plain(config.data.resize or model.input_size),
    }
    have = {
        **leaves(to_plain(model.sequence), "data.sequence"),
        **leaves(to_plain(model.config), "model"),
        "data.resize": to_plain(model.input_size),
    }
    problems = [
        f"{key}: asked for {asked.get(key)}, the weights have {have.get(key)}"
        for key in sorted({*asked, *have})
        if asked.get(key) != have.get(key) and not key.startswith(_MAY_DIFFER)
    ]
    if problems:
        raise UserError(
            f"the model in {weights} is not the one that is configured",
            problems=problems,
            remedy="set these keys to what the weights have",
        )
