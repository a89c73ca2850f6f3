"""What a person is told when something is wrong, and the exit code of each kind of wrong."""

from __future__ import annotations

import errno
import io
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

EXIT_DONE, EXIT_FAILED, EXIT_WRONG_REQUEST, EXIT_INTERRUPTED = 0, 1, 2, 130


class UserError(Exception):
    """Something the person can mend: says what is wrong, where, and what to do about it.

    Args:
        what: one sentence with the place (file, row, dotted key) and the numbers.
        problems: further lines when several things are wrong; all are shown at once.
        remedy: what to do, with the number or command worked out.
    """

    exit_code = EXIT_WRONG_REQUEST

    def __init__(self, what: str, *, problems: Sequence[str] = (), remedy: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.problems = tuple(problems)
        self.remedy = remedy

    def __str__(self) -> str:
        lines = [self.what, *(f"  - {problem}" for problem in self.problems)]
        if self.remedy:
            lines.append(f"  remedy: {self.remedy}")
        return "\n".join(lines)

    def __reduce__(self) -> tuple[Callable[..., UserError], tuple[object, ...]]:
        # Worker processes hand their errors over by pickle, which knows positional arguments only.
        return _rebuild, (type(self), self.what, self.problems, self.remedy)


class RunError(UserError):
    """The request was right but the work failed: damaged data, a diverged loss, a full disk."""

    exit_code = EXIT_FAILED


class Interrupted(Exception):
    """The person asked to stop (Ctrl-C, SIGTERM); everything worth keeping is already saved."""

    exit_code = EXIT_INTERRUPTED


def shorten(problems: Sequence[str], limit: int = 10) -> list[str]:
    """The first few of many problems, and how many more there are."""
    if len(problems) <= limit:
        return list(problems)
    return [*problems[:limit], f"and {len(problems) - limit:,} more"]


def first_line(error: BaseException) -> str:
    """What an error says before it goes into detail; its type where it says nothing."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    # "backend='inductor' raised:" needs what was raised.
    return " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]


def _rebuild(kind: type[UserError], what: str, problems: Sequence[str], remedy: str | None) -> UserError:
    return kind(what, problems=problems, remedy=remedy)


def cli_main(run: Callable[[list[str]], int], argv: Sequence[str] | None = None) -> int:
    """Runs a command and turns what it raises into one clean message and an exit code.

    Codes: 0 done, 1 failed, 2 wrong request, 130 interrupted. `--traceback` anywhere in `argv` shows the
    Python traceback as well; it is taken out before `run` sees the arguments.

    Args:
        run: takes the arguments without the program's name and returns the exit code.
        argv: the arguments; `sys.argv[1:]` where none are given.
    """
    _print_any_name()
    args = list(sys.argv[1:] if argv is None else argv)
    show_traceback = "--traceback" in args
    args = [arg for arg in args if arg != "--traceback"]
    try:
        return run(args)
    except (UserError, Interrupted) as error:
        if show_traceback:
            traceback.print_exc()
        prefix = "stopped" if isinstance(error, Interrupted) else "error"
        print(f"{prefix}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        if show_traceback:
            traceback.print_exc()
        print("stopped: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has seen enough (`| head`). Python would complain again at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except OSError as error:
        # Without a file's name it is no fault of a path that was given, but ours.
        if show_traceback or (error.errno not in (*_FORBIDDEN, *_ADVICE) and error.filename is None):
            raise
        where = f" {error.filename}" if error.filename else ""
        if error.errno in _FORBIDDEN:
            advice = _permission_needed(error.filename)
        else:
            advice = _ADVICE.get(error.errno or 0, "check that path, or choose another")
        print(f"error: {error.strerror}:{where}\n  remedy: {advice}", file=sys.stderr)
        return EXIT_FAILED


def _print_any_name() -> None:
    r"""Lets file names that are not UTF-8 be printed, as `caf\udce9.mp4`, where strict output would end the command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _permission_needed(name: object) -> str:
    """What to do about a path that is forbidden. The error does not say whether it was read or written."""
    if isinstance(name, str):
        path = Path(name).absolute()
        if not os.access(path.parent, os.X_OK):
            return f"give yourself permission to enter {path.parent}, or choose another folder"
        if path.exists() and not os.access(path, os.R_OK):
            return "give yourself permission to read it, or choose another"
    return "give yourself permission to write there, or choose another folder"


_FORBIDDEN = (errno.EACCES, errno.EPERM)
_ADVICE = {
    errno.ENOTDIR: "a part of that path is a file: choose another folder",
    errno.EEXIST: "there is a file of that name: choose another folder",
    errno.EROFS: "that disk is read-only: choose another folder",
    errno.ENOSPC: "the disk is full: free some room or choose another disk; nothing half-written was kept",
    errno.EDQUOT: "your disk quota is used up: free some room or choose another disk",
}
