"""Places behind URLs, through fsspec: which ones are, how to open them, how to name them without a password."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from tracknet.utils.errors import RunError, UserError
from tracknet.utils.extras import install_command

_PACKAGES = {
    "sftp": "paramiko",
    "ssh": "paramiko",
    "smb": "smbprotocol",
}

# To the next space, quote or URL: brace and glob patterns are parts of ours.
_URL_IN_TEXT = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"]+?(?=,[A-Za-z][A-Za-z0-9+.-]*:|[\s'\"]|$)")


def is_url(place: str) -> bool:
    """Whether a place lies behind a URL. `file:///mnt/x` does: a folder treated as if it were remote."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", place) is not None and (
        "://" in place or place.startswith("pipe:")
    )


def shown(url: str) -> str:
    """A URL as messages and logs may name it: without user, password, query and fragment."""
    if "::" in url.partition("://")[0]:  # fsspec's chains, such as simplecache::https://...
        outer, _, inner = url.partition("::")
        return f"{outer}::{shown(inner)}"
    try:
        parts = urlsplit(url)
    except ValueError:
        return f"{url.partition('://')[0]}://***"
    secret, at, host = parts.netloc.rpartition("@")
    hidden = "***@" if at or secret else ""
    return f"{parts.scheme}://{hidden}{host}{parts.path}" + ("?***" if parts.query else "")


def hide_secrets(text: str) -> str:
    """A text in which every URL is named as `shown` names it: a library's message, or a command line."""
    return _URL_IN_TEXT.sub(lambda found: shown(found[0]), text)


def has_password(place: str) -> bool:
    """Whether a place is a URL with a password in it."""
    if not is_url(place):
        return False
    if "::" in place.partition("://")[0]:  # as in `shown`
        return has_password(place.partition("::")[2])
    try:
        return bool(urlsplit(place).password)
    except ValueError:
        return ":" in place.partition("://")[2].rpartition("@")[0]


def open_filesystem(url: str, *, timeout_s: float | None = None) -> tuple[Any, str]:
    """The fsspec file system of a URL, and the path of the URL in it.

    Credentials and options come from fsspec's own configuration. Make one in each process: connections do not
    survive a fork.

    Args:
        url: such as `https://host/shards` or `s3://bucket/shards`.
        timeout_s: how long a connection may be silent, where the protocol lets that be said (http, s3).

    Raises:
        UserError: a kind of URL that runs commands, that fsspec does not know, or whose package is missing.
        RunError: the place cannot be reached.
    """
    import fsspec
    from fsspec.registry import known_implementations

    protocol = url.partition(":")[0].lower()
    if protocol == "pipe":
        raise UserError(
            f"{protocol}: runs a command to read data, which is refused",
            remedy="give the URL that the command reads, such as https://host/shards/train-{000..031}.tar",
        )
    try:
        fs, path = fsspec.core.url_to_fs(url, **_timeouts(protocol, timeout_s))
    except ImportError:
        package = _PACKAGES.get(protocol) or known_implementations[protocol]["class"].partition(".")[0]
        ours = protocol in ("http", "https")
        raise UserError(
            f"{shown(url)}: the package for {protocol}:// is not installed",
            remedy=install_command("remote") if ours else f"pip install {package}",
        ) from None
    except ValueError as error:
        raise UserError(
            f"{shown(url)}: {hide_secrets(str(error))}",
            remedy="give a folder, or a URL of a kind that fsspec knows: https://host/path, s3://bucket/path, "
            "gs://bucket/path, abfs://container/path, sftp://host/path, file:///mnt/shared/path",
        ) from None
    except Exception as error:  # some connect at once, each with failures of its own
        raise RunError(
            f"{shown(url)}: {type(error).__name__}: {hide_secrets(str(error))}",
            remedy="check the address, your credentials and the network",
        ) from error
    return fs, str(path)


def _timeouts(protocol: str, timeout_s: float | None) -> dict[str, Any]:
    if timeout_s is None:
        return {}
    if protocol in ("http", "https"):
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=None, sock_connect=timeout_s, sock_read=timeout_s)
        return {"client_kwargs": {"timeout": timeout}}
    if protocol in ("s3", "s3a"):
        return {"config_kwargs": {"connect_timeout": timeout_s, "read_timeout": timeout_s}}
    return {}
