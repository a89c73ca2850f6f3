"""As much of the Hugging Face hub, over HTTP on loopback, as huggingface_hub 1 and 2 use to publish a model and get it.

Small files come in the commit (base64), weights by the protocol of Git LFS. The token decides what goes wrong.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from contextlib import AbstractContextManager
from typing import Any, ClassVar

from tests import loopback

WRITER, STRANGER, READER, UNLUCKY = "writer", "stranger", "reader", "unlucky"
"""Tokens: may write; is not known (401); may only read (403); loses the connection while it commits."""
COMMIT = "0123456789abcdef0123456789abcdef01234567"
_REPO = r"(?P<repo>[\w.-]+/[\w.-]+)"


class Hub(loopback.Site):
    """Repositories by name, and what was sent to them."""

    def __init__(self) -> None:
        super().__init__()
        self.files: dict[str, dict[str, bytes]] = {}
        self.private: dict[str, bool] = {}
        self.messages: list[str] = []
        self.large: dict[str, bytes] = {}


def serve_hub() -> AbstractContextManager[Hub]:
    """A hub without repositories, until the block ends."""
    return loopback.serving(_Handler, Hub())


class _Handler(loopback.Answering):
    site: ClassVar[Hub]

    def answer(self) -> None:
        body, path = self._body(), self.path.partition("?")[0]
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token == STRANGER:
            return self._json(401, {"error": "Invalid credentials in Authorization header"})
        if token == READER and self.command in ("POST", "PUT"):
            return self._json(
                403, {"error": "You don't have the rights to create a model under this namespace"}
            )
        for method, pattern, act in _ROUTES:
            found = re.fullmatch(pattern, path)
            if found and self.command in method.split("|"):
                if token == UNLUCKY and act is _Handler._commit:
                    self.close_connection = True
                    return None
                return act(self, body, **found.groupdict())
        return self._json(404, {"error": "Entry not found"})

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _json(self, status: int, content: Any) -> None:
        self._send(status, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _create(self, body: bytes) -> None:
        asked = json.loads(body)
        repo = f"{asked.get('organization') or 'me'}/{asked['name']}"
        there = repo in self.site.files
        if not there:
            self.site.files[repo] = {}
            self.site.private[repo] = bool(asked.get("private")) or asked.get("visibility") == "private"
        self._json(409 if there else 200, {"url": f"{self.site.url}/{repo}", "id": repo})

    def _info(self, body: bytes, repo: str) -> None:
        if repo not in self.site.files:
            return self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"})
        files = [{"rfilename": name} for name in sorted(self.site.files[repo])]
        return self._json(
            200,
            {"id": repo, "private": self.site.private[repo], "sha": COMMIT, "siblings": files, "tags": []},
        )

    def _tree(self, body: bytes, repo: str) -> None:
        files = self.site.files.get(repo, {})
        self._json(
            200,
            [
                {
                    "type": "file",
                    "path": name,
                    "size": len(files[name]),
                    "oid": hashlib.sha1(files[name]).hexdigest(),
                }
                for name in sorted(files)
            ],
        )

    def _modes(self, body: bytes, repo: str) -> None:
        files = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["path"].endswith(".safetensors") else "regular",
                "shouldIgnore": False,
            }
            for file in json.loads(body)["files"]
        ]
        self._json(200, {"files": files})

    def _batch(self, body: bytes, repo: str) -> None:
        objects = [
            {**asked, "actions": {"upload": {"href": f"{self.site.url}/large/{asked['oid']}"}}}
            for asked in json.loads(body)["objects"]
        ]
        self._json(200, {"transfer": "basic", "objects": objects})

    def _put(self, body: bytes, oid: str) -> None:
        right = hashlib.sha256(body).hexdigest() == oid
        if right:
            self.site.large[oid] = body
        self._json(200 if right else 400, {})

    def _commit(self, body: bytes, repo: str) -> None:
        for line in body.splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "header":
                self.site.messages.append(value["summary"])
            elif entry["key"] == "file":
                self.site.files[repo][value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                self.site.files[repo][value["path"]] = self.site.large[value["oid"]]
        url = f"{self.site.url}/{repo}/commit/{COMMIT}"
        self._json(200, {"success": True, "commitOid": COMMIT, "commitUrl": url, "hookOutput": ""})

    def _resolve(self, body: bytes, repo: str, name: str) -> None:
        content = self.site.files.get(repo, {}).get(name)
        if content is None:
            return self._send(
                404, b"", {"X-Error-Code": "EntryNotFound", "X-Error-Message": "Entry not found"}
            )
        etag = f'"{hashlib.sha256(content).hexdigest()}"'
        return self._send(200, content, {"X-Repo-Commit": COMMIT, "ETag": etag})

    def _fine(self, body: bytes, **more: str) -> None:
        self._json(200, {"errors": [], "warnings": []})


_ROUTES: tuple[tuple[str, str, Any], ...] = (
    ("POST", "/api/repos/create", _Handler._create),
    ("POST", "/api/validate-yaml", _Handler._fine),
    ("GET", f"/api/models/{_REPO}/auth-check", _Handler._fine),
    ("GET", f"/api/models/{_REPO}(?:/revision/[^/]+)?", _Handler._info),
    ("GET", f"/api/models/{_REPO}/tree/.+", _Handler._tree),
    ("POST", f"/api/models/{_REPO}/preupload/[^/]+", _Handler._modes),
    ("POST", f"/api/models/{_REPO}/commit/[^/]+", _Handler._commit),
    ("POST", rf"/{_REPO}\.git/info/lfs/objects/batch", _Handler._batch),
    ("PUT", "/large/(?P<oid>[0-9a-f]+)", _Handler._put),
    ("GET|HEAD", f"/{_REPO}/resolve/[^/]+/(?P<name>.+)", _Handler._resolve),
)
