"""What the results of a source were made of, kept beside them: another video's rows are never taken for this one's.

`.NAME.predict.json` says of each result file of NAME which source, model and settings made it. A source is known by
its content, so that one that was moved or copied stays the same, and another of its name does not.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tracknet.inference.frame_source import STDIN, is_folder
from tracknet.inference.picture_folder import picture_files
from tracknet.utils.files import hash_stream, replace_file
from tracknet.utils.urls import is_url, shown

_END_BYTES = 1 << 20
# Setting -> how a person says it.
_SETTINGS = {
    "frames": "--frames",
    "fps": "--fps",
    "threshold": "--threshold",
    "overlap": "--overlap",
    "flip": "--flip",
    "trajectory": "--smooth",
    "events": "--events",
    "heatmap": "--heatmap",
}


def source_identity(spec: str | Path) -> dict[str, str | None]:
    """Where a source is, and a digest of what is in it; `None` for what cannot be looked at without being read.

    Of a file the digest is of its length and its first and last MiB; of a folder, of its pictures' names and lengths
    and the first and last of them. URLs go without their secrets.
    """
    text = str(spec)
    if text == STDIN:
        return {"source": "standard input", "content": None}
    if isinstance(spec, str) and is_url(spec):
        return {"source": shown(spec), "content": None}
    path = Path(spec)
    if not path.exists():
        return {"source": f"camera {text}", "content": None}
    digest = hashlib.sha256()
    if is_folder(path):
        files = picture_files(path)
        for file in files:
            digest.update(f"{file.name}\0{file.stat().st_size}\0".encode(errors="surrogateescape"))
        for file in (*files[:1], *files[-1:]):
            digest.update(_ends(file))
    elif path.is_file():
        digest.update(_ends(path))
    else:  # a pipe or a device: what is read of it is gone
        return {"source": str(path.absolute()), "content": None}
    return {"source": str(path.absolute()), "content": digest.hexdigest()}


def model_identity(place: str | Path) -> dict[str, str]:
    """The model as it was named, and a digest of its file, or of its config and weights.

    Raises:
        UserError: there is none.
    """
    from tracknet.inference.heatmap_model import model_files

    digest = hashlib.sha256()
    for path in model_files(place):
        with path.open("rb") as file:
            digest.update(hash_stream(file).encode())
    return {"model": str(place), "weights": digest.hexdigest()}


class ResultRecord:
    """The record of one source's results.

    Args:
        path: of the file; it need not exist.
        wanted: gives the source, model and settings that are asked for now, as plain values; asked once, and only
            where there is something to compare or to write.
    """

    def __init__(self, path: Path, wanted: Callable[[], Mapping[str, Any]]) -> None:
        self.path = path
        self._ask = wanted
        self._asked: dict[str, Any] | None = None

    def differences(self, file: Path, **also: Any) -> list[str]:
        """In what a result that is there is not what is asked for, in words; `also` are settings of that file alone.

        Empty also where nothing is known of it: see `knows`.
        """
        entries = self._read()
        if file.name not in entries:
            return []
        made = entries[file.name]
        if made is None:
            return ["a command was stopped while it replaced it"]
        return list(_differences(made, {**self.wanted(), **also}))

    def knows(self, file: Path) -> bool:
        """Whether it is known what a result is of; of those that older versions wrote it is not."""
        return file.name in self._read()

    def begin(self, files: Iterable[Path]) -> None:
        """Says that these are about to be replaced: until `add`, what they are of is not known."""
        self._write({**self._read(), **{file.name: None for file in files}})

    def add(self, files: Iterable[Path], **also: Any) -> None:
        """Says that these are now of what is asked for."""
        self._write({**self._read(), **{file.name: {**self.wanted(), **also} for file in files}})

    def add_drawn(self, overlay: Path, rows: Path) -> None:
        """Says that an overlay was drawn from rows, and so is of what they are of."""
        entries = self._read()
        entries.pop(overlay.name, None)
        if (of_rows := entries.get(rows.name)) is not None:
            entries[overlay.name] = {**of_rows, "heatmap": False}
        self._write(entries)

    def wanted(self) -> dict[str, Any]:
        """What is asked for; to be called before a source that may change is read."""
        if self._asked is None:
            # As it comes back from the file: JSON knows no tuples.
            self._asked = json.loads(json.dumps(dict(self._ask())))
        return self._asked

    def _read(self) -> dict[str, Any]:
        try:
            plain = json.loads(self.path.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return {}
        files = plain.get("files") if isinstance(plain, dict) else None
        return {
            name: made if isinstance(made, dict) else None
            for name, made in (files if isinstance(files, dict) else {}).items()
        }

    def _write(self, entries: Mapping[str, Any]) -> None:
        replace_file(self.path, (json.dumps({"files": entries}, indent=2) + "\n").encode())


def _differences(made: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterator[str]:
    # Where the content is not known, the place must do.
    key = "content" if made.get("content") and wanted.get("content") else "source"
    if made.get(key) != wanted.get(key):
        same_place = made.get("source") == wanted.get("source")
        yield (
            f"{made.get('source')} has changed since"
            if same_place
            else f"it is of {made.get('source')}, and not of {wanted.get('source')}"
        )
    if made.get("weights") != wanted.get("weights"):
        yield f"it was made by another model ({made.get('model')})"
    for key, option in _SETTINGS.items():
        before, now = made.get(key), wanted.get(key)
        if before != now:
            yield f"{option} was {_said(before)}, and is {_said(now)}"


def _said(value: Any) -> str:
    if isinstance(value, Mapping):
        return "given with " + ", ".join(f"{key}={item}" for key, item in value.items())
    if value is None or isinstance(value, bool):
        return "given" if value else "not given"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _ends(path: Path) -> bytes:
    """A digest of a file's length, beginning and end."""
    digest, length = hashlib.sha256(), path.stat().st_size
    digest.update(str(length).encode())
    with path.open("rb") as file:
        digest.update(file.read(_END_BYTES))
        file.seek(max(0, length - _END_BYTES))
        digest.update(file.read(_END_BYTES))
    return digest.digest()
