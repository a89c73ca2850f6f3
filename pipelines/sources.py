"""The layouts of raw data sets, by name. Adding one is a function here and a line in `LAYOUTS`.

`shards/SOURCES.md` shows how, with a whole example.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from pipelines import annotated_video, tracknet_folders
from pipelines.ball_csv import Asked
from pipelines.reading import subfolders
from tracknet.datasets.label_faults import LabelFault, ParsedClip, Policy, settle
from tracknet.datasets.schema import LabelledClip
from tracknet.utils.errors import UserError
from tracknet.utils.naming import counted, did_you_mean

AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Found:
    """What a layout's function found below a root.

    Attributes:
        clips: every clip, or the fault that keeps it from being one; in natural order. Best a generator:
            whoever only asks what is there does not wait for it to be read.
        notes: what was decided on the way and a person should know, one line each.

    """

    clips: Iterable[ParsedClip | LabelFault]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Layout:
    """One way in which raw data sets are laid out.

    Attributes:
        drawing: the files, as messages show them.
        find: looks below a root and returns what is there, or `None` if nothing is laid out like this. Its
            second argument is what was asked about coordinates; it may be ignored.
        hint: tells of a root that is a part of such a data set, or holds one, where to look instead.

    """

    drawing: str
    find: Callable[[Path, Asked], Found | None]
    hint: Callable[[Path], str | None] = lambda root: None


def find_tracknet(root: Path, asked: Asked) -> Found | None:
    """Folders of images; their `Label.csv` is in pixels, whatever was asked."""
    folders = tracknet_folders.find_clip_folders(root)
    return Found(map(tracknet_folders.read_clip_folder, folders)) if folders else None


def find_video(root: Path, asked: Asked) -> Found | None:
    """Videos, each with a CSV of the ball's places."""
    pairs, faults = annotated_video.find_pairs(root)
    if not pairs and not faults:
        return None
    files, notes = annotated_video.read_labels(pairs, asked)
    return Found((clip for part in (faults, map(annotated_video.read_clip, files)) for clip in part), notes)


LAYOUTS: dict[str, Layout] = {
    "tracknet": Layout(tracknet_folders.DRAWING, find_tracknet, tracknet_folders.where_to_look),
    "video": Layout(annotated_video.DRAWING, find_video, annotated_video.where_to_look),
}


@dataclass(frozen=True, slots=True)
class Source:
    """A raw data set, read.

    Attributes:
        clips: in natural order.
        layout: its name in `LAYOUTS`.
        notes: what was detected or decided, for the summary.
        warnings: what the policy changed.

    """

    clips: tuple[LabelledClip, ...]
    layout: str
    notes: tuple[str, ...]
    warnings: tuple[str, ...]


def read_source(
    root: Path, policy: Policy = "error", layout: str = AUTO, coordinates: Asked = "auto"
) -> Source:
    """All clips below a root.

    Only labels, folder listings, one picture header per clip, and the first frame of every video are read; a
    video whose header does not agree with its labels is counted.

    Args:
        root: folder of the data set.
        policy: see `label_faults.settle`.
        layout: a name in `LAYOUTS`, or `auto` to detect it.
        coordinates: `pixel`, `normalised`, or `auto` to detect it, where the layout allows for both.

    Raises:
        UserError: no clips where they belong (saying where they are, if near), clips in more than one layout,
            an unknown layout, coordinates that could be either, or labels with faults that the policy does
            not allow; all faults of all clips are listed.

    """
    if layout not in (AUTO, *LAYOUTS):
        raise UserError(
            f"--layout {layout}: there is no such layout{did_you_mean(layout, LAYOUTS)}",
            remedy=f"the layouts are {', '.join([AUTO, *LAYOUTS])}",
        )
    name, found = _find(root, layout, coordinates)
    read = list(found.clips)
    clips, warnings = settle(
        [clip for clip in read if isinstance(clip, ParsedClip)],
        policy,
        [fault for fault in read if isinstance(fault, LabelFault)],
    )
    if not clips:
        raise UserError(
            f"{root}: no labelled frame is left of {counted(len(read), 'clip')}",
            remedy="run again with --on-bad-label error to see what is wrong with each",
        )
    detected = " (detected)" if layout == AUTO else ""
    return Source(tuple(clips), name, (f"layout {name}{detected}", *found.notes), tuple(warnings))


def _find(root: Path, layout: str, asked: Asked) -> tuple[str, Found]:
    candidates = LAYOUTS if layout == AUTO else {layout: LAYOUTS[layout]}
    drawings = "; or ".join(candidate.drawing for candidate in candidates.values())
    if not root.is_dir():
        raise UserError(
            f"--root {root}: {'is a file' if root.exists() else 'there is no such folder'}",
            remedy=f"give the folder of the data set, laid out as {drawings}; "
            "`python -m pipelines.synthesize --out data/tracknet` makes one",
        )
    hits = {
        name: found
        for name, candidate in candidates.items()
        if (found := candidate.find(root, asked)) is not None
    }
    if len(hits) == 1:
        return next(iter(hits.items()))
    if hits:
        raise UserError(
            f"--root {root} holds clips in {len(hits)} layouts: {', '.join(hits)}",
            remedy=f"say which to build: --layout {' or --layout '.join(hits)}; "
            "each into an --out of its own, or move them into roots of their own",
        )
    raise UserError(f"--root {root}: no clips where they belong", remedy=_where_to_look(root, candidates))


def _where_to_look(root: Path, candidates: dict[str, Layout]) -> str:
    """The root that was probably meant, or how to lay one out."""
    for candidate in candidates.values():
        if (hint := candidate.hint(root)) is not None:
            return hint
    deeper = [
        f"--root {child}"
        for child in subfolders(root)
        if any(candidate.find(child, "auto") is not None for candidate in candidates.values())
    ]
    if deeper:
        return f"the clips are one level deeper: {' or '.join(deeper)}"
    for name, other in LAYOUTS.items():
        if name not in candidates and other.find(root, "auto") is not None:
            return f"there are clips in the layout {name}: --layout {name}"
    drawings = "; or ".join(candidate.drawing for candidate in candidates.values())
    return f"lay the data out as {drawings}; `python -m pipelines.synthesize --out {root}` makes a data set"
