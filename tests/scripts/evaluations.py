"""What `evaluate` leaves in a folder, and what it says where it leaves nothing."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tracknet.scripts import evaluate
from tracknet.utils.errors import EXIT_DONE, EXIT_FAILED, EXIT_WRONG_REQUEST, cli_main

FILES = ["errors.svg", "metrics.json", "pck.svg", "pr.svg", "predictions.parquet"]


class Evaluated(NamedTuple):
    """A folder that `evaluate` has written, and what it printed."""

    out: Path
    said: str


def evaluated_as(out: Path, *args: object) -> Evaluated:
    """Runs the command, which is to leave its results in `out`, for fixtures of more than one test."""
    with contextlib.redirect_stdout(io.StringIO()) as said:
        assert evaluate.run([str(arg) for arg in args]) == EXIT_DONE
    return Evaluated(out, said.getvalue())


def page_data(folder: Path) -> dict[str, Any]:
    """What the page's script draws from."""
    page = (folder / "report.html").read_text()
    return json.loads(page.partition('id="data">')[2].partition("</script>")[0])


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def metrics(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "metrics.json").read_text())


def refused(capsys: pytest.CaptureFixture[str], *args: object) -> str:
    capsys.readouterr()
    assert cli_main(evaluate.run, [str(arg) for arg in args]) in (EXIT_WRONG_REQUEST, EXIT_FAILED)
    message = capsys.readouterr().err
    assert "Traceback" not in message
    return message
