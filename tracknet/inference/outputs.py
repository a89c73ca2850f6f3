"""Which sources a command line means, and where the results of each go: two never to the same file."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tracknet.inference.frame_source import STDIN
from tracknet.utils.errors import UserError
from tracknet.utils.images import IMAGE_SUFFIXES
from tracknet.utils.naming import counted, listed, natural_key
from tracknet.utils.urls import is_url
from tracknet.utils.video import VIDEO_SUFFIXES, is_video

ENDINGS = {"csv": ".csv", "parquet": ".parquet", "json": ".json", "tracknetv2": "_ball.csv"}
OVERLAY_ENDING, PARTIAL_ENDING = ".overlay.mp4", ".partial.csv"
_SOURCE_SUFFIXES = (*VIDEO_SUFFIXES, *IMAGE_SUFFIXES)


@dataclass(frozen=True, slots=True)
class Job:
    """A source, as `frame_source.open_frames` takes it, and the name of its results."""

    spec: str
    name: str

    def file(self, out: Path, form: str) -> Path:
        """Where the results go in a form of `ENDINGS`."""
        return out / f"{self.name}{ENDINGS[form]}"

    def partial(self, out: Path) -> Path:
        """Where rows go until all are there."""
        return out / f"{self.name}{PARTIAL_ENDING}"

    def lock(self, out: Path) -> Path:
        """What is locked while any of these is made."""
        return out / f".{self.name}.lock"

    def record(self, out: Path) -> Path:
        """What says what these are of; hidden, so that `*.json` are results."""
        return out / f".{self.name}.predict.json"

    def overlay(self, out: Path) -> Path:
        """Where the video with the ball marked goes."""
        return out / f"{self.name}{OVERLAY_ENDING}"


@dataclass(frozen=True, slots=True)
class Found:
    """What a command line means.

    Attributes:
        jobs: to be done.
        left_out: of each folder that holds more than was taken of it, what, in words.
    """

    jobs: tuple[Job, ...]
    left_out: tuple[str, ...]


def find_jobs(specs: Sequence[str]) -> Found:
    """A job for each source, in the order given; of a folder of videos one for each video, in natural order.

    Args:
        specs: files, folders, cameras, URLs, `-`.

    Raises:
        UserError: naming everything that is not there, and folders that hold neither videos nor pictures.
    """
    sources: list[str] = []
    problems: list[str] = []
    looked_at: list[_Folder] = []
    for spec in specs:
        path = Path(spec).expanduser()
        if spec == STDIN or is_url(spec) or _is_camera(spec):
            sources.append(spec)
        elif path.is_dir():
            found = _in_folder(path, looked_at)
            sources += map(str, found)
            if not found:
                problems.append(f"{spec} holds neither videos nor pictures")
        elif path.exists():
            sources.append(str(path))
        else:
            problems.append(f"there is no file or folder {spec}")
    if problems:
        raise UserError("nothing was predicted", problems=problems)
    sources = list(dict.fromkeys(sources))
    if sum(source == STDIN or _is_camera(source) for source in sources) and len(sources) > 1:
        raise UserError(
            "a camera or standard input cannot be one of several sources: the others would wait for its end",
            remedy="run the command once for each",
        )
    jobs = [Job(source, name) for source, name in zip(sources, _names(sources), strict=True)]
    _check_apart(jobs)
    left_out = [words for folder in looked_at if (words := folder.left_out(sources)) is not None]
    return Found(tuple(jobs), tuple(dict.fromkeys(left_out)))


def _check_apart(jobs: Sequence[Job]) -> None:
    """Refuses sources of which one's file of some form would be another's: `a.mp4` and `a_ball.mp4`."""
    owners: dict[str, Job] = {}
    problems = []
    for job in jobs:
        for ending in (*ENDINGS.values(), OVERLAY_ENDING, PARTIAL_ENDING):
            owner = owners.setdefault(f"{job.name}{ending}".lower(), job)
            if owner is not job:
                problems.append(f"{owner.spec} and {job.spec}: {job.name}{ending}")
    if problems:
        raise UserError(
            "files of two sources would have one name",
            problems=problems,
            remedy="predict them into different folders: one command each, with --out",
        )


def _is_camera(source: str) -> bool:
    """Whether a number is a camera's: a file or folder of that name comes first."""
    return source.isdecimal() and not Path(source).exists()


@dataclass(frozen=True, slots=True)
class _Folder:
    """What lies in a folder, in natural order, but for what begins with a dot, and our overlays."""

    path: Path
    videos: tuple[Path, ...]
    pictures: tuple[Path, ...]
    folders: tuple[Path, ...]

    @classmethod
    def of(cls, path: Path) -> _Folder:
        inside = sorted(
            (item for item in path.iterdir() if item.name[0] != "."), key=lambda item: natural_key(item.name)
        )
        return cls(
            path,
            tuple(
                item for item in inside if item.is_file() and is_video(item) and not _is_overlay(item.name)
            ),
            tuple(item for item in inside if item.is_file() and item.suffix.lower() in IMAGE_SUFFIXES),
            tuple(item for item in inside if item.is_dir()),
        )

    def left_out(self, sources: Sequence[str]) -> str | None:
        """What of it is none of the sources, in words; `None` where nothing is."""
        taken = {Path(source).resolve() for source in sources}
        others = [counted(len(self.pictures), "picture")] if self.videos and self.pictures else []
        others += [
            f"folder {path.name}"
            for path in self.folders
            if not any(source.is_relative_to(path.resolve()) for source in taken) and _holds_sources(path)
        ]
        if not others:
            return None
        count, kind = (len(self.videos), "video") if self.videos else (len(self.pictures), "picture")
        return (
            f"{self.path}: of this folder the {counted(count, kind)} in it {'is' if count == 1 else 'are'} taken, and "
            f"not {listed(others, 3)}: name a folder that holds them alone"
        )


def _in_folder(path: Path, looked_at: list[_Folder]) -> list[Path]:
    """The videos in a folder, or itself if it holds pictures, or what its folders hold."""
    folder = _Folder.of(path)
    if folder.videos or folder.pictures:
        looked_at.append(folder)
        return list(folder.videos) or [path]
    return [found for inner in folder.folders for found in _in_folder(inner, looked_at)]


def _holds_sources(folder: Path) -> bool:
    """Whether a video or picture lies somewhere below; what may not be read holds none. Our overlays are neither."""
    for _, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name[0] != "."]
        names = (name for name in files if name[0] != "." and not _is_overlay(name))
        if any(name.lower().endswith(_SOURCE_SUFFIXES) for name in names):
            return True
    return False


def _is_overlay(name: str) -> bool:
    """Whether a file is, by its name, one that we drew: it is predicted only where it is named itself."""
    return name.lower().endswith(OVERLAY_ENDING)


def _names(sources: Sequence[str]) -> list[str]:
    """Names as short as can be told apart: `x`, or `a_x` and `b_x`, or `x-mp4` and `x-avi`."""
    parts = [_parts(source) for source in sources]
    names = [own[-1] for own in parts]
    for same in _groups(names):
        # `full.mp4` and `full.avi` of one folder.
        if len({tuple(parts[number][:-1]) for number in same}) == 1:
            for number in same:
                names[number] += "-" + Path(sources[number]).suffix.lower().lstrip(".")
    for depth in range(2, max((len(own) for own in parts), default=0) + 1):
        for number in _clashing(names):
            names[number] = "_".join(parts[number][-depth:])
    for number in _clashing(names):
        names[number] += "-" + Path(sources[number]).suffix.lower().lstrip(".")
    for number in _clashing(names):  # a/b_c.mp4 and a_b/c.mp4
        names[number] += f"-{number + 1}"
    return names


def _groups(names: Sequence[str]) -> list[list[int]]:
    """The places of names whose files would meet, also where upper and lower case are one."""
    owners: dict[str, list[int]] = {}
    for number, name in enumerate(names):
        owners.setdefault(name.lower(), []).append(number)
    return [same for same in owners.values() if len(same) > 1]


def _clashing(names: Sequence[str]) -> list[int]:
    return [number for same in _groups(names) for number in same]


def _parts(source: str) -> list[str]:
    """The folders and the name without its ending, as file names may have them."""
    if source == STDIN:
        return ["stdin"]
    if _is_camera(source):
        return [f"camera{source}"]
    if is_url(source):
        # Neither password nor query: they may be secret.
        split = urlsplit(source)
        path = Path(f"{split.hostname or ''}{split.path}".strip("/") or split.scheme)
    else:
        path = Path(source).absolute()
    names = [part for part in path.parts if part not in ("/", "\\")]
    # `match.final.mp4` is match.final, a folder of pictures keeps its whole name.
    ending = is_video(path) or (path.is_file() and path.suffix)
    last = path.stem if ending else path.name
    return [re.sub(r"[^\w.+-]+", "_", part) for part in [*names[:-1], last]]
