"""Finds the clips of a raw data set: `ROOT/GAME/CLIP/{frame}.jpg` with a `Label.csv` beside the frames."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from pipelines.wording import counted
from tracknet.datasets.label_csv import (
    LABEL_NAME,
    FaultKind,
    LabelFault,
    ParsedClip,
    Policy,
    parse_clip,
    settle,
)
from tracknet.datasets.schema import LabelledClip
from tracknet.utils.errors import UserError
from tracknet.utils.geometry import Size
from tracknet.utils.images import IMAGE_SUFFIXES, ImageError, image_size
from tracknet.utils.naming import natural_key

LAYOUT = f"ROOT/game1/Clip1/0000.jpg ... and ROOT/game1/Clip1/{LABEL_NAME}"


def read_clips(root: Path, policy: Policy = "error") -> tuple[list[LabelledClip], list[str]]:
    """All clips below a root in natural order, and warnings about what the policy changed.

    Only labels, folder listings and one picture header per clip are read.

    Raises:
        UserError: the root holds no clips where they belong (saying where they are, if near), or the labels
            have faults that the policy does not allow; all faults of all clips are listed.

    """
    folders = find_clip_folders(root)
    parsed: list[ParsedClip] = []
    faults: list[LabelFault] = []
    for folder in folders:
        clip = _read_clip(folder)
        if isinstance(clip, LabelFault):
            faults.append(clip)
        else:
            parsed.append(clip)
    clips, warnings = settle(parsed, policy, faults)
    if not clips:
        raise UserError(
            f"{root}: no labelled frame is left of {counted(len(folders), 'clip')}",
            remedy="run again with --on-bad-label error to see what is wrong with each",
        )
    return clips, warnings


def find_clip_folders(root: Path) -> list[Path]:
    """The folders `root/GAME/CLIP` that hold labels or frames, in natural order.

    Raises:
        UserError: there are none, or the root is not a folder.

    """
    if not root.is_dir():
        raise UserError(
            f"--root {root}: {'is a file' if root.exists() else 'there is no such folder'}",
            remedy=f"give the folder of the data set, laid out as {LAYOUT}; "
            "`python -m pipelines.synthesize --out data/tracknet` makes one",
        )
    found = [clip for game in _folders(root) for clip in _folders(game) if _is_clip(clip)]
    if found:
        return found
    raise UserError(f"--root {root}: no clips where they belong", remedy=_where_to_look(root))


def frame_names(folder: Path) -> list[str]:
    """The image files of a clip folder in natural order; hidden files do not count."""
    with os.scandir(folder) as entries:
        names = [
            entry.name
            for entry in entries
            if entry.name.lower().endswith(IMAGE_SUFFIXES) and entry.name[0] != "." and entry.is_file()
        ]
    return sorted(names, key=natural_key)


def frame_fault(path: Path, error: ImageError | OSError) -> LabelFault:
    """Why a frame cannot be used: it is damaged or gone, or the system refuses it, which no policy forgives."""
    # Pillow raises some of its own as OSError, without a number.
    if not isinstance(error, OSError) or error.errno is None:
        return LabelFault(path, None, str(error), FaultKind.STRUCTURE)
    kind = FaultKind.STRUCTURE if isinstance(error, FileNotFoundError) else FaultKind.FILE
    return LabelFault(path, None, f"cannot be read: {error.strerror}", kind)


def _read_clip(folder: Path) -> ParsedClip | LabelFault:
    label_file, names = folder / LABEL_NAME, frame_names(folder)
    if not label_file.is_file():
        return LabelFault(folder, None, f"has frames and no {LABEL_NAME}", FaultKind.STRUCTURE)
    size = _first_size(folder / name for name in names)
    if isinstance(size, LabelFault):
        return size
    if size is None:
        many = counted(len(names), "frame")
        message = f"has {many}, none of them readable" if names else "has no frames beside it"
        return LabelFault(label_file, None, message, FaultKind.STRUCTURE)
    return parse_clip(label_file, size, set(names))


def _first_size(paths: Iterable[Path]) -> Size | LabelFault | None:
    for path in paths:
        try:
            return image_size(path)
        except (ImageError, OSError) as error:
            fault = frame_fault(path, error)
            if fault.kind is FaultKind.FILE:
                return fault
            # Decoding will name this frame among all others that are damaged; the next one tells the size.
    return None


def _folders(parent: Path) -> Iterator[Path]:
    children = [child for child in parent.iterdir() if child.is_dir() and not child.name.startswith(".")]
    yield from sorted(children, key=lambda child: (natural_key(child.name), child.name))


def _is_clip(folder: Path) -> bool:
    return (folder / LABEL_NAME).is_file() or bool(frame_names(folder))


def _where_to_look(root: Path) -> str:
    """The root that was probably meant: one or two levels up or down from the one given."""
    if _is_clip(root):
        return f"this is a clip; give the data set's folder: --root {root.resolve().parent.parent}"
    if any(_is_clip(child) for child in _folders(root)):
        return f"this is one game; give the data set's folder: --root {root.resolve().parent}"
    for child in _folders(root):
        if any(_is_clip(clip) for game in _folders(child) for clip in _folders(game)):
            return f"the clips are one level deeper: --root {child}"
    return f"lay the data out as {LAYOUT}; `python -m pipelines.synthesize --out {root}` makes a data set"
