"""Memory that a dropped picture leaves is taken again by the next, not asked of the system."""

from __future__ import annotations

import platform
import resource
import subprocess
import sys
from pathlib import Path

import pytest

_FAULTS = """
import resource
import numpy as np
from tracknet.utils.memory import keep_freed_memory
keep_freed_memory()
for number in range(30):
    if number == 10:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    # Two at once, of which the second is freed first: the top of the heap grows and is trimmed.
    one, two = np.full(2_764_800, 1, np.uint8), np.full(2_764_800, 2, np.uint8)
    del two, one
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_pictures_in_turn_cause_no_page_faults() -> None:
    done = subprocess.run([sys.executable, "-c", _FAULTS], capture_output=True, text=True, check=True)
    pages = 20 * 2 * 2_764_800 // resource.getpagesize()
    assert int(done.stdout) < pages / 100


_HEAPS = """
import ctypes, sys, threading
import numpy as np
from tracknet.utils.memory import share_one_heap
if sys.argv[1] == "one":
    share_one_heap()
together = threading.Barrier(4)
def work():
    kept = np.ones(10_000)
    together.wait(30)
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
file = ctypes.c_void_p(libc.fopen(sys.argv[2].encode(), b"w"))
libc.malloc_info(0, file)
libc.fclose(file)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_threads_share_one_heap(tmp_path: Path) -> None:
    heaps = {}
    for name in ("one", "many"):
        told = tmp_path / name
        subprocess.run([sys.executable, "-c", _HEAPS, name, str(told)], check=True)
        heaps[name] = told.read_text().count("<heap nr=")
    assert heaps["one"] == 1
    assert heaps["many"] > 1
