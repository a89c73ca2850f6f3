"""What `test_publishing_over_http` runs in a process of its own: huggingface_hub reads where the hub is when imported.

    python -m tests.models.published MODEL_FOLDER FOLDER_FOR_IT_AGAIN CACHE

Prints a line of JSON for each thing tried: what came of it, or the error as a person reads it.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from tests.models.hub_server import READER, STRANGER, UNLUCKY, WRITER
from tracknet.models.model import TrackNet
from tracknet.utils.errors import UserError


def tell(what: str, act: Callable[[], object]) -> None:
    try:
        said = str(act())
    except UserError as error:
        said = f"{type(error).__name__}: {error}"
    print(json.dumps([what, said]), flush=True)


def loaded(name: str, again: Path) -> Path:
    return TrackNet.from_pretrained(name).save_pretrained(again)


def main() -> None:
    folder, again, cache = map(Path, sys.argv[1:])
    model = TrackNet.from_pretrained(folder)
    tell("first", lambda: model.push_to_hub("me/ball", token=WRITER, license="mit", message="first"))
    tell("second", lambda: model.push_to_hub("me/ball", token=WRITER, message="second"))
    tell("loaded", lambda: loaded("me/ball", again))
    (part,) = cache.glob("hub/models--me--ball/snapshots/*/model.safetensors")
    part.resolve().unlink()
    part.unlink()
    tell("completed", lambda: loaded("me/ball", again))
    for token in (STRANGER, READER, UNLUCKY):
        tell(token, lambda token=token: model.push_to_hub("me/other", token=token))  # type: ignore[misc]
    tell("absent", lambda: TrackNet.from_pretrained("me/none"))
    tell("empty", lambda: TrackNet.from_pretrained("me/other"))
    shutil.rmtree(cache, ignore_errors=True)


if __name__ == "__main__":
    main()
