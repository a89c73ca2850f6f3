"""Shards that a training does without, as they are told of at its start."""

from __future__ import annotations

import pytest

from tracknet.datasets.lost_frames import LostFrames
from tracknet.utils.errors import RunError


def lost_in_two_folders(most_bad: int) -> LostFrames:
    lost = LostFrames(most_bad)
    lost("1 of 4 shards are not what was built: a/train-002.tar", 1_200, "run A")
    lost("2 of 9 shards are not what was built: b/train-000.tar, ...", 30, "run B")
    return lost


def test_each_folder_is_told_of_with_its_own_frames() -> None:
    said: list[str] = []
    lost_in_two_folders(1_230).tell(said.append)
    assert said == [
        "warning: 1 of 4 shards are not what was built: a/train-002.tar; their frames (1,200 at most) are skipped; "
        "to have them, run A",
        "warning: 2 of 9 shards are not what was built: b/train-000.tar, ...; their frames (30 at most) are skipped; "
        "to have them, run B",
    ]


def test_too_many_in_all_are_refused_with_the_number_that_would_do() -> None:
    said: list[str] = []
    with pytest.raises(
        RunError, match=r"with 1,230 frames, more than data\.loader\.max_bad_frames=1229 "
    ) as refused:
        lost_in_two_folders(1_229).tell(said.append)
    assert refused.value.remedy == "run A; run B; or do without them: set data.loader.max_bad_frames=1230"
    assert said == []
