"""`python -m tracknet.scripts.inspect shards [--verify] [--samples N [--augment KEY=VALUE]] [--html FILE] [--json]`."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracknet.scripts._augmented_windows import VISIBILITY_WORDS, augmented_windows
from tracknet.utils.errors import EXIT_DONE, EXIT_FAILED, UserError, cli_main
from tracknet.utils.naming import program
from tracknet.utils.urls import is_url, shown

if TYPE_CHECKING:
    from tracknet.datasets.contents import Contents
    from tracknet.datasets.shard_set import ShardSet
    from tracknet.datasets.verify import Verification
    from tracknet.reporting.sample_sheet import ShownFrame

SAMPLED_FRAMES = 1536
PAGE_FRAMES = 60
MOST_WINDOWS = 60
MOST_SAMPLES = 600
"""A sheet of more would be higher than the 65,500 lines of the largest JPEG, a page of more 50 MB and larger."""


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog=program("inspect"),
        description="Tell what a build of shards holds and what is doubtful in it; --verify reads every byte and "
        "exits with 1 if anything is not what was built.",
    )
    parser.add_argument(
        "folder", nargs="?", default="shards", help="of a build, on this machine (default: shards)"
    )
    parser.add_argument(
        "--verify", action="store_true", help="check every byte against manifest and index, and no more"
    )
    parser.add_argument("--decode", action="store_true", help="with --verify: decode every picture too")
    parser.add_argument(
        "--duplicates",
        action="store_true",
        help=f"compare all frames with their neighbours, instead of about {SAMPLED_FRAMES:,}",
    )
    parser.add_argument("--samples", type=int, metavar="N", help="draw N frames with their labels on a sheet")
    parser.add_argument(
        "--augment",
        nargs="*",
        metavar="KEY=VALUE",
        help="with --samples: windows as a training with these settings sees them, in place of stored frames",
    )
    parser.add_argument("--out", type=Path, help="the sheet's file: .jpg or .png (default: samples.jpg)")
    parser.add_argument(
        "--html",
        type=Path,
        metavar="FILE",
        help=f"a page of these frames (of {PAGE_FRAMES} without --samples)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON, for machines")
    parser.add_argument("--traceback", action="store_true", help="show Python's traceback of an error")
    args = parser.parse_args(list(argv))
    problems = []
    if args.samples is not None and not 1 <= args.samples <= MOST_SAMPLES:
        problems.append(f"--samples must be 1 to {MOST_SAMPLES}, got {args.samples}")
    if args.decode and not args.verify:
        problems.append("--decode goes with --verify")
    if args.verify and (args.samples or args.html or args.duplicates):
        problems.append("--verify goes alone: damaged shards cannot be shown; verify first, then look")
    if args.augment is not None and (args.samples is None or args.html is not None):
        problems.append("--augment goes with --samples N, and without --html: it draws windows on that sheet")
    elif args.augment is not None and args.samples > MOST_WINDOWS:
        problems.append(f"--samples must be at most {MOST_WINDOWS} with --augment, got {args.samples}")
    if args.out is not None and args.samples is None:
        problems.append("--out names the sheet of --samples N")
    if args.out is not None and args.out.suffix.lower() not in (".jpg", ".jpeg", ".png"):
        problems.append(f"--out {args.out}: give a .jpg or .png file")
    if is_url(args.folder):
        raise UserError(
            f"{shown(args.folder)}: inspect reads folders of this machine",
            remedy="give the folder under which that place is mounted, or copy it here and inspect the copy",
        )
    args.folder = Path(args.folder)
    if problems:
        raise UserError("the request has impossible values", problems=problems)
    return args


def run(argv: Sequence[str]) -> int:
    """Inspects or verifies, as the arguments ask."""
    args = parse(argv)
    from tracknet.datasets.contents import Contents

    contents = Contents.read(args.folder)
    if args.verify:
        return _verify(contents, args)
    return _inspect_features(contents, args) if contents.manifest.features else _inspect(contents, args)


def _verify(contents: Contents, args: argparse.Namespace) -> int:
    from tracknet.datasets.verify import verify_build
    from tracknet.utils.progress import Progress

    size_mb = sum(entry.bytes for entry in contents.manifest.shards) // 1_000_000
    start_s = time.monotonic()
    with Progress("verifying", size_mb, "MB") as progress:
        result = verify_build(contents, decode=args.decode, on_bytes=progress.bytes_counter())
    seconds = time.monotonic() - start_s
    if args.json:
        print(json.dumps(_verification(result, contents, seconds), indent=2))
    else:
        _print_verification(result, contents, seconds)
    return EXIT_FAILED if result.count else EXIT_DONE


def _verification(result: Verification, contents: Contents, seconds: float) -> dict[str, Any]:
    return {
        "folder": str(contents.folder),
        "build_id": contents.manifest.build_id,
        "ok": not result.count,
        "shards": result.shards,
        "pictures_undamaged": result.frames,
        "frames": len(contents),
        "bytes": result.bytes,
        "seconds": round(seconds, 3),
        "faults": [{"file": f.file, "key": f.key, "message": f.message} for f in result.faults],
        "more_faults": result.more_faults,
        "notes": result.notes,
    }


def _print_verification(result: Verification, contents: Contents, seconds: float) -> None:
    read = (
        f"{result.bytes / 1e6:,.1f} MB of {result.shards:,} shards read in {seconds:.1f} s "
        f"({result.bytes / 1e6 / max(seconds, 1e-9):,.0f} MB/s)"
    )
    for note in result.notes:
        print(f"note: {note}")
    if not result.count:
        print(
            f"{contents.folder} is whole: {read}; {result.frames:,} frames, build {contents.manifest.build_id[:12]}"
        )
        return
    for fault in result.faults:
        print(f"  - {fault}")
    if result.more_faults:
        print(f"  - and {result.more_faults:,} more")
    print(
        f"{contents.folder} is not what was built: {result.count:,} faults, {result.frames:,} of {len(contents):,} "
        f"pictures undamaged; {read}"
    )
    names = sorted({fault.file for fault in result.faults if fault.file.endswith(".tar")})
    if contents.manifest.config.get("made_elsewhere"):
        print("  remedy: fetch these tars again, or run python -m pipelines.index_shards if you changed them")
    elif names:
        print(
            f"  remedy: delete {' '.join(names[:10])} and run {_build_command(contents)} again: it keeps the other "
            "shards"
        )
    else:
        print(f"  remedy: run {_build_command(contents)} again")


def _build_command(contents: Contents) -> str:
    """What made a build, as far as it is known."""
    from tracknet.datasets.feature_command import feature_command, noted_request
    from tracknet.datasets.feature_format import FeatureInfo
    from tracknet.datasets.manifest import THE_BUILD_COMMAND

    if not contents.manifest.features:
        return THE_BUILD_COMMAND
    noted = noted_request(contents.folder)
    info = FeatureInfo.of(contents.manifest, str(contents.folder))
    options = ["--model", noted.get("model", "MODEL")]
    command = feature_command(
        noted.get("shards", "SHARDS"), contents.folder, options, (info.computed_in, info.dtype)
    )
    return f"`{command}` (with the key=value settings that it had, if any)"


def _inspect_features(contents: Contents, args: argparse.Namespace) -> int:
    """Whose tokens, of what, and how many: there is nothing to look at."""
    from tracknet.datasets.feature_format import FeatureInfo
    from tracknet.reporting.feature_text import feature_text

    if args.samples or args.html or args.duplicates:
        raise UserError(
            f"{contents.folder} holds features: there are no pictures to show or to compare",
            remedy="inspect the shards of frames that they are of",
        )
    info = FeatureInfo.of(contents.manifest, str(contents.folder))
    figures = {
        "build_id": contents.manifest.build_id,
        "features": {**info.to_plain(), "bytes_per_frame": info.stored_bytes},
        "totals": contents.manifest.totals,
    }
    print(json.dumps(figures, indent=2) if args.json else feature_text(str(contents.folder), figures))
    return EXIT_DONE


def _inspect(contents: Contents, args: argparse.Namespace) -> int:
    import cv2

    from tracknet.datasets.duplicates import find_repeats, frames_to_decode
    from tracknet.datasets.index import open_split
    from tracknet.datasets.statistics import describe
    from tracknet.reporting.dataset_text import dataset_text, dataset_warnings
    from tracknet.utils.progress import Progress

    cv2.setNumThreads(0)
    figures = describe(contents)
    splits = [open_split(args.folder, split) for split in figures["splits"]]
    most = None if args.duplicates else SAMPLED_FRAMES
    with Progress("comparing", frames_to_decode(splits, most), "frames") as progress:
        repeats = find_repeats(splits, most_frames=most, on_frame=progress.advance)
    warnings = list(dataset_warnings(figures, repeats))
    text = dataset_text(figures, repeats)
    if args.json:
        print(json.dumps({**figures, "repeats": repeats, "warnings": warnings}, indent=2))
    else:
        print(text)
        for warning in warnings:
            print(f"  warning: {warning}")
    written = _draw(splits, args, text, warnings)
    if written:
        print("written: " + ", ".join(written), file=sys.stderr if args.json else sys.stdout)
    return EXIT_DONE


def _draw(
    splits: Sequence[ShardSet], args: argparse.Namespace, text: str, warnings: Sequence[str]
) -> list[str]:
    if args.samples is None and args.html is None:
        return []
    import cv2

    from tracknet.reporting.dataset_page import dataset_page
    from tracknet.reporting.sample_sheet import sample_sheet
    from tracknet.reporting.window_sheet import window_sheet
    from tracknet.utils.files import replace_file

    frames = _shown_frames(splits, args.samples or PAGE_FRAMES) if args.augment is None else []
    written = []
    if args.samples is not None:
        out = args.out or Path("samples.jpg")
        out.parent.mkdir(parents=True, exist_ok=True)
        if args.augment is None:
            drawn = sample_sheet(frames)
        else:
            # Training comes first, where there is any.
            drawn = window_sheet(augmented_windows(splits[0], args.augment, args.samples))
        picture = cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR)
        replace_file(out, cv2.imencode(out.suffix.lower(), picture)[1].tobytes())
        written.append(str(out))
    if args.html is not None:
        args.html.parent.mkdir(parents=True, exist_ok=True)
        page = dataset_page(f"{args.folder}: {len(frames)} frames", text, warnings, frames)
        replace_file(args.html, page.encode())
        written.append(str(args.html))
    return written


def _shown_frames(splits: Sequence[ShardSet], count: int) -> list[ShownFrame]:
    from tracknet.datasets.reader import ShardReader
    from tracknet.datasets.schema import Status, Visibility
    from tracknet.datasets.spread import spread_rows
    from tracknet.datasets.table import NO_STATUS
    from tracknet.reporting.sample_sheet import ShownFrame
    from tracknet.utils.geometry import Size, scaling, transform_points

    readers = [ShardReader(shards) for shards in splits]
    frames = []
    for which, row in spread_rows([shards.table for shards in splits], count):
        shards, table = splits[which], splits[which].table
        to_stored = scaling(Size(*table.source_size[row].tolist()), shards.manifest.image_size)
        frame_xy = table.xy_px[row]
        absent = table.visibility[row] == Visibility.ABSENT
        game, clip = table.clips[table.clip_id[row]]
        frames.append(
            ShownFrame(
                key=table.keys[row],
                split=shards.split,
                game=game,
                clip=clip,
                visibility=VISIBILITY_WORDS[int(table.visibility[row])],
                status="" if table.status[row] == NO_STATUS else Status(int(table.status[row])).name.lower(),
                xy_px=None if absent else _pair(transform_points(to_stored, frame_xy)),
                frame_xy_px=None if absent else _pair(frame_xy),
                image=readers[which].read(row),
                file=readers[which].read_bytes(row),
            )
        )
    return frames


def _pair(xy: Any) -> tuple[float, float]:
    return float(xy[0]), float(xy[1])


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    return cli_main(run, argv)


if __name__ == "__main__":
    sys.exit(main())
