"""`inspect --verify`: what is not as it was built, in words or as JSON, and what to do about it."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from tracknet.utils.errors import EXIT_DONE, EXIT_FAILED

if TYPE_CHECKING:
    from tracknet.datasets.contents import Contents
    from tracknet.datasets.verify import Verification


def verify(contents: Contents, *, decode: bool, as_json: bool) -> int:
    """Reads every byte of a build and prints what is wrong.

    Args:
        contents: of the build.
        decode: every picture too.
        as_json: for machines.

    Returns:
        The exit code: failed where anything is not what was built.
    """
    from tracknet.datasets.verify import verify_build
    from tracknet.utils.progress import Progress

    size_mb = sum(entry.bytes for entry in contents.manifest.shards) // 1_000_000
    start_s = time.monotonic()
    with Progress("verifying", size_mb, "MB") as progress:
        result = verify_build(contents, decode=decode, on_bytes=progress.bytes_counter())
    seconds = time.monotonic() - start_s
    if as_json:
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
