"""The command from videos to files."""

from __future__ import annotations

import json
import os
import threading
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest

from tests.inference.conftest import untrained
from tests.scripts.conftest import predict, results
from tests.videos import pictures, write_video
from tracknet.inference.job_lock import only_writer
from tracknet.inference.outputs import Job
from tracknet.inference.predictions import Predictions
from tracknet.utils.errors import RunError, UserError, cli_main
from tracknet.utils.images import encode_jpeg
from tracknet.utils.video import Video


def test_a_row_per_frame_in_every_form(
    model: str, video: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "out"
    assert predict(model, video, "--format", "csv,parquet,json", "--tracknetv2", out=out) == 0
    assert results(out) == [
        "rally.csv", "rally.json", "rally.parquet", "rally_ball.csv",
    ]  # fmt: skip
    exact = Predictions.read(out / "rally.parquet")
    assert exact.frame.tolist() == list(range(30))
    np.testing.assert_allclose(exact.time_s, np.arange(30) / 30, atol=1e-6)
    assert exact.visible.all()
    assert ((exact.x >= -0.5) & (exact.x < 159.5) & (exact.y >= -0.5) & (exact.y < 89.5)).all()
    assert (out / "rally.csv").read_text() == exact.to_csv(tmp_path / "again.csv").read_text()
    assert len((out / "rally_ball.csv").read_text().splitlines()) == 31
    about = json.loads((out / "rally.json").read_text())["about"]
    assert (about["threshold"], about["overlap"], about["model"], about["notes"]) == (0.0, "mean", model, [])
    assert "30 frames, the ball in 30 (100.0%)" in capsys.readouterr().out


def test_batches_change_nothing_and_ranges_are_parts(model: str, video: str, tmp_path: Path):
    whole, small, part = tmp_path / "a", tmp_path / "b", tmp_path / "c"
    predict(model, video, "--format", "parquet", out=whole)
    predict(model, video, "--format", "parquet", "--batch", "1", out=small)
    predict(model, video, "--format", "parquet", "--frames", "7:19", out=part)
    a, b, c = (Predictions.read(folder / "rally.parquet") for folder in (whole, small, part))
    np.testing.assert_allclose(a.score, b.score, atol=2e-5)
    assert c.frame.tolist() == list(range(7, 19))
    for name in ("time_s", "x", "y", "score"):
        np.testing.assert_allclose(getattr(c, name), getattr(a, name)[7:19], atol=2e-2)
    with pytest.raises(RunError, match="no frame in 30:"):
        predict(model, video, "--frames", "30:", out=tmp_path / "d")


def test_the_overlay_of_a_file_a_folder_and_a_pipe(
    model: str, video: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = tmp_path / "shots"
    folder.mkdir()
    for number, picture in enumerate(pictures(6)):
        (folder / f"{number}.jpg").write_bytes(encode_jpeg(picture))
    piped = write_video(tmp_path / "a.ts", pictures(6))
    assert predict(model, video, "--overlay", "--frames", "5:15", out=tmp_path / "out") == 0
    assert predict(model, str(folder), "--overlay", "--fps", "10", out=tmp_path / "out") == 0
    with piped.open("rb") as pipe:
        monkeypatch.setattr("sys.stdin", type("In", (), {"buffer": pipe}))
        assert predict(model, "-", "--overlay", out=tmp_path / "out") == 0
    for name, count, step_s in (("rally", 10, 1 / 30), ("shots", 6, 0.1), ("stdin", 6, 1 / 30)):
        rows = list(Predictions.read(tmp_path / "out" / f"{name}.csv"))
        with Video(tmp_path / "out" / f"{name}.overlay.mp4") as overlay:
            frames = list(overlay)
        assert len(frames) == len(rows) == count
        assert frames[-1].time_s == pytest.approx((count - 1) * step_s, abs=1e-3)
        plain = pictures(20)[rows[-1].frame].astype(int)
        assert np.abs(frames[-1].image() - plain).max() > 100  # a mark
        assert np.median(np.abs(frames[-1].image() - plain)) < 6


def test_trajectory_events_and_the_heatmap_in_the_corner(
    model: str, video: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    out, plain = tmp_path / "out", tmp_path / "plain"
    steps = ["--smooth", "--trajectory", "fill_frames=1", "--events", "tennis", "--threshold", "0.2"]
    assert predict(model, video, *steps, "--overlay", "--heatmap", "--frames", "4:16", out=out) == 0
    assert predict(model, video, "--threshold", "0.2", "--overlay", "--frames", "4:16", out=plain) == 0
    way, raw = (Predictions.read(folder / "rally.csv") for folder in (out, plain))
    assert list(way.columns) == [
        "x_raw", "y_raw", "score_raw", "visible_raw", "filled", "event", "event_score",
    ]  # fmt: skip
    np.testing.assert_array_equal(way.columns["x_raw"], raw.x)
    np.testing.assert_array_equal(way.columns["visible_raw"], raw.visible)
    with Video(out / "rally.overlay.mp4") as one, Video(plain / "rally.overlay.mp4") as other:
        pairs = [(a.image().astype(int), b.image().astype(int)) for a, b in zip(one, other, strict=True)]
    assert len(pairs) == 12
    inset = pairs[5][0].shape[1] // 4
    # In the corner of every frame there is another picture.
    assert min(np.abs(a - b)[:inset, -inset:].mean() for a, b in pairs) > 5

    piped = write_video(tmp_path / "a.ts", pictures(6))
    with piped.open("rb") as pipe:
        monkeypatch.setattr("sys.stdin", type("In", (), {"buffer": pipe}))
        assert predict(model, "-", "--overlay", "--heatmap", "--smooth", out=out) == 0
    assert len(Predictions.read(out / "stdin.csv")) == 6
    with Video(out / "stdin.overlay.mp4") as overlay:
        assert len(list(overlay)) == 6


def test_a_threshold_of_ones_own(model: str, video: str, tmp_path: Path):
    predict(model, video, "--threshold", "1.0", "--flip", "--overlap", "max", out=tmp_path)
    found = Predictions.read(tmp_path / "rally.csv")
    assert len(found) == 30
    assert not found.visible.any()
    assert np.isnan(found.x).all()


def test_the_sound_that_a_pipe_takes_along_is_told(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    for sound in (True, False):
        with write_video(tmp_path / "a.ts", pictures(4), sound=sound).open("rb") as pipe:
            monkeypatch.setattr("sys.stdin", type("In", (), {"buffer": pipe}))
            assert predict(model, "-", "--overlay", "--overwrite", out=tmp_path) == 0
        assert ("note: standard input: the overlay lacks the sound" in capsys.readouterr().err) is sound


def test_rows_of_a_pipe_that_was_stopped_stay(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    kept = tmp_path / "stdin.partial.csv"
    kept.write_text("frame,time_s,x,y,score,visible\n0,0.0,,,0.1,0\n")
    before = kept.read_bytes()
    with write_video(tmp_path / "a.ts", pictures(4)).open("rb") as pipe:
        monkeypatch.setattr("sys.stdin", type("In", (), {"buffer": pipe}))
        assert predict(model, "-", out=tmp_path) == 0
    aside = tmp_path / "stdin.partial-2.csv"
    assert aside.read_bytes() == before
    assert f"which cannot be had again, are in {aside}" in capsys.readouterr().err


def test_the_overlay_of_a_named_pipe_is_drawn_as_it_comes(model: str, tmp_path: Path):
    content, pipe = write_video(tmp_path / "a.ts", pictures(6)).read_bytes(), tmp_path / "pipe.ts"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(content), daemon=True)
    writer.start()
    assert predict(model, str(pipe), "--overlay", out=tmp_path / "out") == 0
    with Video(tmp_path / "out" / "pipe.overlay.mp4") as overlay:
        assert len(list(overlay)) == 6
    with pytest.raises(RunError, match="is a pipe, and what was read of it is gone"):
        Predictions.read(tmp_path / "out" / "pipe.csv").draw(tmp_path / "b.mp4", pipe)


def test_names_that_are_not_utf8_or_look_like_a_protocol(
    model: str, video: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for name in (b"caf\xe9.ts", b"12:30.mp4"):
        (tmp_path / os.fsdecode(name)).write_bytes(
            write_video(tmp_path / "b" / "a.mp4", pictures(3), sound=True).read_bytes()
        )
    monkeypatch.chdir(tmp_path)
    code = cli_main(
        lambda argv: predict(model, *argv, "--overlay", "--format", "csv,json,parquet", out=tmp_path / "out"),
        [os.fsdecode(b"caf\xe9.ts"), "12:30.mp4"],
    )
    assert code == 0
    assert len(Predictions.read(tmp_path / "out" / "caf_.parquet")) == 3
    with Video(tmp_path / "out" / "12_30.overlay.mp4") as overlay:
        assert overlay.has_audio


def test_results_that_are_there(model: str, video: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "out"
    predict(model, video, out=out)
    with pytest.raises(UserError, match="holds results") as refused:
        predict(model, video, out=out)
    assert refused.value.exit_code == 2
    assert refused.value.problems == (str(out / "rally.csv"),)
    (out / "rally.csv").write_text("mine")
    assert predict(model, video, "--skip-existing", out=out) == 0
    assert (out / "rally.csv").read_text() == "mine"
    assert "nothing to do" in capsys.readouterr().out
    predict(model, video, "--overwrite", out=out)
    assert len(Predictions.read(out / "rally.csv")) == 30


def test_results_of_something_else_are_not_taken_for_these(
    model: str, video: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    other, out = write_video(tmp_path / "b" / "rally.mp4", pictures(30, seed=9)), tmp_path / "out"
    predict(model, video, out=out)
    for asked in ([str(other)], [str(other), "--overlay"]):
        with pytest.raises(UserError, match="not what this command would make") as refused:
            predict(model, *asked, "--skip-existing", out=out)
        assert refused.value.problems == (f"{out / 'rally.csv'}: it is of {video}, and not of {other}",)
    for options, told in {
        ("--frames", ":5"): "--frames was 0:, and is 0:5",
        ("--threshold", "1"): "--threshold was not given, and is 1",
        ("--events", "tennis"): "--events was not given, and is tennis",
    }.items():
        with pytest.raises(UserError) as refused:
            predict(model, video, *options, "--skip-existing", out=out)
        assert refused.value.problems == (f"{out / 'rally.csv'}: {told}",)
    another = untrained(maps="anchor").save_pretrained(tmp_path / "another")
    with pytest.raises(UserError) as refused:
        predict(str(another), video, "--skip-existing", out=out)
    assert refused.value.problems == (f"{out / 'rally.csv'}: it was made by another model ({model})",)
    # The same video elsewhere is the same one, and what was drawn from its rows is of it.
    (tmp_path / "c").mkdir()
    moved = Path(video).rename(tmp_path / "c" / "rally.mp4")
    assert predict(model, str(moved), "--skip-existing", "--overlay", out=out) == 0
    assert predict(model, str(moved), "--skip-existing", "--overlay", out=out) == 0
    assert "nothing to do" in capsys.readouterr().out
    with pytest.raises(UserError, match="--heatmap was not given, and is given"):
        predict(model, str(moved), "--skip-existing", "--overlay", "--heatmap", out=out)
    assert predict(model, str(other), "--overwrite", out=out) == 0
    with pytest.raises(UserError) as refused:
        predict(model, str(other), "--skip-existing", "--overlay", out=out)
    assert refused.value.problems == (f"{out / 'rally.overlay.mp4'}: it is of {video}, and not of {other}",)


def test_results_of_older_versions_stay_in_use(
    model: str, video: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "out"
    predict(model, video, out=out)
    (out / ".rally.predict.json").unlink()
    assert predict(model, video, "--skip-existing", out=out) == 0
    told = capsys.readouterr()
    assert "nothing to do" in told.out
    assert f"note: {out / 'rally.csv'}: made before results said what they are of" in told.err


def test_two_commands_at_one_source(
    model: str, video: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    other, out = write_video(tmp_path / "other.mp4", pictures(4)), tmp_path / "out"
    out.mkdir()
    with only_writer(Job(video, "rally"), out), pytest.raises(RunError, match="1 of 2 sources"):
        predict(model, video, str(other), out=out)
    assert "is writing rally into" in capsys.readouterr().err
    assert results(out) == ["other.csv"]


def test_results_that_another_command_made_meanwhile_stay(
    model: str, video: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def late(job: Job, out: Path) -> AbstractContextManager[None]:
        job.file(out, "csv").write_text("theirs")
        return only_writer(job, out)

    monkeypatch.setattr("tracknet.inference.job_lock.only_writer", late)
    with pytest.raises(RunError, match="another command has written"):
        predict(model, video, out=tmp_path)
    assert (tmp_path / "rally.csv").read_text() == "theirs"
    assert predict(model, video, "--overwrite", out=tmp_path) == 0
    assert len(Predictions.read(tmp_path / "rally.csv")) == 30


def test_one_bad_file_among_several(
    model: str, video: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    bad = tmp_path / "bad.mp4"
    bad.write_text("no video")
    other = write_video(tmp_path / "zoo" / "rally.mp4", pictures(5))
    assert (
        cli_main(lambda argv: predict(model, *argv, out=tmp_path / "out"), [video, str(bad), str(other)]) == 1
    )
    assert "1 of 3 sources could not be done" in capsys.readouterr().err
    assert [name[-9:] for name in results(tmp_path / "out")] == ["rally.csv"] * 2
    assert cli_main(lambda argv: predict(model, *argv, out=tmp_path / "out"), [str(bad)]) == 1
    assert cli_main(lambda argv: predict(model, *argv, out=tmp_path / "out"), ["none.mp4"]) == 2


def test_streams_that_were_joined_go_on(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    parts = [write_video(tmp_path / f"{name}.ts", pictures(40), sound=True) for name in "ab"]
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    out = tmp_path / "out"
    steps = ["--smooth", "--events", "tennis", "--overlay", "--threshold", "0.2"]
    assert predict(model, str(joined), *steps, out=out) == 0
    rows = Predictions.read(out / "joined.csv")
    assert len(rows) >= 79  # the decoder may lose one at the seam
    assert np.diff(rows.time_s) == pytest.approx(np.full(len(rows) - 1, 1 / 30), abs=0.04)
    assert rows.time_s[-1] == pytest.approx(79 / 30, abs=0.04)
    told = capsys.readouterr().err
    assert "time stamps begin anew once" in told
    assert "the overlay lacks the sound, or the rest of it: from " in told
    assert ".part" not in told
    with pytest.warns(UserWarning, match="lacks the sound, or the rest of it: from "):
        rows.draw(tmp_path / "again.mp4", joined)
    with Video(out / "joined.overlay.mp4") as overlay:
        assert len(list(overlay)) == len(rows)


def test_a_folder_that_may_not_be_read_stops_no_other(
    model: str,
    video: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    folder = tmp_path / "locked"
    folder.mkdir()
    (folder / "0.jpg").write_bytes(encode_jpeg(pictures(1)[0]))
    listed, asked = Path.iterdir, []

    def refuse(path: Path):
        if path == folder and (asked.append(path) or len(asked) > 1):
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(Path, "iterdir", refuse)
    code = cli_main(lambda argv: predict(model, *argv, out=tmp_path / "out"), [str(folder), video])
    assert code == 1
    assert "Permission denied" in capsys.readouterr().err
    assert len(Predictions.read(tmp_path / "out" / "rally.csv")) == 30


def test_one_frame_is_no_frames_and_what_a_folder_leaves_out_is_told(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    folder = tmp_path / "mixed"
    write_video(folder / "single.mp4", pictures(1))
    write_video(folder / "sub" / "two.mp4", pictures(1))
    assert predict(model, str(folder), out=tmp_path / "out") == 0
    told = capsys.readouterr()
    assert "single.mp4: 1 frame, the ball in 1 (100.0%)" in told.out
    assert "note: " in told.err and "the 1 video in it is taken, and not folder sub" in told.err


def test_wrong_requests(model: str, video: str, tmp_path: Path):
    with pytest.raises(UserError) as wrong:
        predict(
            model, video, "--batch", "0", "--fps", "0", "--threshold", "nan", "--timeout", "0", out=tmp_path
        )
    assert len(wrong.value.problems) == 4
    with pytest.raises(UserError, match="--overlay too"):
        predict(model, video, "--heatmap", out=tmp_path)
    with pytest.raises(UserError) as wrong:
        predict(model, video, "--trajectory", "fill_frames=1", out=tmp_path)
    assert wrong.value.problems == ("--trajectory changes a setting of --smooth: give --smooth too",)
    with pytest.raises(UserError, match="needs a value"):
        predict(model, video, "--smooth", "--trajectory", "fill_frames", out=tmp_path)
    with pytest.raises(UserError, match="--trajectory has 3 problems") as wrong:
        settings = ("fil_frames=1", "max_speed=0", "foo=1")
        predict(model, video, "--smooth", *(f"--trajectory={pair}" for pair in settings), out=tmp_path)
    known, _, unknown = wrong.value.problems
    assert known.endswith("no such key (did you mean fill_frames?)")
    assert unknown.startswith("foo: no such key (there are candidates, max_speed,")
    for frames in ("5", "a:b", "-3:"):
        with pytest.raises(UserError, match=f"--frames {frames} is no range"):
            predict(model, video, f"--frames={frames}", out=tmp_path)
    with pytest.raises(UserError, match="no frame lies in 9:9: frames are counted from 0") as wrong:
        predict(model, video, "--frames=9:9", out=tmp_path)
    assert wrong.value.remedy == "9:10 is frame 9 alone, 9: is all from there on"
    with pytest.raises(SystemExit):
        predict(model, video, "--format", "csv,xml", out=tmp_path)
    with pytest.raises(UserError, match="no model"):
        predict(str(tmp_path), video, out=tmp_path)
    config = tmp_path / "old" / "config.json"
    config.parent.mkdir()
    plain = json.loads((Path(model) / "config.json").read_text())
    config.write_text(json.dumps({**plain, "format_version": 99}))
    (config.parent / "model.safetensors").touch()
    with pytest.raises(UserError, match="format version 99"):
        predict(str(config.parent), video, out=tmp_path)
