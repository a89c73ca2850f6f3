"""What a person reads before and after a build."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pipelines.build import BuildReport, Prepared
from pipelines.plan import Plan
from tracknet.datasets.schema import Manifest
from tracknet.utils.geometry import Size

BALL_PX = 5.0
"""A tennis ball's usual size in a 1280x720 broadcast frame."""
SMALLEST_BALL_PX = 1.5
LARGEST_SQUEEZE = 0.02


def describe_plan(prepared: Prepared) -> str:
    """What is about to be built, in a few lines."""
    request, plan = prepared.request, prepared.plan
    lines = [f"{request.root}: {_counts(plan)}, stored at {request.size} in {request.out}"]
    for split, games in plan.games.items():
        shards = plan.shards_of(split)
        frames = [shard.frames for shard in shards]
        lines.append(
            f"  {split}: {len(shards)} shard(s) of {min(frames)} to {max(frames)} frames from {', '.join(games)}"
        )
    if len(plan.shards_of("train")) < request.num_shards:
        lines.append(
            f"  note: {len(plan.shards_of('train'))} training shard(s) instead of {request.num_shards}, one for "
            f"each segment of at most {request.segment_frames} frames; data.segment_frames=N cuts finer"
        )
    return "\n".join(lines)


def size_warnings(stored: Size, sources: set[Size]) -> Iterator[str]:
    """What the stored size does to a ball: too small to be seen, or squeezed."""
    for source in sorted(sources):
        scale_x, scale_y = stored.width / source.width, stored.height / source.height
        ball = BALL_PX * min(scale_x, scale_y)
        if ball < SMALLEST_BALL_PX:
            yield (
                f"a ball of {BALL_PX:g} px in the {source} frames is {BALL_PX * scale_x:.1f} px wide and "
                f"{BALL_PX * scale_y:.1f} px high in the stored {stored} frames, too small to find: "
                f"choose a larger size, such as data.resize=[512,288]"
            )
        squeeze = abs(scale_x / scale_y - 1)
        if squeeze > LARGEST_SQUEEZE:
            yield (
                f"{source} frames are squeezed by {squeeze:.0%} to {stored}: a height of "
                f"{round(stored.width * source.height / source.width)} would keep their shape"
            )


def describe_result(report: BuildReport, out: Path) -> str:
    """What was built, and what to do next."""
    manifest, totals = report.manifest, report.manifest.totals
    lines = []
    if not report.changed:
        lines.append(f"nothing to do: {out} is complete and up to date (build {manifest.build_id[:12]})")
    else:
        kept = len(manifest.shards) - report.written
        lines.append(
            f"built {out} (build {manifest.build_id[:12]}): {report.written} shard(s) written"
            f"{f', {kept} kept' if kept else ''}, in {report.seconds:.1f} s "
            f"({report.frames_written / max(report.seconds, 1e-9):,.0f} frames/s)"
        )
    lines += ["  split   games  clips   frames   vis 0   vis 1   vis 2   vis 3  shards       size"]
    for split, part in totals["splits"].items():
        seen = "".join(f"{part['visibility'].get(str(code), 0):>8,}" for code in range(4))
        lines.append(
            f"  {split:<6}{part['games']:>7,}{part['clips']:>7,}{part['frames']:>9,}{seen}"
            f"{part['shards']:>8,}{_megabytes(part['bytes']):>11}"
        )
    lines.append(f"  in all {totals['frames']:,} frames, {_megabytes(totals['bytes'])}")
    lines.append(f"next: python -m tracknet.train {shard_pattern(manifest, out)}")
    return "\n".join(lines)


def shard_pattern(manifest: Manifest, out: Path) -> str:
    """The training shards as a shell's brace pattern."""
    names = [entry.name for entry in manifest.shards_of("train")]
    if len(names) == 1:
        return str(out / names[0])
    first, last = (Path(name).stem.removeprefix("train-") for name in (names[0], names[-1]))
    return str(out / f"train-{{{first}..{last}}}.tar")


def _counts(plan: Plan) -> str:
    segments = [segment for shard in plan.shards for segment in shard.segments]
    clips = {(segment.game, segment.clip) for segment in segments}
    frames = sum(len(segment.frames) for segment in segments)
    return f"{frames:,} frames in {len(clips):,} clips of {len({game for game, _ in clips})} game(s)"


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"
