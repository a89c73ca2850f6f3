"""What becomes of faulty labels under each policy."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.datasets.label_files import GOOD, parse
from tracknet.datasets.label_faults import settle
from tracknet.utils.errors import UserError


@pytest.mark.parametrize("policy", ["error", "drop", "clip"])
@pytest.mark.parametrize(
    ("written", "moved"), [((160, 30), (159, 30)), ((30, 90), (30, 89)), ((-1, -1), (0, 0))]
)
def test_one_pixel_outside_is_moved_with_a_warning(
    tmp_path: Path, policy: str, written: tuple[int, int], moved: tuple[int, int]
) -> None:
    parsed = parse(tmp_path, [f"0000.jpg,1,{written[0]},{written[1]},0"])
    clips, warnings = settle([parsed], policy)  # type: ignore[arg-type]
    assert clips[0].frames[0].xy_px == moved
    assert len(warnings) == 1
    assert "Label.csv:2: " in warnings[0]


def test_within_half_a_pixel_of_the_border_is_inside(tmp_path: Path) -> None:
    assert not parse(tmp_path, ["0000.jpg,1,159.4,-0.5,0"]).all_faults()


def test_far_outside_depends_on_the_policy(tmp_path: Path) -> None:
    parsed = parse(tmp_path, [*GOOD, "0004.jpg,1,161.5,-7,0"])
    with pytest.raises(UserError) as caught:
        settle([parsed], "error")
    assert "(161.5, -7) is outside the 160x90 picture by 7 px" in str(caught.value)
    assert "--on-bad-label clip" in str(caught.value)
    clips, _ = settle([parsed], "clip")
    assert clips[0].frames[4].xy_px == (159.0, 0.0)
    clips, _ = settle([parsed], "drop")
    assert len(clips[0].frames) == 4


def test_all_faults_of_all_clips_are_told_at_once_and_capped(tmp_path: Path) -> None:
    parsed = [
        parse(tmp_path / str(n), [f"{k:04d}.jpg,9,1,1,0" for k in range(rows)])
        for n, rows in enumerate([3, 30])
    ]
    with pytest.raises(UserError) as caught:
        settle(parsed, "error")
    assert "33 faults" in caught.value.what
    assert len(caught.value.problems) == 21
    assert caught.value.problems[-1] == "and 13 more"


def test_a_clip_without_a_good_row_is_left_out_by_drop(tmp_path: Path) -> None:
    clips, warnings = settle([parse(tmp_path, ["0000.jpg,9,1,1,0"])], "drop")
    assert clips == []
    assert len(warnings) == 1
