"""Small label files to parse."""

from __future__ import annotations

from pathlib import Path

from tracknet.datasets.label_csv import HEADER, parse_clip
from tracknet.datasets.label_faults import ParsedClip
from tracknet.utils.geometry import Size

SIZE = Size(160, 90)
GOOD = ["0000.jpg,1,10.5,20,0", "0001.jpg,0,,,", "0002.jpg,2,11,21,1", "0003.jpg,3,12,22,2"]


def write(folder: Path, rows: list[str], *, header: str = ",".join(HEADER), end: str = "\n") -> Path:
    path = folder / "game1" / "Clip1" / "Label.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes((end.join([header, *rows]) + end).encode())
    return path


def parse(folder: Path, rows: list[str], frames: list[str] | None = None, **options: str) -> ParsedClip:
    return parse_clip(write(folder, rows, **options), SIZE, None if frames is None else set(frames))
