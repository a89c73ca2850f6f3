"""Places behind URLs: which ones are, and how they are named without a password."""

from __future__ import annotations

import pytest

from tracknet.utils.errors import UserError
from tracknet.utils.urls import hide_secrets, is_url, open_filesystem, shown


def test_urls_are_named_without_secrets_and_pipes_refused() -> None:
    assert (
        shown("https://me:secret@host:8080/a/b.tar?X-Amz-Signature=1") == "https://***@host:8080/a/b.tar?***"
    )
    command = "train https://h/train-{0..3}.tar?sig=hush data.files=[https://h/a?t=hush,s3://me:hush@b/c] x=1"
    assert hide_secrets(command) == (
        "train https://h/train-{0..3}.tar?*** data.files=[https://h/a?***,s3://***@b/c] x=1"
    )
    assert hide_secrets("404, url='https://h/a?token=hush' a/b?c=d") == "404, url='https://h/a?***' a/b?c=d"
    assert [
        is_url(text) for text in ("s3://b/a", "pipe:cat x", "shards/train-000.tar", "C:/x", "file:///x")
    ] == [*(True, True, False, False, True)]
    with pytest.raises(UserError, match="runs a command"):
        open_filesystem("pipe:curl x")
    with pytest.raises(UserError, match="nosuch://h/a"):
        open_filesystem("nosuch://h/a")


@pytest.mark.parametrize(
    ("url", "install"),
    [("https://h/train-000.tar", 'pip install "fsspec[http]'), ("sftp://h/a.tar", "pip install paramiko")],
)
def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, url: str, install: str) -> None:
    def missing(*args: object, **kwargs: object) -> None:
        raise ImportError

    monkeypatch.setattr("fsspec.core.url_to_fs", missing)
    with pytest.raises(UserError, match="is not installed") as caught:
        open_filesystem(url)
    assert str(caught.value.remedy).startswith(install)
