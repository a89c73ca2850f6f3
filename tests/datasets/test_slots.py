"""Memory of batches: never written while a tensor of the batch is held, and used again once none is."""

from __future__ import annotations

import gc
import multiprocessing
from collections.abc import Callable
from queue import Empty

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tracknet.datasets.layout import BatchLayout
from tracknet.datasets.slots import HELD, OwnMemory, SharedRing, SlotMemory
from tracknet.utils.geometry import Size

NBYTES = 96
MEMORIES = [lambda: OwnMemory(NBYTES, keep=3), lambda: SharedRing(NBYTES, slots=4)]
NAMES = ["own", "ring"]


def serve(memory: SlotMemory, value: int) -> torch.Tensor:
    slot = memory.take()
    slot.array[:] = value
    return memory.hand_out(slot)


@pytest.mark.parametrize("new_memory", MEMORIES, ids=NAMES)
@pytest.mark.parametrize(
    "part", [lambda t: t, lambda t: t[5:7], lambda t: t.view(torch.int16)[1:3].view(2, 1)]
)
def test_what_is_held_is_never_written_to(
    new_memory: Callable[[], SlotMemory], part: Callable[[torch.Tensor], torch.Tensor]
) -> None:
    memory = new_memory()
    held = [part(serve(memory, value)) for value in range(20)]
    for value, tensor in enumerate(held):
        assert (tensor.contiguous().view(torch.uint8) == value).all()


@pytest.mark.parametrize("new_memory", MEMORIES, ids=NAMES)
def test_what_is_let_go_is_used_again(new_memory: Callable[[], SlotMemory]) -> None:
    memory = new_memory()
    places = set()
    for value in range(20):
        tensor = serve(memory, value)
        places.add(tensor.data_ptr())
        del tensor
    assert len(places) <= 4


@pytest.mark.parametrize("new_memory", MEMORIES, ids=NAMES)
@given(data=st.data())
def test_any_order_of_holding_and_letting_go(
    new_memory: Callable[[], SlotMemory], data: st.DataObject
) -> None:
    memory = new_memory()
    held: list[tuple[int, torch.Tensor]] = []
    for value in range(data.draw(st.integers(1, 40))):
        held.append((value, serve(memory, value)))
        for index in sorted(data.draw(st.sets(st.integers(0, len(held) - 1))), reverse=True):
            del held[index]
        assert all((tensor == number).all() for number, tensor in held)


def test_memory_in_a_cycle_comes_back_when_the_collector_finds_it() -> None:
    memory = SharedRing(NBYTES, slots=3)
    for value in range(10):
        cycle: list[object] = [serve(memory, value)]
        cycle.append(cycle)
        del cycle
        gc.collect()
    free = {memory.take().number for _ in range(3)}
    assert free == {0, 1, 2}


def test_a_ring_copies_once_its_consumer_holds_its_share() -> None:
    memory = SharedRing(NBYTES, slots=HELD + 1)
    inside = {slot.array.ctypes.data for slot in memory.slots}
    held = [serve(memory, value) for value in range(5)]
    assert [tensor.data_ptr() in inside for tensor in held] == [True] * HELD + [False] * 3
    # Letting go of slots makes room for slots.
    del held[:2]
    assert serve(memory, 9).data_ptr() in inside


def test_a_ring_has_no_more_slots_than_it_has() -> None:
    memory = SharedRing(NBYTES, slots=2)
    first = memory.take()
    memory.take()
    with pytest.raises(Empty):
        memory.take()
    memory.give_back(first)
    assert memory.take() is first


def test_a_ring_is_seen_by_a_forked_process() -> None:
    memory = SharedRing(NBYTES, slots=2)
    slot = memory.take()

    def write() -> None:
        memory.slots[slot.number].array[:] = 7

    process = multiprocessing.get_context("fork").Process(target=write)
    process.start()
    process.join()
    assert process.exitcode == 0
    assert (memory.hand_out(slot) == 7).all()


def test_own_memory_keeps_no_more_than_asked_for() -> None:
    memory = OwnMemory(NBYTES, keep=2)
    held = [serve(memory, value) for value in range(6)]
    held.clear()
    assert len(memory._free) == 2


@given(
    windows=st.integers(1, 5),
    length=st.integers(1, 4),
    maps=st.integers(1, 4),
    width=st.integers(1, 9),
    height=st.integers(1, 9),
    before=st.sampled_from([0, 64]),
)
def test_the_parts_of_a_layout_do_not_touch(
    windows: int, length: int, maps: int, width: int, height: int, before: int
) -> None:
    """Nor do they depend on what the buffer is a part of."""
    layout = BatchLayout.of(
        windows=windows,
        length=length,
        maps=maps,
        input_size=Size(width, height),
        heatmap_size=Size(height, width),
    )
    whole = np.zeros(before + layout.nbytes, np.uint8)
    arrays, tensors = layout.arrays(whole[before:]), layout.tensors(torch.from_numpy(whole)[before:])
    for number, array in enumerate(arrays.values(), 1):
        assert array.ctypes.data % array.dtype.itemsize == 0
        array.view(np.uint8)[:] = number
    for number, (name, array) in enumerate(arrays.items(), 1):
        assert (array.view(np.uint8) == number).all(), name
        assert tensors[name].shape == array.shape
        assert tensors[name].numpy().tobytes() == array.tobytes()
