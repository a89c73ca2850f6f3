"""How many CPUs there are to work with."""

from __future__ import annotations

import os


def usable_cpus() -> int:
    """How many CPUs this process may use; fewer than the machine has in a container, under Slurm or `taskset`."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
