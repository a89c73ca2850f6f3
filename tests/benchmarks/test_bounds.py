"""Numbers that nothing can be measured with are refused before anything is rendered or built."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import pytest

from benchmarks import train
from benchmarks.bounds import above_0, at_least


@pytest.mark.parametrize(
    ("number", "text", "says"),
    [
        (at_least(1), "0", "must be at least 1, got 0"),
        (at_least(0), "-1", "must be at least 0, got -1"),
        (at_least(1), "2.5", "needs a whole number, got '2.5'"),
        (above_0, "0", "must be above 0, got 0"),
        (above_0, "nan", "must be above 0, got nan"),
        (above_0, "inf", "must be above 0, got inf"),
        (above_0, "soon", "needs a number, got 'soon'"),
    ],
)
def test_what_is_no_such_number_is_said(number: Callable[[str], Any], text: str, says: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError) as refused:
        number(text)
    assert str(refused.value) == says


def test_numbers_within_their_bounds_are_taken() -> None:
    assert (at_least(1)("1"), at_least(0)("0"), above_0("0.5")) == (1, 0, 0.5)


@pytest.mark.parametrize(
    "option",
    ["--steps", "--rounds", "--batch", "--threads", "--resize", "--limit-s", "--warm-up", "--workers"],
)
def test_a_benchmark_of_nothing_is_refused(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    low = "-1" if option in ("--warm-up", "--workers") else "0"
    values = [low, "288"] if option == "--resize" else [low]
    # A negative number would be read as another option.
    given = [f"{option}={low}"] if low == "-1" else [option, *values]
    with pytest.raises(SystemExit) as refused:
        train.parse(given)
    assert refused.value.code == 2
    assert f"argument {option}: must be a" in capsys.readouterr().err
