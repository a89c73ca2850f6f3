"""Uploads to a hub that is a folder here; nothing reaches for a network."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from huggingface_hub import constants
from huggingface_hub.errors import EntryNotFoundError, HFValidationError

from tracknet.models import publishing
from tracknet.models.model import TrackNet
from tracknet.utils.errors import RunError, UserError

MakeModel = Callable[..., TrackNet]


class FakeHub:
    """As much of `HfApi` as an upload uses."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.private: dict[str, bool] = {}
        self.messages: list[str] = []
        self.tokens: list[str | None] = []
        self.failure: Exception | None = None

    def __call__(self, token: str | None = None) -> FakeHub:
        self.tokens.append(token)
        return self

    def create_repo(self, repo_id: str, *, private: bool, repo_type: str, exist_ok: bool) -> str:
        if self.failure:
            raise self.failure
        assert (repo_type, exist_ok) == ("model", True)
        self.private.setdefault(repo_id, private)
        return f"https://hub/{repo_id}"

    def model_info(self, repo_id: str) -> Any:
        return SimpleNamespace(private=self.private[repo_id])

    def hf_hub_download(self, repo_id: str, name: str, *, cache_dir: Path) -> str:
        path = self.folder / repo_id / name
        if not path.is_file():
            raise EntryNotFoundError("no such file")
        return str(path)

    def upload_folder(self, *, repo_id: str, folder_path: Path, commit_message: str) -> None:
        shutil.copytree(folder_path, self.folder / repo_id, dirs_exist_ok=True)
        self.messages.append(commit_message)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    fake = FakeHub(tmp_path / "hub")
    monkeypatch.setattr(publishing, "HfApi", fake)
    monkeypatch.setattr(constants, "is_offline_mode", lambda: False)
    return fake


def test_an_upload_is_a_model_folder_whose_card_names_it(
    tiny_model: MakeModel, some_frames: Callable[..., torch.Tensor], hub: FakeHub
) -> None:
    model = tiny_model().eval()
    address = model.push_to_hub("me/ball", token="secret", message="first")
    assert address == "https://hub/me/ball"
    assert (hub.private, hub.messages, hub.tokens) == ({"me/ball": True}, ["first"], ["secret"])
    there = hub.folder / "me" / "ball"
    assert sorted(path.name for path in there.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    card = (there / "README.md").read_text()
    assert "# ball\n" in card
    assert 'TrackNet.from_pretrained("me/ball")' in card
    assert "secret" not in card
    frames = some_frames(model)
    with torch.no_grad():
        assert torch.equal(TrackNet.from_pretrained(there)(frames), model(frames))


def test_a_licence_given_once_stays(tiny_model: MakeModel, hub: FakeHub) -> None:
    model = tiny_model()
    model.push_to_hub("me/ball", license="mit")
    model.push_to_hub("me/ball")
    assert "\nlicense: mit\n" in (hub.folder / "me" / "ball" / "README.md").read_text()
    model.push_to_hub("me/ball", license="apache-2.0")
    assert "\nlicense: apache-2.0\n" in (hub.folder / "me" / "ball" / "README.md").read_text()


def test_nothing_meant_to_be_private_goes_where_everyone_looks(tiny_model: MakeModel, hub: FakeHub) -> None:
    model = tiny_model()
    model.push_to_hub("me/open", private=False)
    assert hub.private == {"me/open": False}
    with pytest.raises(UserError, match="me/open is public"):
        model.push_to_hub("me/open")
    assert len(hub.messages) == 1


def refusal(status: int) -> Exception:
    error = OSError(f"{status} Client Error\nmore")
    error.response = SimpleNamespace(status_code=status)  # type: ignore[attr-defined]
    return error


@pytest.mark.parametrize(
    ("failure", "kind", "said"),
    [
        (refusal(401), UserError, r"lets you write no me/ball \(HTTP 401\)"),
        (refusal(403), UserError, "hf auth login"),
        (refusal(500), RunError, "the upload to me/ball failed: 500 Client Error\n"),
        (ConnectionError("no route"), RunError, "failed: no route"),
        (HFValidationError("Repo id must be"), UserError, "use owner/name"),
    ],
)
def test_refusals_are_told(
    tiny_model: MakeModel, hub: FakeHub, failure: Exception, kind: type[UserError], said: str
) -> None:
    hub.failure = failure
    with pytest.raises(kind, match=said) as caught:
        tiny_model().push_to_hub("me/ball")
    assert type(caught.value) is kind


def test_offline_is_told(tiny_model: MakeModel) -> None:
    with pytest.raises(UserError, match="HF_HUB_OFFLINE forbids it"):
        tiny_model().push_to_hub("me/ball")
