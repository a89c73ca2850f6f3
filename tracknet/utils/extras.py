"""What to install for a part of TrackNet that needs packages of its own, an extra of pyproject.toml."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, requires

from packaging.requirements import Requirement


def install_command(extra: str) -> str:
    """The command that installs an extra's packages, such as `pip install "av>=17,<20"`.

    It names the packages as the installed TrackNet asks for them, and so holds in any folder. By our own name it
    would fetch whatever bears that name on a package index; from a checkout that was never installed nothing else
    is known than the checkout itself.

    Args:
        extra: An extra of pyproject.toml, such as `video`.

    Raises:
        ValueError: The installed TrackNet has no such extra: a fault of the caller.
    """
    try:
        asked = [Requirement(line) for line in requires("tracknet") or ()]
    except PackageNotFoundError:
        return f'pip install -e ".[{extra}]"'
    wanted = [part for part in asked if part.marker and part.marker.evaluate({"extra": extra})]
    if not wanted:
        raise ValueError(f"{extra!r} is no extra of the installed TrackNet")
    return " ".join(("pip install", *(f'"{_without_marker(part)}"' for part in wanted)))


def _without_marker(part: Requirement) -> str:
    extras = f"[{','.join(sorted(part.extras))}]" if part.extras else ""
    return f"{part.name}{extras}{part.specifier}"
