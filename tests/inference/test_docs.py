"""The Python in docs/predict.md runs, and so do its commands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.inference.conftest import untrained
from tests.videos import pictures, write_video
from tracknet.scripts.predict import run

PAGE = Path(__file__).resolve().parents[2] / "docs" / "predict.md"


def test_what_the_page_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    model = untrained()
    model.score_threshold = 0.0
    model.save_pretrained(tmp_path / "runs/mine/checkpoints/best/model")
    write_video(tmp_path / "match.mp4", pictures(10))
    page = PAGE.read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    exec(code, {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 10 + 1 + 1
    assert lines[-2].startswith("8 ") and lines[-2].endswith(" 0.4")
    assert lines[-1].startswith("[''")
    for name in ("match.csv", "match.parquet", "match.overlay.mp4"):
        assert (tmp_path / name).stat().st_size > 100
    (command,) = re.findall(r"^python -m tracknet\.scripts\.predict (.*)$", page, flags=re.MULTILINE)
    assert run(shlex.split(command)) == 0
    header = re.findall(r"^frame,time_s.*$", page, flags=re.MULTILINE)
    assert (tmp_path / "predictions/match.csv").read_text().splitlines()[0] == header[0]
