"""How many frames a file holds is what its packets and its decoder say."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.videos import pictures, write_video
from tracknet.utils.video import is_video
from tracknet.utils.video_container import VideoError
from tracknet.utils.video_counts import count_frames, count_packets


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "libx264"), ("a.avi", "mpeg4"), ("a.mkv", "ffv1")])
def test_every_frame_is_counted_and_every_packet_up_to_a_number(
    tmp_path: Path, name: str, codec: str
) -> None:
    path = write_video(tmp_path / name, pictures(6), codec=codec)
    assert count_frames(path) == count_packets(path) == count_packets(path, at_most=7) == 6
    assert count_packets(path, at_most=4) == 4


def test_what_is_no_video_is_not_counted(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"")
    for count in (count_frames, count_packets):
        with pytest.raises(VideoError, match=r"is empty \(0 bytes\)"):
            count(tmp_path / "a.mp4")


def test_a_video_is_known_by_its_name() -> None:
    assert is_video(Path("a.MP4"))
    assert not is_video(Path("a.mp4.part"))
