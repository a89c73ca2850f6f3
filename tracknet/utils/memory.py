"""Keeps the C library from giving every frame's memory back to the system, only to ask for it again."""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_KEPT_BYTES = 64 << 20
_LARGEST_FROM_HEAP_BYTES = 32 << 20  # the most that glibc takes


def keep_freed_memory() -> None:
    """For processes that make and drop one picture after another; does nothing without glibc.

    A decoded 1280x720 frame (2.8 MB) is beyond glibc's threshold, so that each one is mapped, filled with
    zeros page by page (1,300 page faults) and unmapped: 2 to 3 ms of 8 for decode, resize and encode.
    `benchmarks/build_shards.py` measures both. At most 64 MB more stay with the process.
    """
    _set_malloc({_M_MMAP_THRESHOLD: _LARGEST_FROM_HEAP_BYTES, _M_TRIM_THRESHOLD: _KEPT_BYTES})


def share_one_heap() -> None:
    """For processes in which threads hand each other large arrays for hours; does nothing without glibc.

    With a heap for each thread (up to 64 MB at a time), what one thread takes and another gives back leaves holes
    that only the first can fill, and the heap creeps up to its limit: 40 MB in 20,000 frames of a prediction
    (`benchmarks/results/predict`). To be called before there are threads.
    """
    _set_malloc({_M_ARENA_MAX: 1})


def _set_malloc(options: dict[int, int]) -> None:
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for option, value in options.items():
            mallopt(option, value)
