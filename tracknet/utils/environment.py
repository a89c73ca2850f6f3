"""What a run ran on: versions, commit, command, machine. For run.json, so that figures can be traced."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tracknet.utils.urls import hide_secrets

_PACKAGES = (
    "tracknet",
    "torch",
    "transformers",
    "numpy",
    "opencv-python",
    "webdataset",
    "pyarrow",
    "omegaconf",
)


def describe_environment() -> dict[str, Any]:
    """Plain values: Python, packages, platform, cores, git commit of the software, the command without secrets."""
    return {
        "command": shlex.join([_program(), *map(hide_secrets, sys.argv[1:])]),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "cpu_count": os.cpu_count(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "git": _git_commit(),
    }


def _program() -> str:
    """The file that was started, or the package whose `__main__.py` it is."""
    file = Path(sys.argv[0])
    return file.parent.name if file.name == "__main__.py" else file.name


def _processor() -> str:
    """The CPU's name, as Linux tells it; elsewhere what Python knows."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git_commit() -> str | None:
    """The checkout's commit, with `+changes` when files differ from it; `None` outside a checkout."""
    folder = Path(__file__).resolve().parent
    try:
        # Installed in an environment inside another repository: that one says nothing of this software.
        _git(folder, "ls-files", "--error-unmatch", Path(__file__).name)
        commit = _git(folder, "rev-parse", "HEAD")
        return commit + ("+changes" if _git(folder, "status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=10, check=True
    )
    return done.stdout.strip()
