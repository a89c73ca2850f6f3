"""Memory that a dropped picture leaves is taken again by the next, not asked of the system."""

from __future__ import annotations

import platform
import resource
import subprocess
import sys

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
