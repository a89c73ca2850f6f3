"""What to install for a part of TrackNet that needs packages of its own, an extra of pyproject.toml."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, requires

from packaging.requirements import Requirement


def install_command(extra: str) -> str:
    """The command that installs an extra's packages, such as `pip install "av>=17,<20"`.

    It names the packages as the installed TrackNet asks for them, and so holds in any folder: by our own name it
    would fetch whatever bears that name on a package index. Where what is installed does not know the extra, or
    nothing is installed, there is only the checkout to install from.

    Args:
        extra: of pyproject.toml, such as `video`.
    """
    try:
        asked = [Requirement(line) for line in requires("tracknet") or ()]
    except PackageNotFoundError:
        asked = []
    wanted = [part for part in asked if part.marker and part.marker.evaluate({"extra": extra})]
    if not wanted:
        return f'pip install -e ".[{extra}]"'
    return " ".join(("pip install", *(f'"{_without_marker(part)}"' for part in wanted)))


def _without_marker(part: Requirement) -> str:
    extras = f"[{','.join(sorted(part.extras))}]" if part.extras else ""
    return f"{part.name}{extras}{part.specifier}"
