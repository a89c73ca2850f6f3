"""What building shards costs beside decode, resize and encode, and which decode path to take.

    python -m benchmarks.build_shards [--root TRACKNET_FOLDER] [--parts speed workers decode rebuild memory]
                                      [--save benchmarks/results/build_shards/NAME.txt]

speed    one core: frames/s of the builder against a bare loop of the same read, decode, resize and encode
workers  two worker processes against one, start-up included
decode   ways from a file to a stored picture: ms, and PSNR against PIL's filters, which the HF processors use
rebuild  a build with nothing changed, and one for new labels alone, at the size of the TrackNet tennis data set
memory   the builder's and its workers' peak, for a small and a ten times larger data set

What is compared is interleaved within one run; the least and the median of the rounds are printed. Without --root
the frames are rendered by `pipelines.synthesize`.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from benchmarks.bounds import at_least
from benchmarks.decode_paths import JPEG_444, QUALITY, SIZE, decode_paths
from benchmarks.report_file import write_report
from benchmarks.rounds import Rounds, quietly
from pipelines import build_shards, synthesize
from pipelines.build import build
from pipelines.pool import worker_pool
from pipelines.request import BuildRequest, Prepared, prepare
from tracknet.utils.cpus import usable_cpus
from tracknet.utils.images import Decode
from tracknet.utils.memory import keep_freed_memory

PARTS = ("speed", "workers", "decode", "rebuild", "memory")
TENNIS_CLIPS, TENNIS_FRAMES = 95, 19_835


def prepared(root: Path, out: Path, decode: Decode = "full", num_shards: int = 8) -> Prepared:
    games = sorted(folder.name for folder in root.iterdir() if folder.is_dir())
    request = BuildRequest(
        root, out, SIZE, QUALITY, 64, num_shards, (games[-1],), 0, "clip", overwrite=True, decode=decode
    )
    return prepare(request)


def repeated(root: Path, into: Path, times: int) -> Path:
    """The same games several times over, as hard links."""
    for number in range(times):
        for game in (folder for folder in sorted(root.iterdir()) if folder.is_dir()):
            shutil.copytree(game, into / f"{game.name}x{number:02d}", copy_function=link)
    return into


def link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)


def bare_loop(plan: Prepared, decode: Decode = "full") -> None:
    flag = cv2.IMREAD_COLOR if decode == "full" else cv2.IMREAD_REDUCED_COLOR_2
    for shard in plan.plan.shards:
        for segment in shard.segments:
            for frame in segment.frames:
                picture = cv2.imdecode(np.frombuffer(frame.path.read_bytes(), np.uint8), flag)
                assert picture is not None
                small = cv2.resize(picture, SIZE, interpolation=cv2.INTER_AREA)
                cv2.imencode(".jpg", small, JPEG_444)[1].tobytes()


def afresh(root: Path, out: Path, decode: Decode) -> Callable[[], object]:
    def work() -> None:
        shutil.rmtree(out, ignore_errors=True)
        build(prepared(root, out, decode))

    return work


def speed(root: Path, work: Path, count: int) -> list[str]:
    plan = prepared(root, work / "unused")
    frames = sum(shard.frames for shard in plan.plan.shards)
    lines = [f"one core, {frames:,} frames, {count} rounds (the builder from labels to manifest, synced):"]
    as_given = Rounds({"bare loop, glibc's own ways": lambda: bare_loop(plan)}, 2)
    lines.append("  " + as_given.line("bare loop, glibc's own ways", frames, "ms/frame"))
    keep_freed_memory()
    decodes: tuple[Decode, ...] = ("full", "scaled")
    for decode in decodes:
        bare, builder = f"bare loop, {decode}", f"builder, {decode}"
        done = Rounds(
            {
                bare: partial(bare_loop, plan, decode),
                builder: afresh(root, work / f"speed-{decode}", decode),
            },
            count,
        )
        lines += [f"  {done.line(name, frames, 'ms/frame')}" for name in (bare, builder)]
        lines.append(f"  {done.ratio(builder, bare)}")
    return lines


def workers(root: Path, work: Path, count: int) -> list[str]:
    plan = prepared(root, work / "pool", num_shards=32)

    def with_workers(number: int) -> None:
        shutil.rmtree(work / "pool", ignore_errors=True)
        with worker_pool(number) as pool:
            build(plan, pool)

    done = Rounds({"1 worker": lambda: with_workers(1), "2 workers": lambda: with_workers(2)}, count)
    frames = sum(shard.frames for shard in plan.plan.shards)
    return [
        f"worker processes, {frames:,} frames in {len(plan.plan.shards)} shards, {count} rounds, start-up included:",
        *(f"  {done.line(name, 1, 's')}" for name in done.taken),
        f"  {done.ratio('1 worker', '2 workers')}",
        f"  {frames / done.clock_s('2 workers'):,.0f} frames/s by two",
    ]


def tennis_sized(root: Path, frames: int) -> Path:
    """So many frames in clips of the tennis data set's length: one small picture, linked under every name."""
    root.mkdir(parents=True)
    picture = root.parent / "one.jpg"
    cv2.imwrite(str(picture), np.full((90, 160, 3), 90, np.uint8))
    clips = max(10, round(frames * TENNIS_CLIPS / TENNIS_FRAMES))
    for clip in range(clips):
        folder = root / f"game{clip % 10 + 1}" / f"Clip{clip // 10 + 1}"
        folder.mkdir(parents=True)
        names = [f"{n:04d}.jpg" for n in range(frames // clips + (clip < frames % clips))]
        rows = [f"{name},1,{20 + n % 100},{10 + n % 70},0" for n, name in enumerate(names)]
        (folder / "Label.csv").write_text(
            "\n".join(["file name,visibility,x-coordinate,y-coordinate,status", *rows, ""]),
            encoding="utf-8",
        )
        for name in names:
            link(str(picture), str(folder / name))
    return root


def rebuild(work: Path, count: int) -> list[str]:
    root, out = tennis_sized(work / "tennis", TENNIS_FRAMES), work / "tennis-shards"
    command = [sys.executable, "-m", "pipelines.build_shards", "--root", str(root), "--out", str(out)]

    def again(*options: str) -> str:
        done = subprocess.run(
            [*command, "data.resize=[64,36]", *options],
            cwd=Path(build_shards.__file__).parents[1],
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    again()
    label = root / "game3" / "Clip2" / "Label.csv"
    seconds: dict[str, list[float]] = {"nothing changed": [], "--labels-only, one Label.csv changed": []}
    for number in range(count):
        start_s = time.perf_counter()
        assert "nothing to do" in again()
        seconds["nothing changed"].append(time.perf_counter() - start_s)
        was = label.read_text(encoding="utf-8")
        label.write_text(was.replace("0000.jpg,1,", f"0000.jpg,{2 + number % 2},"), encoding="utf-8")
        start_s = time.perf_counter()
        assert "and no shard" in again("--labels-only")
        seconds["--labels-only, one Label.csv changed"].append(time.perf_counter() - start_s)
        label.write_text(was, encoding="utf-8")
        again()
    return [
        f"{TENNIS_FRAMES:,} frames in {TENNIS_CLIPS} clips built before, {count} rounds, start of Python included:",
        *(
            f"  {name:40} least {min(times):5.2f} s, median {statistics.median(times):5.2f} s"
            for name, times in seconds.items()
        ),
    ]


# A process inherits the `ru_maxrss` of the one that started it; what /proc says is its own (so: Linux only).
_PEAK = """
import resource, sys
from pathlib import Path
from pipelines.build_shards import main
assert main(sys.argv[1:]) == 0
own = next(line.split()[1] for line in Path("/proc/self/status").open() if line.startswith("VmHWM"))
print("peak", own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def memory(work: Path) -> list[str]:
    lines = ["peak memory, 2 workers, shards of the same size:"]
    peaks = []
    for frames, shards in ((TENNIS_FRAMES // 10, 4), (TENNIS_FRAMES, 40)):
        root = tennis_sized(work / f"memory-{frames}" / "data", frames)
        options = ["data.resize=[64,36]", f"data.num_shards={shards}", "--workers", "2"]
        arguments = ["--root", str(root), "--out", str(root.parent / "out"), *options]
        done = subprocess.run(
            [sys.executable, "-c", _PEAK, *arguments], stdout=subprocess.PIPE, text=True, check=True
        )
        builder, worker = (int(word) / 1024 for word in done.stdout.split("peak ")[1].split())
        peaks.append((frames, builder))
        lines.append(f"  {frames:7,} frames: builder {builder:5.0f} MB, a worker {worker:5.0f} MB")
    (few, small), (many, large) = peaks
    lines.append(
        f"  the builder holds {(large - small) / (many - few) * 1024:.1f} KB a frame (plan, notes, index rows)"
    )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", type=Path, help="a folder in the TrackNet layout (default: rendered)")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--rounds", type=at_least(1), default=5)
    parser.add_argument(
        "--repeat",
        type=at_least(1),
        default=4,
        help="times that the frames are taken over for speed and workers",
    )
    parser.add_argument("--frames", type=at_least(1), default=120, help="the most frames for `decode`")
    parser.add_argument("--save", type=Path)
    args = parser.parse_args()
    cv2.setNumThreads(0)
    lines = [
        f"$ python -m benchmarks.build_shards {' '.join(sys.argv[1:])}",
        f"{platform.machine()}, {usable_cpus()} CPUs, load {os.getloadavg()[0]:.1f} at the start, "
        f"Python {platform.python_version()}, OpenCV {cv2.__version__}; {SIZE}, JPEG quality {QUALITY}",
    ]
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        root = args.root or work / "rendered"
        if args.root is None and {"speed", "workers", "decode"} & set(args.parts):
            quietly(lambda: synthesize.run(["--out", str(root), "--games", "8"]))
        many = repeated(root, work / "many", args.repeat if root.is_dir() else 0)
        parts: dict[str, Callable[[], list[str]]] = {
            "speed": lambda: speed(many, work, args.rounds),
            "workers": lambda: workers(many, work, args.rounds),
            "decode": lambda: decode_paths(root, args.frames),
            "rebuild": lambda: rebuild(work, args.rounds),
            "memory": lambda: memory(work),
        }
        print("\n".join(lines), flush=True)
        for part in PARTS:
            if part in args.parts:
                made = ["", *parts[part]()]
                print("\n".join(made), flush=True)
                lines += made
    if args.save is not None:
        write_report(args.save, lines)


if __name__ == "__main__":
    main()
