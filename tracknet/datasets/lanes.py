"""How the shuffled sequence is dealt to lanes and slots, and how many lanes and how long pieces pay.

M lanes take turns: step `s` belongs to lane `s % M`. The sequence is cut into `M * B` contiguous stretches, one
for every (lane, slot). What a window's frames are decoded for a second time is the cuts:

    decodes per window = 1 + (T - 1) * stride * (1 / L + M * B / N)

a little less where a cut falls on a clip's end. (If only every k-th window is wanted, a window brings k new frames
and shares k - 1 fewer.)
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from tracknet.utils.errors import UserError
from tracknet.utils.settings import SequenceConfig

# Decodes per window beyond the one that brings a new frame.
_MOST_COST = 0.1
# Every lane costs memory (B * T decoded frames). At fewer than 16, near-duplicates return within about 8 batches,
# which is worse than decoding more. Both divide by 2, 4 and 8 workers.
_LANES = (24, 16)
# Pieces so long that decoding the shared frames before each of them again adds 1/48. (Longer ones mix no worse
# within a batch, but change the company that a window keeps less often.)
_PIECE_PER_SHARED_FRAME = 48


def shared_frames(sequence: SequenceConfig, every: int = 1) -> int:
    """How many frames a window may share with those before it, which a cut makes be decoded again.

    Args:
        sequence: T and stride.
        every: distance of the windows, frames.
    """
    return max(0, (sequence.length - 1) * sequence.stride + 1 - every)


def default_order(
    num_windows: int, batch_size: int, sequence: SequenceConfig, every: int = 1
) -> tuple[int, int]:
    """Lanes M and piece length L where none are configured: the best mix that 0.1 decodes per window pay for.

    L is 48 times the shared frames, which costs 1/48 = 0.02: 96 for T = 3, 192 for T = 5, and 1, a plain
    permutation, for single images, which share none. M is 24, or 16 where 24 would cost more than 0.1 in all. With 16
    that may still be so, when `(T - 1) * stride * 16 * B / N` alone exceeds 0.08: there are too few windows for such
    batches (of 64 at T = 3, of 32 at T = 5, in 20,000 windows), and decoding more is the lesser evil.

    Args:
        num_windows: N.
        batch_size: B, over all ranks.
        sequence: T and stride.
        every: distance of the windows, frames.
    """
    run_length = max(1, _PIECE_PER_SHARED_FRAME * shared_frames(sequence, every))
    for lanes in _LANES:
        if _cost_of_cuts(num_windows, batch_size, lanes, run_length, sequence, every) <= _MOST_COST:
            return lanes, run_length
    return _LANES[-1], run_length


def expected_decodes(
    num_windows: int, batch_size: int, lanes: int, run_length: int, sequence: SequenceConfig, every: int = 1
) -> float:
    """Decodes per window, by the formula above; clips shorter than L add to it."""
    cost = _cost_of_cuts(num_windows, batch_size, lanes, run_length, sequence, every)
    # Never more than a window has frames.
    return min(every + cost, float(sequence.length))


def _cost_of_cuts(
    num_windows: int, batch_size: int, lanes: int, run_length: int, sequence: SequenceConfig, every: int
) -> float:
    return shared_frames(sequence, every) * (1 / run_length + lanes * batch_size / max(1, num_windows))


def training_steps(num_windows: int, batch_size: int) -> int:
    """Batches in a training epoch. Raises UserError when there is not one."""
    if num_windows < batch_size:
        raise UserError(
            f"a batch of {batch_size} windows cannot be filled: there are {num_windows}",
            remedy=f"set training.batch_size to at most {num_windows}, or build more data",
        )
    return num_windows // batch_size


def steps_of_lanes(num_steps: int, lanes: int) -> npt.NDArray[np.int64]:
    """How many steps each lane has: int64 `[M]`, differing by one at most."""
    return (num_steps - np.arange(lanes, dtype=np.int64) + lanes - 1) // lanes


def lay_out(
    source_of_slot: npt.NDArray[np.int64], steps_of_lane: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Where every (lane, slot) starts in its source's sequence.

    Stretches that are neighbours in a sequence are often of one clip, and of nearly the same scene where stretches
    are short. They go to lanes a golden section of the circle apart: never into one batch, seldom into one of the
    next. (Dealt to one lane's slots in turn, a batch of 64 had 24 distinct clips instead of 42.)

    Args:
        source_of_slot: int64 `[M, B]`, which sequence each slot of each lane reads, from 0.
        steps_of_lane: int64 `[M]`.

    Returns:
        starts: int64 `[M, B]`, each within its own source's sequence.
        used: int64 `[K]`, how many windows of each sequence are used.
    """
    lanes, batch_size = source_of_slot.shape
    by_slot = np.arange(lanes) * _golden_stride(lanes) % lanes
    lane = np.tile(by_slot, batch_size)
    slot = np.repeat(np.arange(batch_size), lanes)
    source = source_of_slot[lane, slot]
    starts = np.empty((lanes, batch_size), np.int64)
    used = np.zeros(int(source_of_slot.max()) + 1, np.int64)
    for number in range(len(used)):
        mine = source == number
        lengths = steps_of_lane[lane[mine]]
        starts[lane[mine], slot[mine]] = np.cumsum(lengths) - lengths
        used[number] = lengths.sum()
    return starts, used


def _golden_stride(lanes: int) -> int:
    """The number nearest to the golden section of `lanes` that visits all of them: 11 of 24, 7 of 16."""
    golden = lanes * (3 - math.sqrt(5)) / 2
    return min((n for n in range(1, lanes + 1) if math.gcd(n, lanes) == 1), key=lambda n: abs(n - golden))
