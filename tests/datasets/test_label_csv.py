"""The label parser: what it accepts, and what it names."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.datasets.label_files import GOOD, SIZE, parse, write
from tracknet.datasets.label_csv import HEADER, README_HEADER, parse_clip
from tracknet.datasets.label_faults import FaultKind, settle
from tracknet.datasets.schema import LabelledClip
from tracknet.utils.errors import UserError
from tracknet.utils.geometry import Size
from tracknet.utils.naming import natural_key


def test_good_file(tmp_path: Path) -> None:
    clips, warnings = settle([parse(tmp_path, GOOD, [row[:8] for row in GOOD])], "error")
    (clip,) = clips
    assert not warnings
    assert (clip.name, clip.frame_size) == ("game1/Clip1", SIZE)
    assert [frame.number for frame in clip.frames] == [0, 1, 2, 3]
    assert [frame.xy_px for frame in clip.frames] == [(10.5, 20.0), None, (11.0, 21.0), (12.0, 22.0)]
    assert [frame.status for frame in clip.frames] == [0, None, 1, 2]
    assert clip.frames[2].path == tmp_path / "game1" / "Clip1" / "0002.jpg"


@pytest.mark.parametrize("header", [HEADER, README_HEADER])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
@pytest.mark.parametrize("tail", [[], ["", "", ""], [",,,,"]])
def test_harmless_variants(
    tmp_path: Path, header: tuple[str, ...], end: str, bom: str, tail: list[str]
) -> None:
    parsed = parse(tmp_path, GOOD + tail, header=bom + ",".join(header), end=end)
    assert not parsed.all_faults()
    assert len(parsed.rows) == 4


def test_codes_written_as_floats(tmp_path: Path) -> None:
    parsed = parse(tmp_path, ["0000.jpg,1.0,10.0,20.0,2.0"])
    assert not parsed.all_faults()
    assert parsed.rows[0].label is not None
    assert parsed.rows[0].label.status == 2


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("0004.jpg,1,,,0", "blank coordinates"),
        ("0004.jpg,1,5,,0", "blank coordinates"),
        ("0004.jpg,0,5,6,", "must be blank"),
        ("0004.jpg,0,,,0", "must be blank"),
        ("0004.jpg,4,5,6,0", "visibility '4'"),
        ("0004.jpg,,5,6,0", "visibility ''"),
        ("0004.jpg,-1,5,6,0", "visibility '-1'"),
        ("0004.jpg,1,5,6,", "status ''"),
        ("0004.jpg,1,5,6,3", "status '3'"),
        ("0004.jpg,1,abc,6,0", "x 'abc' is no number"),
        ("0004.jpg,1,5,nan,0", "y 'nan' is no number"),
        ("0004.jpg,1,5,6", "4 cells"),
        ("frame4.jpg,1,5,6,0", "file name 'frame4.jpg'"),
        ("0002.jpg,1,5,6,0", "has a row already, in line 4"),
        ("2.jpg,1,5,6,0", "has a row already, in line 4"),
    ],
)
def test_every_fault_names_file_and_row(tmp_path: Path, row: str, words: str) -> None:
    parsed = parse(tmp_path, [*GOOD, row])
    (fault,) = parsed.all_faults()
    assert words in fault.message
    assert (fault.row, fault.kind) == (6, FaultKind.STRUCTURE)
    assert str(fault).startswith(f"{parsed.label_file}:6: ")
    for policy in ("error", "clip"):
        with pytest.raises(UserError, match="1 fault"):
            settle([parsed], policy)  # type: ignore[arg-type]
    clips, warnings = settle([parsed], "drop")
    assert len(clips[0].frames) == 4
    assert warnings[0].startswith("1 faulty row(s)")


def test_unsorted_rows_name_the_row_that_falls_back(tmp_path: Path) -> None:
    parsed = parse(tmp_path, [GOOD[0], GOOD[2], GOOD[1], GOOD[3]])
    (fault,) = parsed.all_faults()
    assert (fault.row, fault.message) == (4, "frame 0001.jpg comes after frame 2: rows must ascend")


def test_blank_line_between_rows(tmp_path: Path) -> None:
    (fault,) = parse(tmp_path, [GOOD[0], "", GOOD[1]]).all_faults()
    assert (fault.row, fault.message) == (3, "is blank between other rows")


def test_frames_and_rows_must_agree(tmp_path: Path) -> None:
    parsed = parse(tmp_path, GOOD, ["0000.jpg", "0001.jpg", "0003.jpg", "0009.jpg"])
    assert [fault.message for fault in parsed.all_faults()] == [
        "frame 0002.jpg does not exist",
        "frame 0009.jpg has no row",
    ]
    clips, _ = settle([parsed], "drop")
    assert [frame.number for frame in clips[0].frames] == [0, 1, 3]


@pytest.mark.parametrize(
    "content",
    [b"", b"a,b,c\n", "file name;visibility;x-coordinate;y-coordinate;status\n".encode("utf-16"), b'"abc\n'],
)
def test_a_file_that_is_no_label_file_is_refused_under_every_policy(tmp_path: Path, content: bytes) -> None:
    path = write(tmp_path, [])
    path.write_bytes(content)
    parsed = parse_clip(path, SIZE, {"0000.jpg"})
    (fault,) = parsed.all_faults()
    assert fault.kind is FaultKind.FILE
    for policy in ("error", "drop", "clip"):
        with pytest.raises(UserError, match=r"Label\.csv"):
            settle([parsed], policy)  # type: ignore[arg-type]


def test_wrong_header_shows_both_spellings(tmp_path: Path) -> None:
    parsed = parse(tmp_path, GOOD, header="file,vis,x,y,status")
    with pytest.raises(UserError) as caught:
        settle([parsed], "error")
    assert ",".join(HEADER) in str(caught.value)
    assert ",".join(README_HEADER) in str(caught.value)
    assert "'file,vis,x,y,status'" in str(caught.value)


def test_header_alone_is_a_fault(tmp_path: Path) -> None:
    (fault,) = parse(tmp_path, []).all_faults()
    assert fault.message == "has a header and no rows"


@pytest.fixture(scope="module")
def published(shared_data: Path) -> tuple[list[LabelledClip], list[str]]:
    root = shared_data / "data" / "tracknet_labels"
    files = sorted(root.glob("game*/Clip*/Label.csv"), key=lambda path: natural_key(str(path)))
    return settle([parse_clip(path, Size(1280, 720), None) for path in files], "error")


def test_published_label_set_has_the_published_counts(
    published: tuple[list[LabelledClip], list[str]],
) -> None:
    clips, warnings = published
    assert len({clip.game for clip in clips}) == 10
    assert len(clips) == 95
    counts = Counter(int(frame.visibility) for clip in clips for frame in clip.frames)
    assert counts == {0: 719, 1: 17_462, 2: 1_386, 3: 78}
    assert sum(counts.values()) == 19_645
    (warning,) = warnings
    assert warning.startswith("1 coordinate(s) moved")
    assert "game8/Clip2/Label.csv:94: (282, 720)" in warning


def test_published_clips_in_natural_order(published: tuple[list[LabelledClip], list[str]]) -> None:
    names = [clip.name for clip in published[0]]
    assert names.index("game1/Clip2") < names.index("game1/Clip10")
    assert names.index("game9/Clip1") < names.index("game10/Clip1")
    moved = next(clip for clip in published[0] if clip.name == "game8/Clip2")
    assert next(frame.xy_px for frame in moved.frames if frame.number == 94) == (282.0, 719.0)
