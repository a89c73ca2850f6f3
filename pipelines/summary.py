"""What a person reads before and after a build."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator
from pathlib import Path

from pipelines.build import BuildReport
from pipelines.plan import Plan
from pipelines.request import Prepared
from pipelines.wording import heatmap_setting, listed_games, megabytes
from tracknet.datasets.manifest import Manifest
from tracknet.utils.config import load_config
from tracknet.utils.geometry import Size
from tracknet.utils.naming import counted
from tracknet.utils.settings import DataConfig

BALL_PX, BALL_LINES = 5.0, 720
"""A tennis ball's usual size in a broadcast frame of so many lines."""
SMALLEST_BALL_PX = 1.5
LARGEST_SQUEEZE = 0.02
PATCH_PX = 16
_MODELS = {16: ("vit_heatmap", "vit_tiny"), 14: ("dinov2_small", "dinov2_small"), 8: ("wasb", "wasb")}
"""Pixels that a frame's sides are multiples of -> the models of configs/model that are named for it, on a GPU and on
a CPU."""
# Of every command's --data.
_DEFAULT_DATA = "tracknet"


def describe_plan(prepared: Prepared) -> str:
    """What is about to be built, in a few lines."""
    request, plan = prepared.request, prepared.plan
    lines = [f"{request.root}: {_counts(plan)}, stored at {request.size} in {request.shown_out}"]
    lines.append(f"  {'; '.join(prepared.notes)}")
    for split, games in plan.games.items():
        shards = plan.shards_of(split)
        frames = [shard.frames for shard in shards]
        fewest = "" if min(frames) == max(frames) else f"{min(frames)} to "
        lines.append(
            f"  {split}: {counted(len(shards), 'shard')} of {fewest}{counted(max(frames), 'frame')} "
            f"from {listed_games(games)}"
        )
    if len(plan.shards_of("train")) < request.num_shards:
        lines.append(
            f"  note: {counted(len(plan.shards_of('train')), 'training shard')} instead of "
            f"{request.num_shards}, one for each segment of at most "
            f"{counted(request.segment_frames, 'frame')}; data.segment_frames=N cuts finer"
        )
    return "\n".join(lines)


def size_warnings(stored: Size, sources: set[Size]) -> Iterator[str]:
    """What the stored size does: fits few models or none, or makes a ball too small to be seen, or squeezes it."""
    for source in sorted(sources):
        ball = _ball_px(source, source)[0]
        width, height = _ball_px(source, stored)
        if min(width, height) < SMALLEST_BALL_PX:
            larger = _size_for_a_ball(source, stored)
            yield (
                f"a ball of {ball:.1f} px in the {source} frames is {width:.1f} px wide and {height:.1f} px high "
                f"in the stored {stored} frames, too small to find: "
                + (
                    f"choose a larger size, such as data.resize=[{larger.width},{larger.height}]"
                    if larger
                    else "no data.resize mends that, it takes recordings of more pixels"
                )
            )
        squeeze = _squeeze(source, stored)
        if squeeze > LARGEST_SQUEEZE:
            yield (
                f"{source} frames are squeezed by {squeeze:.0%} to {stored}: a height of "
                f"{round(stored.width * source.height / source.width)} would keep their shape"
            )
    unit = _unit_of(stored)
    if unit in (None, 8):
        below, above = (
            Size(*(max(PATCH_PX, PATCH_PX * rounded(length / PATCH_PX)) for length in stored))
            for rounded in (math.floor, math.ceil)
        )
        choices = " or ".join(
            f"data.resize=[{size.width},{size.height}]" for size in dict.fromkeys((below, above))
        )
        if unit is None:
            yield (
                f"no model of configs/model takes stored frames of {stored}: width and height are to be multiples of "
                f"16 pixels (of 14 for dinov2_small, of 8 for tracknet_v2 and wasb); choose {choices}"
            )
        else:
            yield (
                f"of the models of configs/model tracknet_v2 and wasb alone take stored frames of {stored}, which are "
                f"multiples of 8 pixels: for the others, of patches of 16 or 14, choose {choices}"
            )


def describe_result(report: BuildReport, out: str, data: str) -> str:
    """What was built in `out`, and what to do next with the data config `data`."""
    manifest, totals = report.manifest, report.manifest.totals
    lines = []
    if not report.changed:
        lines.append(f"nothing to do: {out} is complete and up to date (build {manifest.build_id[:12]})")
    elif not report.written:
        lines.append(
            f"wrote index and manifest of {out} anew (build {manifest.build_id[:12]}), and no shard, "
            f"in {report.seconds:.1f} s"
        )
    else:
        kept = len(manifest.shards) - report.written
        lines.append(
            f"built {out} (build {manifest.build_id[:12]}): {counted(report.written, 'shard')} written"
            f"{f', {kept} kept' if kept else ''}, in {report.seconds:.1f} s "
            f"({report.frames_written / max(report.seconds, 1e-9):,.0f} frames/s)"
        )
    if manifest.labels:
        overruled = manifest.labels["frames"]
        lines.append(
            f"the index overrules the labels of {counted(sum(overruled.values()), 'frame')} in "
            f"{counted(len(overruled), 'shard')}, whose JSON members are still of build "
            f"{manifest.labels['tar_json_from'][:12]}; the same command without --labels-only writes those anew"
        )
    lines += ["  split   games  clips   frames   vis 0   vis 1   vis 2   vis 3  shards       size"]
    for split, part in totals["splits"].items():
        seen = "".join(f"{part['visibility'].get(str(code), 0):>8,}" for code in range(4))
        lines.append(
            f"  {split:<6}{part['games']:>7,}{part['clips']:>7,}{part['frames']:>9,}{seen}"
            f"{part['shards']:>8,}{megabytes(part['bytes']):>11}"
        )
    lines.append(f"  in all {totals['frames']:,} frames, {megabytes(totals['bytes'])}")
    lines.append(f"next: {_next(manifest, out, data)}")
    return "\n".join(lines)


def _next(manifest: Manifest, out: str, data: str) -> str:
    """What trains on the shards: a command that works for frames of their size."""
    size = manifest.image_size
    unit = _unit_of(size)
    if unit is None:
        return f"build with another data.resize: no model of configs/model takes frames of {size}"
    model, on_cpu = _MODELS[unit]
    resize = "" if size == DataConfig().resize else f" data.resize=[{size.width},{size.height}]"
    data_option = "" if data == _DEFAULT_DATA else f" --data {shlex.quote(data)}"
    model_option = "" if unit == PATCH_PX else f" --model {model}"
    cpu_option = f"--model {on_cpu} " if on_cpu != model else ""
    heatmap, cpu_heatmap = _heatmap_option(model, unit, size), _heatmap_option(on_cpu, unit, size)
    # Of two settings of one key the later one counts.
    cpu_heatmap = cpu_heatmap if cpu_heatmap != heatmap else ""
    return (
        f"python -m tracknet.train {shard_pattern(manifest, out)}{resize}{model_option}{heatmap}{data_option}"
        f"   (on a CPU: {cpu_option}--training cpu{cpu_heatmap})"
    )


def _unit_of(size: Size) -> int | None:
    """The pixels that some model wants sides to be multiples of, and these are, the usual ones first; or none."""
    return next((unit for unit in _MODELS if size.width % unit == size.height % unit == 0), None)


def _heatmap_option(name: str, unit: int, size: Size) -> str:
    """What makes a model's heatmap the size that it reaches from frames of this size."""
    grid = Size(size.width // unit, size.height // unit)
    return "".join(f" {setting}" for setting in heatmap_setting(load_config(model=name).model, size, grid))


def shard_pattern(manifest: Manifest, out: str) -> str:
    """The training shards as a shell's brace pattern."""
    names = [entry.name for entry in manifest.shards_of("train")]
    folder = shlex.quote(f"{out}/")
    if len(names) == 1:
        return folder + names[0]
    first, last = (Path(name).stem.removeprefix("train-") for name in (names[0], names[-1]))
    return f"{folder}train-{{{first}..{last}}}.tar"


def _ball_px(source: Size, stored: Size) -> tuple[float, float]:
    """A ball's usual width and height where frames of `source` are stored at `stored`."""
    ball = BALL_PX * source.height / BALL_LINES
    return ball * stored.width / source.width, ball * stored.height / source.height


def _squeeze(source: Size, stored: Size) -> float:
    return abs(stored.width * source.height / (source.width * stored.height) - 1)


def _size_for_a_ball(source: Size, least: Size) -> Size | None:
    """The smallest size of whole patches, `least` or more, that shows a ball in shape; none beyond `source`."""
    for width in range(PATCH_PX, source.width + 1, PATCH_PX):
        height = PATCH_PX * max(1, round(width * source.height / source.width / PATCH_PX))
        size = Size(width, height)
        if (
            width >= least.width
            and least.height <= height <= source.height
            and min(_ball_px(source, size)) >= SMALLEST_BALL_PX
            and _squeeze(source, size) <= LARGEST_SQUEEZE
        ):
            return size
    return None


def _counts(plan: Plan) -> str:
    segments = [segment for shard in plan.shards for segment in shard.segments]
    clips = {(segment.game, segment.clip) for segment in segments}
    frames = sum(len(segment.frames) for segment in segments)
    games = {game for game, _ in clips}
    return f"{counted(frames, 'frame')} in {counted(len(clips), 'clip')} of {counted(len(games), 'game')}"
