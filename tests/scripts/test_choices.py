"""The commands' copies of what there is to choose from."""

from __future__ import annotations

from typing import Any, get_args, get_type_hints

import pytest

from tracknet.inference import events, export_format, frame_source, prediction_formats
from tracknet.models import window_overlap
from tracknet.scripts import _choices, _evaluate_options, _predict_options
from tracknet.utils import video_container
from tracknet.utils.settings import TrainingConfig


@pytest.mark.parametrize(
    ("copy", "original"),
    [
        (_choices.SPORTS, get_args(events.Sport)),
        # TrackNetV2's is an option of its own: it comes beside another.
        ((*_choices.RESULT_FORMATS, "tracknetv2"), tuple(prediction_formats.FORMATS)),
        (_choices.OVERLAPS, window_overlap.OVERLAPS),
        (_choices.AMPS, get_args(get_type_hints(TrainingConfig)["amp"])),
        (_choices.DEFAULT_FPS, frame_source.DEFAULT_FPS),
        (_choices.DEFAULT_TIMEOUT_S, video_container.DEFAULT_TIMEOUT_S),
        (_choices.EXPORT_SUFFIXES, export_format.SUFFIXES),
    ],
    ids=["sports", "formats", "overlaps", "amps", "fps", "timeout", "suffixes"],
)
def test_a_copy_is_as_its_original(copy: Any, original: Any) -> None:
    assert copy == original


def test_the_commands_take_them_all() -> None:
    for overlap in _choices.OVERLAPS:
        for amp in _choices.AMPS:
            for parse, more in (
                (_predict_options.parse, ["v.mp4", "--format", "csv,parquet,json", "--events", "badminton"]),
                (_evaluate_options.parse, ["--split", "val"]),
            ):
                args = parse(["runs/x", *more, "--overlap", overlap, "--amp", amp])
                assert (args.overlap, args.amp) == (overlap, amp)
