"""Progress off a terminal: plain lines, not too many, with rate and time left."""

from __future__ import annotations

import re

import pytest

from tracknet.utils.progress import Progress

LINE = re.compile(r"work: (\d+) of 100 items, [\d,]+ items/s, [\d.]+ s left")


@pytest.mark.parametrize(("line_every_s", "expected"), [(0.0, ["25", "50", "75", "100"]), (60.0, ["100"])])
def test_plain_lines(line_every_s: float, expected: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("work", 100, "items", line_every_s=line_every_s) as progress:
        for _ in range(4):
            progress.advance(25)
    lines = capsys.readouterr().err.splitlines()
    assert [match[1] for line in lines if (match := LINE.fullmatch(line))] == expected
    assert len(lines) == len(expected)


@pytest.mark.parametrize(
    ("rate", "shown"), [(0.42, "0.4 items/s"), (9.9, "9.9 items/s"), (12.6, "13 items/s")]
)
def test_a_slow_rate_is_not_none(
    rate: float, shown: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Progress, "per_second", lambda progress: rate)
    with Progress("work", None, "items") as progress:
        progress.advance(5)
    assert capsys.readouterr().err == f"work: 5 items, {shown}\n"


def test_two_hours_are_no_7200_seconds(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Progress, "per_second", lambda progress: 0.5)
    with Progress("work", 3600, "items", line_every_s=0.0) as progress:
        progress.advance(1)
    assert capsys.readouterr().err.splitlines()[0] == "work: 1 of 3,600 items, 0.5 items/s, 1:59:58 left"


def test_a_bar_on_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with Progress("work", 100, "items") as progress:
        progress.advance(100)
    error = capsys.readouterr().err
    assert "100/100" in error
    assert "items/s" in error


def test_bytes_are_counted_in_whole_megabytes(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("reading", 3, "MB") as progress:
        count = progress.bytes_counter()
        for number in (999_999, 1, 1_500_000, 499_999):
            count(number)
        assert progress.done == 2
        count(1)
    assert "reading: 3 of 3 MB" in capsys.readouterr().err


def test_work_that_was_less_than_thought_has_nothing_left_at_its_end(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Progress("work", 100, "items", line_every_s=60) as progress:
        progress.advance(40)
    assert "left" not in capsys.readouterr().err
