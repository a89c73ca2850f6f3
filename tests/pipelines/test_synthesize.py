"""The command: its files, its refusals, its resumption."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipelines.rally.clips import Request, clip_labels, label_row
from pipelines.rally.render import FrameTruth
from pipelines.synthesize import run
from tracknet.datasets.schema import Status, Visibility
from tracknet.utils.errors import RunError, UserError, cli_main

CHECKOUT = Path(__file__).resolve().parents[2]
SMALL = ["--games", "2", "--clips", "2", "--frames", "5", "--size", "320x180", "--seed", "3"]


def _digests(out: Path) -> dict[str, str]:
    files = sorted(path for path in out.rglob("*") if path.is_file())
    return {str(p.relative_to(out)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("synthesize") / "data"
    assert run(["--out", str(out), "--workers", "1", *SMALL]) == 0
    return out


def test_the_layout_is_tracknets(small: Path) -> None:
    for game in (1, 2):
        for clip in (1, 2):
            folder = small / f"game{game}" / f"Clip{clip}"
            frames = [f"{frame:04d}.jpg" for frame in range(5)]
            assert sorted(path.name for path in folder.iterdir()) == [*frames, "Label.csv"]
            assert all(cv2.imread(str(folder / name)).shape == (180, 320, 3) for name in frames)
    assert sorted(path.name for path in small.iterdir()) == ["game1", "game2", "synthesize.json"]


def test_label_files_have_the_exact_header_and_line_ends(small: Path) -> None:
    text = (small / "game1" / "Clip1" / "Label.csv").read_bytes()
    lines = text.split(b"\r\n")
    assert lines[0] == b"file name,visibility,x-coordinate,y-coordinate,status"
    assert lines[-1] == b""
    assert len(lines) == 1 + 5 + 1
    assert text.count(b"\n") == text.count(b"\r\n")


def test_rows_agree_with_the_labels_and_are_empty_where_there_is_no_ball(small: Path) -> None:
    request = Request(2, 2, 5, 3, 320, 180)
    for game in (1, 2):
        lines = (small / f"game{game}" / "Clip2" / "Label.csv").read_text().splitlines()[1:]
        assert lines == [",".join(label_row(i, t)) for i, t in enumerate(clip_labels(request, game, 2))]
    assert label_row(95, FrameTruth(Visibility.ABSENT, None, None)) == ("0095.jpg", "0", "", "", "")
    assert label_row(7, FrameTruth(Visibility.HARD, (3.25, 100.0), Status.HIT)) == (
        "0007.jpg",
        "2",
        "3.25",
        "100.00",
        "1",
    )


def test_workers_change_no_byte(small: Path, tmp_path: Path) -> None:
    out = tmp_path / "parallel"
    assert run(["--out", str(out), "--workers", "2", *SMALL]) == 0
    assert _digests(out) == _digests(small)


def test_clips_do_not_depend_on_how_many_are_asked_for(small: Path, tmp_path: Path) -> None:
    out = tmp_path / "fewer"
    run(["--out", str(out), "--workers", "1", *SMALL, "--games", "1", "--clips", "1"])
    fewer, more = _digests(out), _digests(small)
    assert all(more[name] == digest for name, digest in fewer.items() if name != "synthesize.json")


def test_another_seed_gives_other_frames(small: Path, tmp_path: Path) -> None:
    out = tmp_path / "other"
    run(["--out", str(out), "--workers", "1", *SMALL, "--games", "1", "--clips", "1", "--seed", "4"])
    name = "game1/Clip1/0000.jpg"
    assert _digests(out)[name] != _digests(small)[name]


def test_a_second_run_does_nothing(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in small.rglob("*")}
    assert run(["--out", str(small), "--workers", "1", *SMALL]) == 0
    assert {path: path.stat().st_mtime_ns for path in small.rglob("*")} == before
    printed = capsys.readouterr().out
    assert "2 games x 2 clips, 20 frames of 320x180" in printed
    assert "already there" in printed
    assert f"python -m pipelines.build_shards --root {small}" in printed


def test_an_interrupted_run_leaves_no_half_clip_and_is_continued(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "interrupted"
    command = ["--out", str(out), "--workers", "1", *SMALL]
    encode, calls = cv2.imencode, Counter[str]()

    def interrupted(*arguments: object) -> object:
        calls["frames"] += 1
        if calls["frames"] == 8:  # In the middle of the second clip.
            raise KeyboardInterrupt
        return encode(*arguments)  # type: ignore[call-overload]

    with monkeypatch.context() as patch:
        patch.setattr(cv2, "imencode", interrupted)
        assert cli_main(run, command) == 130
    assert [path.name for path in (out / "game1").iterdir()] == ["Clip1"]
    kept = (out / "game1" / "Clip1" / "0000.jpg").stat().st_mtime_ns
    (out / "game1" / ".Clip2.part").mkdir()  # As a killed run leaves it.
    (out / "game1" / ".Clip2.part" / "0000.jpg").write_bytes(b"half")
    assert cli_main(run, command) == 0
    assert sorted(path.name for path in (out / "game1").iterdir()) == ["Clip1", "Clip2"]
    assert _digests(out) == _digests(small)
    assert (out / "game1" / "Clip1" / "0000.jpg").stat().st_mtime_ns == kept


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_stopped_rendering_leaves_no_worker_behind(
    tmp_path: Path, stop: signal.Signals, session_lives: Callable[[int], bool]
) -> None:
    out = tmp_path / "data"
    arguments = ["--out", str(out), "--workers", "2", "--games", "2", "--frames", "5000", "--size", "320x180"]
    process = subprocess.Popen(
        [sys.executable, "-m", "pipelines.synthesize", *arguments],
        cwd=CHECKOUT,
        text=True,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    deadline_s = time.monotonic() + 30
    while len(list(out.glob("game*/.*/*.jpg"))) < 3:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    (os.killpg if stop == signal.SIGINT else os.kill)(process.pid, stop)
    _, errors = process.communicate(timeout=20)
    assert "Traceback" not in errors
    while session_lives(process.pid):
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    if stop != signal.SIGKILL:
        assert process.returncode == 130
        assert not list(out.glob("game*/*"))


def test_an_incomplete_clip_is_rendered_again(small: Path, tmp_path: Path) -> None:
    out = tmp_path / "damaged"
    command = ["--out", str(out), "--workers", "1", *SMALL, "--games", "1", "--clips", "1"]
    run(command)
    whole = _digests(out)
    (out / "game1" / "Clip1" / "0003.jpg").unlink()
    run(command)
    assert _digests(out) == whole


def test_another_request_is_refused_with_the_difference_and_overwrite_replaces(tmp_path: Path) -> None:
    out = tmp_path / "data"
    tiny = ["--out", str(out), "--workers", "1", *SMALL, "--games", "1", "--clips", "1", "--frames", "2"]
    run([*tiny, "--games", "2"])
    with pytest.raises(UserError) as refusal:
        run([*tiny, "--seed", "9"])
    message = str(refusal.value)
    assert str(out) in message
    assert "games: 2 there, 1 asked for" in message
    assert "seed: 3 there, 9 asked for" in message
    assert "--overwrite" in message
    assert run([*tiny, "--seed", "9", "--overwrite"]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["game1", "synthesize.json"]
    assert json.loads((out / "synthesize.json").read_text())["seed"] == 9


@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
def test_a_folder_of_other_things_is_never_touched(tmp_path: Path, overwrite: list[str]) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"dear")
    with pytest.raises(UserError, match=r"holds other things .* holiday\.jpg") as refusal:
        run(["--out", str(tmp_path), *SMALL, *overwrite])
    assert "another --out" in str(refusal.value)
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.jpg"]


def test_real_games_added_beside_synthetic_ones_are_never_touched(tmp_path: Path) -> None:
    tiny = ["--out", str(tmp_path / "data"), "--workers", "1", *SMALL, "--games", "1", "--clips", "1"]
    run(tiny)
    (tmp_path / "data" / "game2" / "Clip1").mkdir(parents=True)
    for command in (tiny, [*tiny, "--seed", "9", "--overwrite"]):
        with pytest.raises(UserError, match=r"holds other things .* game2"):
            run(command)
    assert (tmp_path / "data" / "game1" / "Clip1" / "Label.csv").is_file()


def test_a_file_as_out_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(UserError, match="is a file"):
        run(["--out", str(tmp_path / "out"), *SMALL])


def test_a_full_disk_is_said_plainly_and_leaves_no_half_clip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(RunError, match="No space left on device"):
        run(["--out", str(tmp_path / "out"), "--workers", "1", *SMALL])
    assert list((tmp_path / "out" / "game1").iterdir()) == []


def test_all_bad_arguments_are_named_at_once() -> None:
    with pytest.raises(UserError) as refusal:
        run(
            [
                "--out",
                "x",
                "--games",
                "0",
                "--frames",
                "1",
                "--clips",
                "-1",
                "--size",
                "32x18",
                "--workers",
                "0",
            ]
        )
    for name in ("--games", "--frames", "--clips", "--size", "--workers"):
        assert name in str(refusal.value)
    for size in ("big", "720x720"):
        with pytest.raises(UserError, match=size):
            run(["--out", "x", "--size", size])


def test_the_default_set_has_every_kind_at_sensible_rates() -> None:
    request = Request(32, 1, 40, 7, 1280, 720)
    numbers = itertools.product(range(1, request.games + 1), range(1, request.clips + 1))
    clips = [clip_labels(request, game, clip) for game, clip in numbers]
    truths = [truth for clip in clips for truth in clip]
    share = {code: sum(t.visibility == code for t in truths) / len(truths) for code in range(4)}
    assert 0.005 < share[0] < 0.12
    assert 0.80 < share[1] < 0.97
    assert 0.02 < share[2] < 0.15
    assert 0 < share[3] < 0.03
    status = Counter(truth.status for truth in truths)
    assert 0.005 < status[1] / len(truths) < 0.05
    assert 0.01 < status[2] / len(truths) < 0.05
    diameters_px = [t.diameter_px for t in truths if t.xy_px is not None]
    assert min(diameters_px) >= 2
    assert max(diameters_px) <= 12
    steps_px = [
        np.hypot(a.xy_px[0] - b.xy_px[0], a.xy_px[1] - b.xy_px[1])
        for clip in clips
        for a, b in itertools.pairwise(clip)
        if a.xy_px is not None and b.xy_px is not None
    ]
    assert 7 < np.median(steps_px) < 16
    assert np.percentile(steps_px, 99.9) < 120
