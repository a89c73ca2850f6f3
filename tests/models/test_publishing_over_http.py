"""A model goes to a hub over HTTP and comes back the same; refusals and a cut connection are told in a line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.models.hub_server import COMMIT, Hub, serve_hub
from tracknet.models.model import TrackNet
from tracknet.models.model_card import model_card

ROOT = Path(__file__).parents[2]
PARTS = ["README.md", "config.json", "model.safetensors"]


@pytest.fixture(scope="module")
def told(
    tiny_model: Callable[..., TrackNet], tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, str], Hub, Path]:
    """What a process says that publishes and loads, the hub as it left it, and the folder of its files."""
    at = tmp_path_factory.mktemp("publishing")
    tiny_model().eval().save_pretrained(at / "model")
    with serve_hub() as hub:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("HF_")},
            "HF_ENDPOINT": hub.url,
            "HF_HUB_OFFLINE": "0",
            "HF_HOME": str(at / "cache"),
            # Hosts of its own, which this hub has not.
            "HF_HUB_DISABLE_XET": "1",
            "PYTHONPATH": str(ROOT),
        }
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "tests.models.published",
                str(at / "model"),
                str(at / "again"),
                str(at / "cache"),
            ],
            env=environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=180,
        )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return dict(lines), hub, at


def test_what_arrives_is_what_is_saved(told: tuple[dict[str, str], Hub, Path]) -> None:
    said, hub, at = told
    assert said["first"] == said["second"] == f"{hub.url}/me/ball"
    assert hub.messages == ["first", "second"]
    assert hub.private["me/ball"]
    there = hub.files["me/ball"]
    assert sorted(there) == PARTS
    for name in ("config.json", "model.safetensors"):
        assert there[name] == (at / "model" / name).read_bytes()
    # The card is that of `save_pretrained` under its name on the hub, with the licence of the first upload.
    model = TrackNet.from_pretrained(at / "model")
    assert there["README.md"].decode() == model_card(model, name="me/ball", license="mit")


def test_what_was_published_is_loaded_by_its_name(told: tuple[dict[str, str], Hub, Path]) -> None:
    said, hub, at = told
    assert said["loaded"] == str(at / "again")
    for name in ("config.json", "model.safetensors"):
        assert (at / "again" / name).read_bytes() == hub.files["me/ball"][name]
    # A part of it in the cache is completed, not taken for all.
    assert said["completed"] == str(at / "again")
    assert hub.asked_for(f"/me/ball/resolve/{COMMIT}/model.safetensors") == 2


def test_refusals_and_a_cut_connection_are_told(told: tuple[dict[str, str], Hub, Path]) -> None:
    said, hub, _ = told
    for token, status in (("stranger", 401), ("reader", 403)):
        what, remedy = said[token].splitlines()
        assert what == f"UserError: the hub lets you write no me/other (HTTP {status})"
        assert "log in with a token that may write" in remedy
    what, remedy = said["unlucky"].splitlines()
    assert what.startswith("RunError: the upload to me/other failed: ")
    assert "try again" in remedy
    assert hub.files["me/other"] == {}
    assert "the hub has no such model" in said["absent"]
    assert said["empty"].startswith("UserError: me/other is no model folder: no config.json, but nothing")
