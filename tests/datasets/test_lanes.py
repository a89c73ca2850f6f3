"""Stretches dealt to lanes and slots, and the lanes and pieces that are chosen."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracknet.datasets.lanes import default_order, expected_decodes, lay_out, shared_frames, steps_of_lanes
from tracknet.utils.settings import SequenceConfig


@given(st.integers(1, 30), st.integers(1, 9), st.integers(1, 400), st.integers(1, 3), st.randoms())
def test_stretches_lie_end_to_end_in_every_source(
    lanes: int, batch_size: int, num_steps: int, sources: int, rng: object
) -> None:
    lanes = min(lanes, num_steps)
    source_of_slot = np.array(
        [[rng.randrange(sources) for _ in range(batch_size)] for _ in range(lanes)],  # type: ignore[attr-defined]
        np.int64,
    )
    steps = steps_of_lanes(num_steps, lanes)
    assert steps.sum() == num_steps
    assert steps.max() - steps.min() <= 1
    starts, used = lay_out(source_of_slot, steps)
    assert used.sum() == num_steps * batch_size
    for source in range(len(used)):
        places = [
            start + np.arange(steps[lane])
            for lane in range(lanes)
            for start, of in zip(starts[lane], source_of_slot[lane], strict=True)
            if of == source
        ]
        held = np.sort(np.concatenate(places)) if places else np.zeros(0)
        assert held.tolist() == list(range(used[source]))


@pytest.mark.parametrize(("lanes", "apart"), [(24, 11), (16, 7), (12, 5), (7, 3), (48, 19)])
def test_neighbouring_stretches_are_lanes_apart(lanes: int, apart: int) -> None:
    starts, _ = lay_out(np.zeros((lanes, 4), np.int64), np.full(lanes, 10))
    lane_of_stretch = np.argsort(starts.ravel()) // 4
    gaps = np.diff(lane_of_stretch) % lanes
    assert set(gaps.tolist()) == {apart}


@pytest.mark.parametrize(
    ("batch_size", "length", "stride", "chosen"),
    [
        (16, 1, 1, (24, 1)),
        (8, 3, 1, (24, 96)),
        (16, 3, 1, (24, 96)),
        (32, 3, 1, (24, 96)),
        (64, 3, 1, (16, 96)),
        (16, 5, 1, (24, 192)),
        (16, 3, 2, (24, 192)),
        (32, 5, 1, (16, 192)),
        (64, 5, 1, (16, 192)),
    ],
)
def test_lanes_and_pieces_at_the_real_size(
    batch_size: int, length: int, stride: int, chosen: tuple[int, int]
) -> None:
    assert default_order(19_835, batch_size, SequenceConfig(length, stride)) == chosen


def test_windows_further_apart_share_fewer_frames() -> None:
    sequence = SequenceConfig(5)
    assert [shared_frames(sequence, every) for every in (1, 2, 5, 9)] == [4, 3, 0, 0]
    assert default_order(19_835, 16, sequence, every=3) == (24, 96)
    # Windows that share nothing need no pieces.
    assert default_order(19_835, 16, sequence, every=5) == (24, 1)
    assert expected_decodes(10_000, 8, 24, 144, sequence, every=2) == pytest.approx(
        2 + 3 * (1 / 144 + 192 / 10_000)
    )


def test_much_data_or_little() -> None:
    assert default_order(10_000_000, 256, SequenceConfig(5)) == (24, 192)
    assert default_order(100, 8, SequenceConfig(3)) == (16, 96)
    assert default_order(0, 8, SequenceConfig(3)) == (16, 96)


def test_expected_decodes_stay_within_what_a_window_has() -> None:
    assert expected_decodes(19_835, 16, 24, 96, SequenceConfig(3)) == pytest.approx(
        1 + 2 * (1 / 96 + 384 / 19_835)
    )
    assert expected_decodes(19_835, 16, 24, 96, SequenceConfig(1)) == 1
    assert expected_decodes(10, 8, 24, 96, SequenceConfig(3)) == 3
