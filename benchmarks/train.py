"""What each option of training speed is worth, in one run that takes them in turns.

    python -m benchmarks.train                          a CPU: vit_tiny and detail_small, some minutes
    python -m benchmarks.train --size full              a GPU: a ViT-B/16 at 512x288, T=3, about 8 minutes

It needs no network and no data: rallies are rendered and built into shards under --work, unless --shards names some.
A row is a start (`base`: everything off; `default`: as configs/training/default.yaml has it; `all`: that and
torch.compile) and options on and off: `base+bf16`, `default-sdpa`. In every round each row takes some warm-up steps
and some timed ones, on the same samples, by the trainer's own code. `--out FILE.md` keeps the table.

windows/s    median over the rounds, in brackets the least and the most; on a CPU by the process's own time, with that
             of the loader's threads, in which other work on the machine shows less
x base       of the first row's, median of the rounds' ratios
data wait    share of the time that was spent waiting for the loader
of peak      operations of forward and backward of the model (torch's counter; none for what is computed again),
             over the device's peak: a GPU's in bf16, a CPU's in what the row computes in
memory       GPU: the most that is allocated in a step. CPU: what a step keeps for its backward pass
loss         of the last step: the same but for rounding wherever nothing is wrong
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import platform
import shlex
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks import device_speed
from benchmarks.bounds import above_0, at_least
from benchmarks.report_file import write_report
from benchmarks.train_rows import CPU_ROWS, GPU_ROWS, Row, config_of, in_turns, overrides_of
from pipelines import build_shards, synthesize
from tracknet.training.setup import prepare
from tracknet.utils.errors import EXIT_DONE, UserError, cli_main

# DINOv3's ViT-B/16 as published, with random weights: nothing is downloaded.
_VIT_B16 = (
    "model.backbone.name=dinov3_vit",
    "model.backbone.pretrained=false",
    "model.backbone.config={hidden_size: 768, num_hidden_layers: 12, num_attention_heads: 12, num_register_tokens: 4}",
)
_GOAL_DATA_SHARE = 0.02


@dataclass(frozen=True)
class Size:
    """What is run where nothing else is asked for."""

    models: tuple[str, ...]
    overrides: tuple[str, ...]
    batch: int
    frames: int
    rounds: int
    steps: int
    warm_up: int
    workers: int


SIZES = {
    "small": Size(("vit_tiny", "detail_small"), (), 4, 96, 3, 3, 1, 1),
    "full": Size(("vit_heatmap",), _VIT_B16, 16, 512, 3, 12, 4, max(1, min(12, (os.cpu_count() or 2) - 2))),
}


def shards_of(args: argparse.Namespace, frames: int) -> str:
    """The shards named, or rendered ones at the input's size, built once."""
    if args.shards:
        return str(args.shards)
    width, height = args.resize
    raw, out = args.work / f"raw-{frames}", args.work / f"shards-{frames}-{width}x{height}"
    if not (out / "manifest.json").exists():
        clips = max(1, frames // 64)
        render = ["--out", str(raw), "--games", "1", "--clips", str(clips), "--frames", str(frames // clips)]
        build = [
            "--root",
            str(raw),
            "--out",
            str(out),
            "--val-games",
            "none",
            f"data.resize=[{width},{height}]",
        ]
        with contextlib.redirect_stdout(io.StringIO()):
            if not raw.exists():
                synthesize.run(render)
            build_shards.run([*build, "--workers", str(max(1, (os.cpu_count() or 2) - 1))])
    return str(out)


def measure(args: argparse.Namespace, model: str, shards: str, size: Size) -> list[str]:
    """All rows of one model, as the lines of a table."""
    names = args.rows.split(",") if args.rows else (GPU_ROWS if args.device.type == "cuda" else CPU_ROWS)
    common = [
        *size.overrides,
        f"data.resize=[{args.resize[0]},{args.resize[1]}]",
        f"data.loader.workers={args.workers}",
        f"training.batch_size={args.batch}",
        f"training.device={args.device}",
        f"training.seed={args.seed}",
        *args.overrides,
    ]
    began = time.monotonic()
    # By itself and first: what is wrong with all rows, such as shards of another size, is said here.
    counted = prepare(config_of("base", model, shards, common), say=lambda line: None)
    parameters, frames = sum(p.numel() for p in counted.model.parameters()), counted.model.num_frames
    flops = device_speed.flops_per_window(counted.model)
    del counted
    rows = [Row(name, config_of(name, model, shards, common)) for name in names]
    first = rows[0]
    if args.device.type != "cuda":
        for row in rows:
            row.note_kept()
    taken = in_turns(rows, args.rounds, args.steps, args.warm_up, until=began + args.limit_s)
    dtypes = {row.dtype for row in rows if not row.problem}
    peaks = {dtype: device_speed.peak_flops(args.device, dtype) for dtype in sorted(dtypes, key=str)}
    said = dict.fromkeys(text for _, text in peaks.values())
    lines = [
        f"## {model}: {parameters / 1e6:.1f} M parameters, {args.resize[0]}x{args.resize[1]}, "
        f"T={frames}, {args.batch} windows a step",
        "",
        f"{taken} rounds of {args.steps} timed steps after {args.warm_up} others; {flops / 1e9:.1f} GFLOP a window; "
        f"peak {'; '.join(said) or 'not measured'}.",
        "",
        "| row | windows/s | x base | data wait | of peak | memory | loss |",
        "|---|---|---|---|---|---|---|",
        *(line_of(row, first, flops, peaks) for row in rows),
        "",
        *goals(rows, args.device),
    ]
    judged = rows[names.index("default")] if "default" in names else first
    if not judged.problem:
        kernels = device_speed.attention_kernels(judged.one_step)
        lines += ["", f"Attention of `{judged.name}`: {', '.join(kernels) or 'no fused kernel ran'}."]
    if args.profile:
        wanted = next(row for row in rows if row.name == args.profile)
        lines += ["", "```", device_speed.profiled(wanted.one_step, args.device), "```"]
    return lines


def line_of(row: Row, first: Row, flops: int, peaks: dict[torch.dtype, tuple[float, str]]) -> str:
    if row.problem or not row.turns:
        return f"| {row.name} | not had: {row.problem or 'no turn was taken'} | | | | | |"
    rates = [turn.windows_per_s for turn in row.turns]
    pairs = zip(row.turns, first.turns, strict=False)
    ratios = [own.windows_per_s / base.windows_per_s for own, base in pairs]
    ratio = f"{statistics.median(ratios):.2f}" if ratios else ""
    peak, _ = peaks[row.dtype]
    return (
        f"| {row.name} | {row.of_turns('windows_per_s'):.2f} ({min(rates):.2f}-{max(rates):.2f}) | {ratio} | "
        f"{row.data_share:.1%} | {row.of_turns('windows_per_s') * flops / peak:.1%} | "
        f"{row.memory_bytes / 2**20:,.0f} MiB | {row.turns[-1].loss:.4f} |"
    )


def goals(rows: Sequence[Row], device: torch.device) -> list[str]:
    """What was to be reached, and whether it was."""
    had = [row for row in rows if row.turns and not row.problem]
    if not had:
        return []
    best = max(had, key=lambda row: row.of_turns("windows_per_s"))
    met = "met" if best.data_share < _GOAL_DATA_SHARE else "NOT met"
    where = "" if device.type == "cuda" else " (the goal is a GPU's)"
    return [
        f"Fastest: `{best.name}`. Goal of data wait under {_GOAL_DATA_SHARE:.0%}{where}: {met} with "
        f"{best.data_share:.1%}."
    ]


def header(args: argparse.Namespace, argv: Sequence[str]) -> list[str]:
    device = torch.cuda.get_device_name(args.device) if args.device.type == "cuda" else platform.machine()
    load = os.getloadavg()[0]
    busy = "busy with other work" if load > torch.get_num_threads() + 0.5 else "otherwise idle"
    return [
        "# Training speed",
        "",
        f"`{shlex.join(['python', '-m', 'benchmarks.train', *argv])}`",
        "",
        f"On {device}, {os.cpu_count()} cores, {torch.get_num_threads()} thread(s) for the model, {args.workers} "
        f"loader worker(s), torch {torch.__version__}, seed {args.seed}. Load average at the start {load:.1f}: {busy}. "
        f"Data: {'--shards' if args.shards else 'rendered rallies'}.",
        "",
    ]


def parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="settings of all rows")
    parser.add_argument("--size", choices=list(SIZES), default="small")
    parser.add_argument("--model", action="append", help="name in configs/model; may be given again")
    parser.add_argument("--rows", help="separated by commas, the first is what others are compared with")
    parser.add_argument("--rounds", type=at_least(1))
    parser.add_argument("--steps", type=at_least(1), help="timed, of every turn")
    parser.add_argument("--warm-up", type=at_least(0), help="steps before them")
    parser.add_argument("--batch", type=at_least(1), help="windows a step")
    parser.add_argument(
        "--resize", type=at_least(1), nargs=2, default=(512, 288), metavar=("WIDTH", "HEIGHT")
    )
    parser.add_argument("--shards", type=Path, help="a folder of built shards of that size")
    parser.add_argument("--work", type=Path, default=Path("benchmark-train"), help="for rendered shards")
    parser.add_argument("--workers", type=at_least(0), help="of the loader")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=at_least(1), help="CPU threads of the model")
    parser.add_argument("--seed", type=at_least(0), default=0)
    parser.add_argument(
        "--limit-s", type=above_0, default=480.0, help="of each model: no round begins after it"
    )
    parser.add_argument("--profile", metavar="ROW", help="print where the time of a step of this row goes")
    parser.add_argument("--out", type=Path, help="write the table here too, after every model")
    args = parser.parse_intermixed_args(list(argv))
    size = SIZES[args.size]
    for name in ("batch", "rounds", "steps", "warm_up", "workers"):
        if getattr(args, name) is None:
            setattr(args, name, getattr(size, name))
    for row in args.rows.split(",") if args.rows else ():
        overrides_of(row)
    if args.profile and args.profile not in (args.rows.split(",") if args.rows else [*CPU_ROWS, *GPU_ROWS]):
        raise UserError(f"--profile {args.profile} is none of the rows", remedy="name it in --rows too")
    return args


def run(argv: Sequence[str]) -> int:
    args = parse(argv)
    size = SIZES[args.size]
    if args.threads:
        torch.set_num_threads(args.threads)
    auto = "cuda" if torch.cuda.is_available() else "cpu"
    args.device = torch.device(auto if args.device == "auto" else args.device)
    lines = header(args, argv)
    shards = shards_of(args, size.frames)
    print("\n".join(lines), flush=True)
    for model in args.model or size.models:
        table = measure(args, model, shards, size)
        print("\n".join(table), flush=True)
        lines += [*table, ""]
        if args.out:
            write_report(args.out, lines)
    return EXIT_DONE


if __name__ == "__main__":
    sys.exit(cli_main(run))
