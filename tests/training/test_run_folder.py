"""What a run's folder may not hold."""

from __future__ import annotations

import pytest

from tracknet.training.run_folder import RunFolder
from tracknet.utils.config import load_config
from tracknet.utils.errors import UserError
from tracknet.utils.urls import has_password


@pytest.mark.parametrize(
    ("place", "secret"),
    [
        ("https://me:hush@host/shards", True),
        ("simplecache::https://me:hush@host/shards", True),
        ("https://me:hush@[::host/shards", True),
        ("https://me@host/shards", False),
        ("https://host:8080/shards", False),
        ("s3://bucket/a:b@c", False),
        ("shards/me:hush@host", False),
    ],
)
def test_which_urls_have_a_password(place: str, secret: bool) -> None:
    assert has_password(place) == secret


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("data.shards=https://me:hush@host/shards", "data.shards"),
        ("data.files=['https://me:hush@host/a.tar']", "data.files"),
        ("data.sources=[{shards: [here]}, {shards: ['https://me:hush@host/b']}]", "data.sources[1].shards"),
    ],
)
def test_a_password_is_not_written_into_a_runs_folder(override: str, key: str) -> None:
    RunFolder.refuse_passwords(load_config())
    with pytest.raises(UserError) as caught:
        RunFolder.refuse_passwords(load_config(overrides=[override]))
    text = str(caught.value)
    assert f"{key}: https://***@host/" in text
    assert "FSSPEC_HTTPS" in text
    assert "hush" not in text
