"""Listing folders, and what a file's refusal to be read means for a data set."""

from __future__ import annotations

from pathlib import Path

from tracknet.datasets.label_faults import FaultKind, LabelFault
from tracknet.utils.images import ImageError
from tracknet.utils.naming import natural_key
from tracknet.utils.video_container import VideoError


def subfolders(parent: Path) -> list[Path]:
    """The folders in a folder, in natural order; hidden ones do not count."""
    children = [child for child in parent.iterdir() if child.is_dir() and not child.name.startswith(".")]
    return sorted(children, key=lambda child: (natural_key(child.name), child.name))


def size_and_time(path: Path) -> tuple[int, int]:
    """A file's bytes and its time of change in ns; of one that went since its labels were read, both 0.

    That is no error yet: whoever comes to read such a file says so with all others that cannot be read, each
    with its row.
    """
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_size, status.st_mtime_ns


def read_fault(path: Path, error: ImageError | VideoError | OSError) -> LabelFault:
    """Why a file cannot be used: it is damaged or gone, or the system refuses it, which no policy forgives."""
    # Pillow raises some of its own as OSError, without a number.
    if not isinstance(error, OSError) or error.errno is None:
        return LabelFault(path, None, str(error), FaultKind.STRUCTURE)
    kind = FaultKind.STRUCTURE if isinstance(error, FileNotFoundError) else FaultKind.FILE
    return LabelFault(path, None, f"cannot be read: {error.strerror}", kind)
