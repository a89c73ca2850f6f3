"""Two training steps on real batches, and what they say about the whole training."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator

import torch

from tracknet.datasets.lanes import expected_decodes
from tracknet.training.acceleration import describe
from tracknet.training.setup import Setup
from tracknet.training.trainer import Trainer
from tracknet.utils.progress import format_duration
from tracknet.utils.settings import Config


def dry_run(config: Config, setup: Setup) -> list[str]:
    """Takes two optimizer steps on a model that is then thrown away; writes nothing.

    The first step pays for the start of workers and buffers, the second is what is timed. Of several sizes
    (`training.sizes`) both are at the largest, which memory has to hold.

    Returns:
        Lines for a person: shapes, parameters, memory, estimated time of an epoch.
    """
    model, device = setup.model, setup.precision.device
    trainer = Trainer(
        config, model, setup.shards, setup.train, setup.val, setup.precision, run=None, ranks=setup.ranks
    )
    waited = time.perf_counter()
    first = setup.ranks.agreed(lambda: next(setup.train.epoch()))
    first_batch_s = time.perf_counter() - waited
    with torch.no_grad(), setup.precision.autocast():
        tokens = None if first.features is None else first.features[:1].to(device)
        logits = model(first.frames[:1].to(device), tokens)
    sizes = trainer.learner.sizes
    at = f" at {sizes.largest}" if sizes.sizes else ""
    # The others are taken for cheaper by their pixels.
    of_largest = sizes.mean_area / (sizes.largest.width * sizes.largest.height)
    batches = _enough_batches(setup, 2 * config.training.accumulate)
    reports = [trainer.learner.step(batches, number) for number in sizes.steps_at_largest(2)]
    step_s = reports[-1].step_s
    mean_s = step_s * of_largest
    epoch_s = mean_s * trainer.steps_per_epoch
    total = sum(p.numel() for p in model.parameters())
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    backbone = sum(p.numel() for p in model.backbone.parameters())
    split_line = "none"
    if setup.val is not None:
        split_line = f"{len(setup.val.stream.table):,} frames, {setup.val.num_steps} batches"
    return [
        f"device      {device} in {setup.precision.name}; {describe(config.training, device)}",
        *_rank_lines(config, setup),
        f"training    {len(setup.shards):,} frames in {len(setup.shards.shard_names)} shards, "
        f"{setup.train.num_steps} batches an epoch",
        *_order_lines(setup),
        f"validation  {split_line}",
        f"frames      {_shape(first.frames)}  [B, T, 3, H, W]",
        *([] if first.features is None else [f"features    {_shape(first.features)}  [B, T, C, Hp, Wp]"]),
        *([f"sizes       {sizes.describe()}"] if sizes.sizes else []),
        f"heatmaps    {_shape(sizes.at(first, sizes.stored).heatmaps)}  [B, M, h, w]",
        f"logits      {_shape(logits)}  of one window",
        f"parameters  {total:,}: backbone {backbone:,}, rest {total - backbone:,}; trained {trained:,}",
        f"memory      {_peak_memory(device)}",
        f"loader      {setup.train.workers} workers ({setup.train.mode}) keep {setup.train.memory}",
        f"loss        {reports[0].loss:.4f}, then {reports[-1].loss:.4f}",
        f"speed       first batch {first_batch_s:.2f} s, step {step_s:.2f} s{at} "
        f"({reports[-1].windows / step_s:.1f} windows/s, waited {reports[-1].data_s:.2f} s for data)",
        f"estimate    {format_duration(epoch_s)} an epoch, "
        f"{format_duration(mean_s * trainer.total_steps)} for {trainer.total_steps} steps, without validation",
    ]


def _rank_lines(config: Config, setup: Setup) -> list[str]:
    """How several processes share the work."""
    if setup.ranks.alone:
        return []
    return [
        f"processes   {setup.ranks.topology.world_size}, each with {setup.train.stream.batch_size} of a step's "
        f"{config.training.batch_size} windows; memory, frames and loader below are of one"
    ]


def _order_lines(setup: Setup) -> list[str]:
    """What the filter, the plan and the mix come to."""
    stream, frames = setup.train.stream, len(setup.shards)
    assert stream.plan is not None
    counts, used, plan = [len(runs) for runs in stream.sources], stream.windows_used(), stream.plan
    lines = []
    if sum(counts) < frames:
        lines.append(f"filter      {sum(counts):,} of {frames:,} windows are trained on")
    # Each block is ordered by itself.
    ordered_at_once = sum(counts) // (len(stream.blocks) if stream.blocks is not None else 1)
    decodes = expected_decodes(
        ordered_at_once,
        plan.batch_size,
        stream.lanes,
        plan.run_length,
        stream.spec.sequence,
        stream.filters.every,
    )
    lines.append(
        f"order       {stream.lanes} lanes, pieces of {plan.run_length} windows; about {decodes:.2f} decodes per window"
    )
    if stream.blocks is not None:
        left_out, too_few = stream.blocks.left_out, stream.blocks.too_few
        lines.append(
            f"blocks      {len(stream.blocks)} blocks of shards pass through the cache (data.cache.max_gb); "
            f"{left_out:,} windows ({left_out / sum(counts):.1%}) lie in several and are left out"
        )
        if too_few:
            lines.append(
                f"            {too_few:,} windows ({too_few / sum(counts):.1%}) are never trained on: their blocks "
                f"have fewer than a batch of {plan.batch_size}; a larger data.cache.max_gb makes larger blocks"
            )
    if len(counts) > 1:
        lines += [
            f"mix         {folder}: {count / sum(used):.1%} of the windows, "
            f"{count / held:.2f} passes over its {held:,} an epoch"
            for folder, count, held in zip(setup.shards.folders(), used, counts, strict=True)
        ]
    return lines


def _enough_batches(setup: Setup, count: int) -> Iterator:  # type: ignore[type-arg]
    epoch = 0
    while count > 0:
        for batch in setup.train.epoch(epoch):
            yield batch
            count -= 1
            if count == 0:
                return
        epoch += 1


def _shape(tensor: torch.Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.'):8}{list(tensor.shape)}"


def _peak_memory(device: torch.device) -> str:
    # Linux counts kilobytes, macOS bytes.
    scale = 1 if sys.platform == "darwin" else 1024
    process = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale / 2**30
    if device.type == "cuda":
        return f"{torch.cuda.max_memory_allocated(device) / 2**30:.2f} GiB on the GPU, {process:.2f} GiB in the process"
    return f"{process:.2f} GiB in the training process at its peak"
