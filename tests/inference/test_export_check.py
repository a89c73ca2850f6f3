"""What is the same, what is a tie, and what cannot be judged; and the frames that are compared."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from tests.inference.exportable import MakeModel
from tracknet.datasets.index import open_split
from tracknet.inference.check_frames import check_frames, drawn_windows
from tracknet.inference.export_check import EXACT, Tolerance, compare
from tracknet.utils.errors import UserError
from tracknet.utils.geometry import Size
from tracknet.utils.heatmap import locate
from tracknet.utils.images import resize_frame
from tracknet.utils.video import Video


def maps(*peaks: tuple[int, float]) -> torch.Tensor:
    """`[N, 1, 4, 8]`: -5 everywhere but for a peak in one cell of each."""
    logits = torch.full((len(peaks), 1, 4, 8), -5.0)
    for number, (cell, height) in enumerate(peaks):
        logits[number].view(-1)[cell] = height
    return logits


def agreement(expected: torch.Tensor, found: torch.Tensor, tolerance: Tolerance = EXACT) -> Any:
    """Of two models that say this, at a threshold of 0.5 and 10 px a cell."""

    def decode(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return locate(logits, "argmax", 1.0, Size(80, 40))

    class Model(SimpleNamespace):
        def __call__(self, windows: torch.Tensor) -> torch.Tensor:
            return expected[windows]

    def answer(windows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return found[windows], decode(found[windows])[0]

    model: Any = Model(decode=decode, score_threshold=0.5)
    return compare(model, answer, torch.arange(len(expected)), tolerance)


def test_equal_models_agree() -> None:
    logits = maps((3, 2.0), (9, 4.0), (20, -4.0), (4, 1.0), (5, 1.0))
    found = agreement(logits, logits.clone())
    assert (found.windows, found.maps, found.reported, found.ties) == (5, 5, 4, 0)
    assert found.points_px == found.other_points_px == found.probability == 0.0
    assert not found.problems(EXACT)
    assert "0 px apart where a ball is reported (4 maps), 0 px elsewhere (1)" in str(found)


def test_a_ball_in_another_place_is_a_fault() -> None:
    found = agreement(maps((3, 2.0), (9, 4.0)), maps((3, 2.0), (10, 4.0)))
    assert found.points_px == 10.0
    assert [problem.split(" up to ")[0] for problem in found.problems(EXACT)] == [
        "heatmaps are",
        "points are",
    ]
    assert "up to 10 px apart" in found.problems(EXACT)[1]


def test_no_ball_in_another_place_is_no_fault_but_is_told() -> None:
    found = agreement(maps((3, 2.0), (9, -4.9999)), maps((3, 2.0), (12, -4.9999)))
    assert (found.points_px, found.other_points_px) == (0.0, 30.0)
    assert not found.problems(EXACT)
    assert "30 px elsewhere (1)" in str(found)


def test_two_equally_high_cells_are_a_tie() -> None:
    expected = maps((3, 2.0), (9, 2.0))
    expected[1, 0].view(-1)[10] = 1.99995
    found = expected.clone()
    found[1, 0].view(-1)[10] = 2.00005
    result = agreement(expected, found)
    assert (result.reported, result.ties, result.points_px, result.other_points_px) == (2, 1, 0.0, 10.0)
    assert not result.problems(EXACT)
    tied = agreement(expected[1:], found[1:])
    assert "0 of 1 maps could be compared (1 show a ball, 1 of these tie)" in str(tied)
    strict = agreement(expected, found, Tolerance(0.01, 1e-3, 1e-6))
    assert (strict.ties, strict.points_px) == (0, 10.0)
    assert strict.problems(EXACT)


def test_where_no_ball_is_reported_the_heatmaps_decide() -> None:
    result = agreement(maps((3, -4.0)), maps((9, -4.0)))
    assert math.isnan(result.points_px)
    assert "points were not judged: the points of only 0 of 1 maps could be compared (0 show a ball" in str(
        result
    )
    assert len(result.problems(EXACT)) == 1
    assert "heatmaps are up to 0.011 apart" in result.problems(EXACT)[0]


def test_nan_does_not_pass() -> None:
    expected = maps((3, 2.0))
    assert agreement(expected, expected * math.nan).problems(EXACT)


def test_drawn_frames_show_a_moving_ball(exportable: MakeModel) -> None:
    model = exportable()
    windows = drawn_windows(model, 3)
    assert (windows.shape, windows.dtype) == ((3, 3, 3, 32, 64), torch.uint8)
    assert torch.equal(windows, drawn_windows(model, 3))
    assert not torch.equal(windows[0], windows[1])
    assert not torch.equal(windows[0, 0], windows[0, 1])


def test_frames_of_shards_are_those_that_were_trained_on(
    exportable: MakeModel, small_shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = exportable()
    model.input_size = Size(96, 48)
    named = check_frames(model, small_shards)
    assert named.windows.shape == (32, 3, 3, 48, 96)
    assert named.origin == f"32 windows of {small_shards} (val)"
    # The first window of a clip repeats its first frame.
    assert torch.equal(named.windows[0, 0], named.windows[0, 1])

    (tmp_path / "shards").symlink_to(small_shards)
    monkeypatch.chdir(tmp_path)
    assert check_frames(model, None).origin == "drawn frames"
    model.provenance = {"build_id": open_split(small_shards, "val").manifest.build_id}
    assert torch.equal(check_frames(model, None).windows, named.windows)
    model.input_size = Size(56, 28)
    with pytest.raises(UserError, match="96x48"):
        check_frames(model, small_shards)
    not_asked = check_frames(model, None)
    assert not_asked.drawn and "96x48" in not_asked.origin


def test_a_runs_shards_are_found_where_its_config_says(
    exportable: MakeModel, small_shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = exportable()
    model.input_size = Size(96, 48)
    model.provenance = {"build_id": open_split(small_shards, "val").manifest.build_id}
    run = tmp_path / "runs" / "a"
    folder = run / "checkpoints" / "step_000100" / "model"
    folder.mkdir(parents=True)
    (run / "config.yaml").write_text(f"data:\n  shards: {small_shards}\n")
    for place in ("runs/a", run, folder, folder.parent):
        found = check_frames(model, None, place)
        assert (found.origin, found.drawn) == (f"32 windows of {small_shards} (val)", False), place
    (run / "config.yaml").write_text(f"data:\n  files: ['{small_shards}/train-{{000..001}}.tar']\n")
    assert not check_frames(model, None, run).drawn
    # Of another build, in a file that cannot be read, and in none.
    model.provenance = {"build_id": "another"}
    assert check_frames(model, None, run).drawn
    (run / "config.yaml").write_text("data: {shards: [")
    assert check_frames(model, None, run).drawn
    assert check_frames(model, None, "OWNER/NAME").origin == "drawn frames"


def test_frames_of_a_video(exportable: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("av")
    from tests.videos import write_video

    model = exportable()
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 256, (64, 128, 3), dtype=np.uint8) for _ in range(35)]
    write_video(tmp_path / "v.mp4", frames)
    found = check_frames(model, tmp_path / "v.mp4")
    assert found.windows.shape == (32, 3, 3, 32, 64)  # of 33 there are
    assert not torch.equal(found.windows[0, 0], found.windows[0, 1])
    # From the first frame to the last, each as it is decoded.
    with Video(tmp_path / "v.mp4") as video:
        decoded = [resize_frame(frame.image(), Size(64, 32)) for frame in video]
    for window, start in ((found.windows[0], 0), (found.windows[-1], 32)):
        np.testing.assert_array_equal(window.permute(0, 2, 3, 1).numpy(), decoded[start : start + 3])
    # Of a file that is cut, as many as there are frames for.
    whole = (tmp_path / "v.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    assert 2 < len(check_frames(model, tmp_path / "cut.mp4").windows) < 25
    write_video(tmp_path / "short.mp4", frames[:2])
    with pytest.raises(UserError, match=r"short\.mp4: 2 frames, and a window of this model spans 3"):
        check_frames(model, tmp_path / "short.mp4")
    (tmp_path / "no.mp4").write_text("text")
    with pytest.raises(UserError, match=r"no\.mp4: is no video"):
        check_frames(model, tmp_path / "no.mp4")
    with pytest.raises(UserError, match="neither a video nor a folder of built shards"):
        check_frames(model, tmp_path)

    def unreadable(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("tracknet.inference.check_frames.Video", unreadable)
    with pytest.raises(UserError, match=r"v\.mp4 cannot be read: Permission denied"):
        check_frames(model, tmp_path / "v.mp4")
