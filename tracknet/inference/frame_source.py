"""Frames of whatever a person names: a video, a folder of pictures, a camera, a stream, a pipe; all alike."""

from __future__ import annotations

import sys
from pathlib import Path

from tracknet.inference.camera_source import CameraSource
from tracknet.inference.picture_folder import PictureFolder
from tracknet.inference.source_contract import FrameSource
from tracknet.inference.video_source import VideoSource
from tracknet.utils.errors import UserError
from tracknet.utils.urls import is_url, shown
from tracknet.utils.video_container import DEFAULT_TIMEOUT_S

STDIN = "-"
DEFAULT_FPS = 30.0


def open_frames(
    spec: str | Path, *, fps: float = DEFAULT_FPS, timeout_s: float | None = DEFAULT_TIMEOUT_S
) -> FrameSource:
    """Opens what a person names.

    Args:
        spec: a video file; a folder of pictures (JPEG, PNG); `0`, `1`, ... for a camera; a URL that FFmpeg reads
            (rtsp, http, ...); `-` for a video on standard input, of a form that can be read from the start on
            (MPEG-TS, Matroska, AVI; MP4 only with its index in front).
        fps: of a folder's pictures, which have no time of their own.
        timeout_s: how long opening a URL, and each wait for a frame of it, may take; `None` for ever.

    Raises:
        UserError: there is no such thing, or PyAV is not installed.
        RunError: it is there, and holds no frames.
    """
    text = str(spec)
    if text == STDIN:
        return VideoSource(sys.stdin.buffer, "standard input")
    if isinstance(spec, str) and spec.isdecimal() and not Path(spec).exists():
        return CameraSource(int(spec))
    if isinstance(spec, str) and is_url(spec):
        return VideoSource(spec, shown(spec), timeout_s=timeout_s)
    path = Path(spec)
    if is_folder(path):
        return PictureFolder(path, fps=fps)
    if not path.exists():
        raise UserError(f"there is no file or folder {path}")
    return VideoSource(path, text)


def is_folder(spec: str | Path) -> bool:
    """Whether what a person names is a folder, and so pictures."""
    return not (isinstance(spec, str) and is_url(spec)) and Path(spec).is_dir()
