"""The layout of the TrackNet tennis dataset: `ROOT/GAME/CLIP/{frame}.jpg`, a `Label.csv` beside the frames."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from pipelines.reading import read_fault, subfolders
from tracknet.datasets.label_csv import LABEL_NAME, parse_clip
from tracknet.datasets.label_faults import FaultKind, LabelFault, ParsedClip
from tracknet.utils.geometry import Size
from tracknet.utils.images import IMAGE_SUFFIXES, ImageError, image_size
from tracknet.utils.naming import counted, natural_key

DRAWING = f"ROOT/game1/Clip1/0000.jpg ... and ROOT/game1/Clip1/{LABEL_NAME}"


def find_clip_folders(root: Path) -> list[Path]:
    """The folders `root/GAME/CLIP` that hold labels or frames, in natural order."""
    return [clip for game in subfolders(root) for clip in subfolders(game) if _is_clip(clip)]


def read_clip_folder(folder: Path) -> ParsedClip | LabelFault:
    """One clip, from its labels, its listing and the header of one frame; or why there is none."""
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


def where_to_look(root: Path) -> str | None:
    """What was given in place of the data set's folder, if it is a part of one."""
    if _is_clip(root):
        return f"this is a clip; give the data set's folder: --root {root.resolve().parent.parent}"
    if any(_is_clip(child) for child in subfolders(root)):
        return f"this is one game; give the data set's folder: --root {root.resolve().parent}"
    return None


def frame_names(folder: Path) -> list[str]:
    """The image files of a clip folder in natural order; hidden files do not count."""
    with os.scandir(folder) as entries:
        names = [
            entry.name
            for entry in entries
            if entry.name.lower().endswith(IMAGE_SUFFIXES) and entry.name[0] != "." and entry.is_file()
        ]
    return sorted(names, key=natural_key)


def _first_size(paths: Iterable[Path]) -> Size | LabelFault | None:
    for path in paths:
        try:
            return image_size(path)
        except (ImageError, OSError) as error:
            fault = read_fault(path, error)
            if fault.kind is FaultKind.FILE:
                return fault
            # Decoding will name this frame among all others that are damaged; the next one tells the size.
    return None


def _is_clip(folder: Path) -> bool:
    return (folder / LABEL_NAME).is_file() or bool(frame_names(folder))
