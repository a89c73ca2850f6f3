"""The layout of TrackNetV2's annotated video: `ROOT/matchN/video/ID.mp4`, `ROOT/matchN/csv/ID_ball.csv`.

A match is a game, a video is a clip. Its label file holds one row per frame of the video.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.ball_csv import Asked, BallFile, BallRow, Coordinates, find_coordinates, ranges, read_ball_csv
from pipelines.reading import read_fault, subfolders
from tracknet.datasets.label_faults import FaultKind, LabelFault, ParsedClip, ParsedRow, off_picture
from tracknet.datasets.schema import FrameLabel
from tracknet.utils.errors import UserError
from tracknet.utils.geometry import Size
from tracknet.utils.naming import counted, natural_key
from tracknet.utils.video import VIDEO_SUFFIXES, Video
from tracknet.utils.video_container import VideoError
from tracknet.utils.video_counts import count_frames, count_packets

DRAWING = "ROOT/match1/video/ID.mp4 ... and ROOT/match1/csv/ID_ball.csv"
VIDEO_FOLDER = "video"
LABEL_FOLDERS = ("corrected_csv", "csv")
"""Where labels may be, the first that has a clip's being taken: TrackNetV3 keeps its corrections beside the old."""
LABEL_ENDS = ("_ball.csv", ".csv")


@dataclass(frozen=True, slots=True)
class Pair:
    """A video and its label file."""

    video: Path
    label_file: Path


@dataclass(frozen=True, slots=True)
class LabelledVideo:
    """A video and what its label file holds."""

    video: Path
    labels: BallFile
    coordinates: Coordinates


def find_pairs(root: Path) -> tuple[list[Pair], list[LabelFault]]:
    """The videos `root/MATCH/video/ID.*` with their label files, in natural order; and those left alone."""
    pairs: list[Pair] = []
    faults: list[LabelFault] = []
    for match in subfolders(root):
        videos = _by_id(_files(match / VIDEO_FOLDER, VIDEO_SUFFIXES), VIDEO_SUFFIXES)
        labels = {folder: _by_id(_files(match / folder, (".csv",)), LABEL_ENDS) for folder in LABEL_FOLDERS}
        if not videos and not any(labels.values()):
            continue
        for name in sorted(
            {*videos, *(name for found in labels.values() for name in found)}, key=natural_key
        ):
            found = next((labels[folder][name] for folder in LABEL_FOLDERS if name in labels[folder]), [])
            of_video = videos.get(name, [])
            if len(of_video) == 1 and len(found) == 1:
                pairs.append(Pair(of_video[0], found[0]))
            else:
                faults.append(_unpaired(match, name, of_video, found))
    return pairs, faults


def read_labels(pairs: Sequence[Pair], asked: Asked) -> tuple[list[LabelledVideo], tuple[str, ...]]:
    """The label files of a data set, and what was found out about their coordinates.

    Raises:
        UserError: the coordinates could be pixels or fractions.

    """
    files = [read_ball_csv(pair.label_file) for pair in pairs]
    notes: list[str] = []
    if asked == "auto":
        found = find_coordinates(files)
        coordinates: Coordinates = found or "pixel"
        if found is not None:
            notes.append(f"coordinates {found} (detected in {counted(len(files), 'label file')})")
    else:
        coordinates = asked
        doubt = (
            ", though all points lie between 0 and 1 as fractions do" if _surely_others(files, asked) else ""
        )
        notes.append(f"coordinates {asked}{doubt}")
    corrected = sum(pair.label_file.parent.name == LABEL_FOLDERS[0] for pair in pairs)
    if corrected:
        notes.append(f"{counted(corrected, 'label file')} taken from {LABEL_FOLDERS[0]}/")
    videos = [LabelledVideo(pair.video, file, coordinates) for pair, file in zip(pairs, files, strict=True)]
    return videos, tuple(notes)


def _surely_others(files: Sequence[BallFile], asked: Coordinates) -> bool:
    """Whether pixels were asked for where there can be none. (Fractions beyond 1 are faults of their rows.)"""
    if asked != "pixel":
        return False
    try:
        return find_coordinates(files) == "normalised"
    except UserError:
        return False


def read_clip(labelled: LabelledVideo) -> ParsedClip | LabelFault:
    """One video as a clip; its first frame is decoded, and its frames are counted against the labels."""
    video, labels = labelled.video, labelled.labels
    try:
        with Video(video) as opened:
            size, stated = opened.size, None if opened.cut_short else opened.stated_frames
        count = _count(video, stated, labels) if labels.readable else 0
    except (VideoError, OSError) as error:
        return read_fault(video, error)
    rows = [_to_row(row, labelled, size) for row in labels.rows if row.number < count]
    rows += [ParsedRow(None, fault) for fault in labels.faults]
    mismatch = mismatch_fault(labels, video, count) if labels.readable else []
    return ParsedClip(video.parent.parent.name, video.stem, labels.path, size, tuple(rows), tuple(mismatch))


def mismatch_fault(labels: BallFile, video: Path, count: int) -> list[LabelFault]:
    """What is wrong, if anything, between the rows of a label file and the frames of its video."""
    missing, extra = set(range(count)) - labels.numbers, {n for n in labels.numbers if n >= count}
    if not missing and not extra:
        return []
    message = f"has {counted(len(labels.numbers), 'row')}, {video} holds {counted(count, 'frame')}"
    if missing == {0} and extra == {count}:
        message += ": its frames seem to be counted from 1, and must be from 0"
        # Leaving out the two odd ones would keep every other label, one frame too late.
        return [LabelFault(labels.path, None, message, FaultKind.FILE)]
    if missing:
        message += f"; no row for frame {ranges(missing)}"
    if extra:
        message += f"; no frame for row {ranges(extra)}"
    return [LabelFault(labels.path, None, message, FaultKind.STRUCTURE)]


def where_to_look(root: Path) -> str | None:
    """What was given in place of the data set's folder, if it is a part of one."""
    if _files(root / VIDEO_FOLDER, VIDEO_SUFFIXES):
        return f"this is one match; give the data set's folder: --root {root.resolve().parent}"
    if root.name == VIDEO_FOLDER and _files(root, VIDEO_SUFFIXES):
        return (
            f"this is the video folder of a match; give the data set's: --root {root.resolve().parent.parent}"
        )
    return None


def _count(video: Path, stated: int | None, labels: BallFile) -> int:
    """How many frames a video holds, found in the cheapest way that agrees with its labels.

    Headers and packets may be wrong, so only decoding may contradict the labels. What agrees here is held
    against what decodes once more when the frames are stored.
    """
    rows = len(labels.numbers)
    if stated == rows or count_packets(video) == rows:
        return rows
    return count_frames(video)


def _to_row(row: BallRow, labelled: LabelledVideo, size: Size) -> ParsedRow:
    xy_px = row.xy
    if xy_px is not None and labelled.coordinates == "normalised":
        # Fractions are pixels divided by the size, half a pixel nowhere: so the data sets of this family
        # were made, and so TrackNet's own code turns them back.
        xy_px = (xy_px[0] * size.width, xy_px[1] * size.height)
    label = FrameLabel(labelled.video, row.number, row.visibility, xy_px, None, row.line)
    return ParsedRow(label, off_picture(label, labelled.labels.path, row.line, size))


def _files(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    if not folder.is_dir():
        return []
    return [
        path
        for path in folder.iterdir()
        if path.name.lower().endswith(suffixes) and path.name[0] != "." and path.is_file()
    ]


def _by_id(paths: Iterable[Path], ends: tuple[str, ...]) -> dict[str, list[Path]]:
    """`00008_ball.csv` and `00008.mp4` are both of 00008."""
    found: dict[str, list[Path]] = {}
    for path in sorted(paths):
        end = next(end for end in ends if path.name.lower().endswith(end))
        found.setdefault(path.name[: -len(end)], []).append(path)
    return found


def _unpaired(match: Path, name: str, videos: list[Path], labels: list[Path]) -> LabelFault:
    several = videos if len(videos) > 1 else labels
    if len(several) > 1:
        names = " and ".join(path.name for path in several)
        return LabelFault(several[0].parent, None, f"{names} are of one clip", FaultKind.STRUCTURE)
    if videos:
        where = f"{LABEL_FOLDERS[1]}/{name}{LABEL_ENDS[0]}"
        return LabelFault(videos[0], None, f"has no label file {match / where}", FaultKind.STRUCTURE)
    return LabelFault(labels[0], None, f"has no video {match / VIDEO_FOLDER / name}.mp4", FaultKind.STRUCTURE)
