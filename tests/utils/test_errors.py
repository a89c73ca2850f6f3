"""One clean message and an exit code for each kind of wrong."""

from __future__ import annotations

import errno
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tracknet.utils.errors import Interrupted, RunError, UserError, cli_main, first_line


def raising(error: BaseException) -> Callable[[list[str]], int]:
    def run(argv: list[str]) -> int:
        raise error

    return run


def test_a_message_has_its_problems_and_the_remedy() -> None:
    error = UserError("three are wrong", problems=["a is 1", "b is 2"], remedy="make them 3")
    assert str(error) == "three are wrong\n  - a is 1\n  - b is 2\n  remedy: make them 3"
    assert str(UserError("just this")) == "just this"


@pytest.mark.parametrize("code", [0, 1, 7])
def test_the_commands_own_code_is_passed_on(code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli_main(lambda argv: code, []) == code
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (UserError("wrong lr", remedy="use 0.1"), 2, "error: wrong lr\n  remedy: use 0.1\n"),
        (RunError("cut shard", problems=["a.tar"]), 1, "error: cut shard\n  - a.tar\n"),
        (Interrupted("after step 7"), 130, "stopped: after step 7\n"),
        (KeyboardInterrupt(), 130, "stopped: interrupted\n"),
    ],
)
@pytest.mark.parametrize("show", [False, True])
def test_what_each_error_becomes(
    error: BaseException, code: int, message: str, show: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli_main(raising(error), ["--traceback"] if show else []) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    if show:
        assert printed.err.startswith("Traceback (most recent call last)")
        assert printed.err.endswith(message)
        assert "in raising" not in printed.err
        assert "in run" in printed.err
    else:
        assert printed.err == message


@pytest.mark.parametrize("position", [0, 1, 2])
def test_the_command_does_not_see_the_traceback_flag(position: int) -> None:
    seen: list[list[str]] = []

    def run(argv: list[str]) -> int:
        seen.append(argv)
        return 0

    argv = ["train", "--name=x"]
    argv.insert(position, "--traceback")
    assert cli_main(run, argv) == 0
    assert seen == [["train", "--name=x"]]


def test_arguments_come_from_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["tracknet", "a", "b=1"])
    seen: list[list[str]] = []
    assert cli_main(lambda argv: seen.append(argv) or 0) == 0
    assert seen == [["a", "b=1"]]


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EACCES, "give yourself permission"),
        (errno.EROFS, "read-only"),
        (errno.EDQUOT, "quota"),
    ],
)
def test_what_the_machine_refuses_comes_with_advice(
    number: int, advice: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    error = OSError(number, "the system's words", str(tmp_path / "x"))
    assert cli_main(raising(error), []) == 1
    printed = capsys.readouterr().err
    assert printed.startswith(f"error: the system's words: {tmp_path / 'x'}\n  remedy: ")
    assert advice in printed
    assert "Traceback" not in printed
    with pytest.raises(OSError, match="the system's words"):
        cli_main(raising(error), ["--traceback"])


@pytest.mark.parametrize(
    ("forbidden", "remedy"),
    [
        ("folder/file", "give yourself permission to read it, or choose another"),
        ("folder", "give yourself permission to enter {folder}, or choose another folder"),
        (None, "give yourself permission to write there, or choose another folder"),
    ],
)
def test_the_permission_that_is_lacking_is_named(
    forbidden: str | None,
    remedy: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Whoever runs the tests as root may do everything; what may be done is therefore said here."""
    (tmp_path / "folder").mkdir()
    path = tmp_path / "folder" / "file"
    path.write_text("content")
    monkeypatch.setattr(os, "access", lambda asked, mode: forbidden is None or asked != tmp_path / forbidden)
    assert cli_main(raising(OSError(errno.EACCES, "Permission denied", str(path))), []) == 1
    wanted = remedy.format(folder=path.parent)
    assert capsys.readouterr().err == f"error: Permission denied: {path}\n  remedy: {wanted}\n"


def test_a_path_that_is_wrong_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli_main(lambda argv: len((tmp_path / "none").read_bytes()), []) == 1
    printed = capsys.readouterr().err
    assert printed.startswith(f"error: No such file or directory: {tmp_path / 'none'}\n  remedy: ")
    assert "Traceback" not in printed


def test_a_reader_that_stops_reading_is_no_error() -> None:
    code = (
        "import sys; from tracknet.utils.errors import cli_main\n"
        "def run(argv):\n"
        "    for _ in range(100_000): print('a line that nobody reads')\n"
        "    return 0\n"
        "sys.exit(cli_main(run, []))"
    )
    checkout = Path(__file__).resolve().parents[2]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], cwd=checkout, **pipes) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"a line that nobody reads\n"
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


def test_a_name_that_is_not_utf8_can_be_told() -> None:
    program = (
        "import os, sys; from tracknet.utils.errors import UserError, cli_main\n"
        "def run(argv): print(os.fsdecode(b'caf\\xe9')); raise UserError(os.fsdecode(b'\\xe9.mp4'))\n"
        "sys.exit(cli_main(run, []))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        env={"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONIOENCODING": "utf-8:strict"},
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (2, b"caf\\udce9\n", b"error: \\udce9.mp4\n")


def test_what_nobody_foresaw_is_not_hidden() -> None:
    for error in (ZeroDivisionError("a bug"), OSError(errno.EBADF, "a bug")):
        with pytest.raises(type(error), match="a bug"):
            cli_main(raising(error), [])


def test_argparse_keeps_its_own_exit_code() -> None:
    with pytest.raises(SystemExit) as caught:
        cli_main(raising(SystemExit(2)), [])
    assert caught.value.code == 2


class SpecialError(RunError):
    exit_code = 1


@pytest.mark.parametrize("kind", [UserError, RunError, SpecialError])
def test_an_error_survives_its_way_between_processes(kind: type[UserError]) -> None:
    error = kind("cut", problems=["a.tar", "b.tar"], remedy="build again")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is kind
    assert (copy.what, copy.problems, copy.remedy) == ("cut", ("a.tar", "b.tar"), "build again")
    assert str(copy) == str(error)
    assert copy.exit_code == kind.exit_code
    bare = pickle.loads(pickle.dumps(kind("cut")))
    assert (bare.problems, bare.remedy) == ((), None)


@pytest.mark.parametrize(
    ("said", "first"),
    [
        ("", "ValueError"),
        (" \n\n", "ValueError"),
        ("\n  the fault  \nand where it was", "the fault"),
        ("backend='inductor' raised:\n  no compiler\nmore", "backend='inductor' raised: no compiler"),
        ("raised:", "raised:"),
    ],
)
def test_what_an_error_says_first(said: str, first: str) -> None:
    """Also of one that says nothing."""
    assert first_line(ValueError(said)) == first
