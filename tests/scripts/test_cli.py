"""The installed command reaches all others."""

from __future__ import annotations

from tracknet.scripts import cli
from tracknet.utils.errors import EXIT_DONE, EXIT_WRONG_REQUEST, cli_main


def test_installed_command_reaches_the_others(capsys):
    assert cli_main(cli.run, ["--help"]) == EXIT_DONE
    out = capsys.readouterr().out
    assert all(name in out for name in ("synthesize", "build-shards", "train", "evaluate"))
    assert cli_main(cli.run, ["trian"]) == EXIT_WRONG_REQUEST
    assert "did you mean train?" in capsys.readouterr().err
    assert cli.main(["evaluate", "/nowhere"]) == EXIT_WRONG_REQUEST
    assert "holds no model" in capsys.readouterr().err
    assert cli.main(["--traceback", "evaluate", "/nowhere"]) == EXIT_WRONG_REQUEST
    assert "Traceback" in capsys.readouterr().err
