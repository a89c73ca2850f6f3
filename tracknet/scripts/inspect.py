"""`python -m tracknet.scripts.inspect shards [--verify] [--samples N [--augment KEY=VALUE]] [--html FILE] [--json]`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tracknet.scripts._inspect_options import PAGE_FRAMES, SAMPLED_FRAMES, parse
from tracknet.scripts._shown_samples import augmented_windows, stored_frames
from tracknet.scripts._verify_build import verify
from tracknet.utils.errors import EXIT_DONE, UserError, cli_main

if TYPE_CHECKING:
    from tracknet.datasets.contents import Contents
    from tracknet.datasets.shard_set import ShardSet


def run(argv: Sequence[str]) -> int:
    """Inspects or verifies, as the arguments ask."""
    args = parse(argv)
    from tracknet.datasets.contents import Contents

    contents = Contents.read(args.folder)
    if args.verify:
        return verify(contents, decode=args.decode, as_json=args.json)
    return _inspect_features(contents, args) if contents.manifest.features else _inspect(contents, args)


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

    frames = stored_frames(splits, args.samples or PAGE_FRAMES) if args.augment is None else []
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


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    return cli_main(run, argv)


if __name__ == "__main__":
    sys.exit(main())
