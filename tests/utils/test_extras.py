"""What to install for an extra: the packages by name, in any folder."""

from __future__ import annotations

import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tracknet.utils import extras
from tracknet.utils.extras import install_command

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"
EXTRAS = tomllib.loads(PYPROJECT.read_text())["project"]["optional-dependencies"]


@pytest.mark.parametrize("extra", sorted(set(EXTRAS) - {"dev"}))
def test_the_packages_of_an_extra_are_those_of_pyproject(extra: str, monkeypatch: pytest.MonkeyPatch):
    lines = [f"{line}; extra == '{name}'" for name, asked in EXTRAS.items() for line in asked]
    monkeypatch.setattr(extras, "requires", lambda _: ["numpy>=1.26,<3", *lines])
    command = install_command(extra)
    assert command.startswith('pip install "')
    named = command.removeprefix('pip install "').removesuffix('"').split('" "')
    assert [Requirement(name) for name in named] == [Requirement(line) for line in EXTRAS[extra]]


def test_a_checkout_that_was_never_installed_is_what_there_is_to_install(monkeypatch: pytest.MonkeyPatch):
    def missing(name: str) -> list[str]:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(extras, "requires", missing)
    assert install_command("video") == 'pip install -e ".[video]"'


def test_an_extra_that_is_newer_than_what_is_installed_comes_from_the_checkout(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(extras, "requires", lambda _: ["av>=17; extra == 'video'"])
    assert install_command("lora") == 'pip install -e ".[lora]"'
