"""Frames seen by several windows: worked by hand, and against a plain loop over all windows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tracknet.datasets.windows import Windows
from tracknet.models.window_overlap import OVERLAPS, FrameMaps, position_weights, resolve_overlap
from tracknet.utils.errors import UserError
from tracknet.utils.settings import SequenceConfig


def probabilities(values: Sequence[Sequence[float]]) -> torch.Tensor:
    """`[B, M]` as logits of maps of one cell, `[B, M, 1, 1]`."""
    return torch.logit(torch.tensor(values))[..., None, None]


def combined(
    how: str, windows: Windows, maps: torch.Tensor, batch_size: int, part: slice = slice(None)
) -> tuple[list[int], torch.Tensor]:
    """Rows and probabilities in the order given out; `maps` are logits `[N, M, h, w]` of all windows."""
    ids = np.arange(len(windows))[part]
    frames = FrameMaps(how, windows.sequence, tuple(range(windows.sequence.length)))
    rows, found = [], []
    for start in range(0, len(ids), batch_size):
        batch = ids[start : start + batch_size]
        given_out = frames.add(windows.rows(batch), maps[torch.from_numpy(batch)])
        rows += given_out[0].tolist()
        found.append(given_out[1])
    last = frames.rest(maps)
    return [*rows, *last[0].tolist()], torch.cat([*found, last[1]]).sigmoid()


# Four frames, windows of three about their middle. The first window repeats frame 0, the last one frame 3.
CLIP = Windows(np.array([[0, 4]]), SequenceConfig(length=3))
SAID = [[0.9, 0.2, 0.4], [0.6, 0.8, 0.1], [0.3, 0.5, 0.7], [0.5, 0.1, 0.9]]


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("none", [0.2, 0.8, 0.5, 0.1]),
        # Frame 0: the middle of window 0 and the first of window 1; the copy in window 0 (0.9) is not counted.
        ("mean", [(0.2 + 0.6) / 2, (0.4 + 0.8 + 0.3) / 3, (0.1 + 0.5 + 0.5) / 3, (0.7 + 0.1) / 2]),
        ("max", [0.6, 0.8, 0.5, 0.7]),
        (
            "weighted",
            [
                (2 * 0.2 + 0.6) / 3,
                (0.4 + 2 * 0.8 + 0.3) / 4,
                (0.1 + 2 * 0.5 + 0.5) / 4,
                (0.7 + 2 * 0.1) / 3,
            ],
        ),
    ],
)
@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_by_hand(how: str, expected: list[float], batch_size: int):
    rows, found = combined(how, CLIP, probabilities(SAID), batch_size)
    assert rows == [0, 1, 2, 3]
    assert found.flatten().tolist() == pytest.approx(expected, abs=1e-6)


@given(
    runs=st.lists(st.integers(1, 7), min_size=1, max_size=4),
    length=st.integers(2, 5),
    stride=st.integers(1, 3),
    anchor=st.sampled_from(["middle", "last"]),
    how=st.sampled_from(OVERLAPS),
    batch_size=st.integers(1, 9),
)
def test_every_frame_once_whatever_the_batches(runs, length, stride, anchor, how, batch_size):
    ends = np.cumsum(runs)
    windows = Windows(
        np.stack([ends - runs, ends], axis=1), SequenceConfig(length=length, stride=stride, anchor=anchor)
    )
    maps = torch.randn(len(windows), length, 2, 3, generator=torch.Generator().manual_seed(0))
    rows, found = combined(how, windows, maps, batch_size)
    assert rows == list(range(len(windows)))
    weights, offset = position_weights(how, length), windows.sequence.anchor_index
    for row, result in zip(rows, found, strict=True):
        (start, end) = next((a, b) for a, b in windows.run_bounds if a <= row < b)
        seen = [
            (maps[row - (n - offset) * stride, n].sigmoid(), weights[n])
            for n in range(length)
            if start <= row - (n - offset) * stride < end and (how != "none" or n == offset)
        ]
        stacked = torch.stack([m for m, _ in seen])
        shares = torch.tensor([w for _, w in seen])[:, None, None]
        expected = stacked.amax(0) if how == "max" else (stacked * shares).sum(0) / shares.sum()
        torch.testing.assert_close(result, expected, atol=2e-6, rtol=0)


def test_only_frames_in_reach_are_kept():
    sequence = SequenceConfig(length=3, stride=2)
    windows = Windows(np.array([[0, 200]]), sequence)
    frames = FrameMaps("mean", sequence, (0, 1, 2))
    given_out, kept = 0, []
    for number in range(200):
        rows, _ = frames.add(windows.rows(np.array([number])), torch.zeros(1, 3, 1, 1))
        given_out += len(rows)
        kept.append(len(frames._pending))
    assert max(kept) <= 4
    assert given_out == 198


def test_each_rank_gives_out_its_own_frames():
    maps = probabilities(SAID)
    parts = [combined("mean", CLIP, maps, 2, part) for part in (slice(0, 2), slice(2, 4))]
    assert [rows for rows, _ in parts] == [[0, 1], [2, 3]]
    # Frame 1 lacks window 2, which is the other rank's.
    assert parts[0][1].flatten().tolist() == pytest.approx([0.4, 0.6])
    backwards = np.array([2, 1])
    with pytest.raises(ValueError, match="ascending"):
        FrameMaps("mean", CLIP.sequence, (0, 1, 2)).add(CLIP.rows(backwards), maps[:2])


def test_the_default_is_the_mean_where_there_is_something_to_combine():
    assert [resolve_overlap(None, maps) for maps in (1, 3)] == ["none", "mean"]
    assert resolve_overlap("none", 1) == "none"
    with pytest.raises(UserError, match="one map a window") as refused:
        resolve_overlap("mean", 1)
    assert "model.head.maps=all" in str(refused.value.remedy)
    assert [position_weights("weighted", n) for n in (1, 4, 5)] == [(1,), (1, 2, 2, 1), (1, 2, 3, 2, 1)]
    assert position_weights("mean", 3) == (1, 1, 1)
