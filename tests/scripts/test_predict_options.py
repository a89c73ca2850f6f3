"""What the options of `predict` may be, without a model."""

from __future__ import annotations

import pytest

from tracknet.scripts._predict_options import parse
from tracknet.utils.errors import UserError


@pytest.mark.parametrize(("text", "timeout_s"), [("2.5", 2.5), ("none", None), ("None", None)])
def test_a_time_and_none_for_ever(text: str, timeout_s: float | None) -> None:
    assert parse(["m", "v.mp4", "--timeout", text]).timeout == timeout_s


@pytest.mark.parametrize("text", ["0", "-1", "inf", "nan"])
def test_a_time_that_is_none_says_how_to_wait_for_ever(text: str) -> None:
    with pytest.raises(UserError) as wrong:
        parse(["m", "v.mp4", f"--timeout={text}"])
    assert wrong.value.problems == (
        f"--timeout must be above 0 and finite, or none to wait for ever, got {text}",
    )


def test_a_word_is_no_time(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["m", "v.mp4", "--timeout", "long"])
    assert "'long' is neither a number of seconds nor none" in capsys.readouterr().err
