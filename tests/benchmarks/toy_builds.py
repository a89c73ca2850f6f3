"""As much of builds and runs as the ablation looks at."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.ablation.experiment import read_experiment
from benchmarks.ablation.plan import requests
from benchmarks.ablation.request import Request
from tracknet.datasets.manifest import Manifest
from tracknet.datasets.schema import MANIFEST_NAME
from tracknet.utils.geometry import Size

BUILD_ID = "1111aaaa" * 8
GAMES = {"train": [f"match{n}" for n in (1, 2, 3, 4, 5, 7)], "val": ["match6", "match8"]}


def built(folder: Path, games: dict[str, list[str]], size: Size = Size(512, 288)) -> Path:
    """As much of a build as is looked at: its manifest."""
    manifest = Manifest(
        build_id=BUILD_ID,
        image_size=size,
        config={},
        games=games,
        shards=(),
        index_sha256="0" * 64,
        totals={},
    )
    folder.mkdir()
    (folder / MANIFEST_NAME).write_text(manifest.to_json())
    return folder


def trained(request: Request, work: Path, *, build_id: str = BUILD_ID) -> Path:
    """As much of a run with a checkpoint as is looked at, of shards in `work` that are there too."""
    if not (work / "shards").exists():
        built(work / "shards", GAMES)
    run = work / request.name
    (run / "checkpoints" / "last").mkdir(parents=True)
    (run / "run.json").write_text(json.dumps({"dataset": {"build_id": build_id}}))
    return run


def asked(experiment: str = "badminton", *overrides: str) -> Request:
    (request,) = requests(*read_experiment(experiment), only=["detail_small"], seeds=[0], overrides=overrides)
    return request
