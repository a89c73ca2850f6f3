"""The experiments of configs/experiments: every row is a configuration, and a model that can be built."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

from tracknet.models.model import TrackNet
from tracknet.utils.config import load_config
from tracknet.utils.errors import UserError

CHECKOUT = Path(__file__).resolve().parent.parent.parent
EXPERIMENTS = sorted(path.stem for path in (CHECKOUT / "configs" / "experiments").glob("*.yaml"))


@pytest.fixture
def plan(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """`benchmarks/ablation_plan.py`, which is no part of the package."""
    monkeypatch.syspath_prepend(CHECKOUT / "benchmarks")
    import ablation_plan

    yield ablation_plan
    sys.modules.pop("ablation_plan", None)


@pytest.mark.parametrize("name", EXPERIMENTS)
@pytest.mark.parametrize("toy", [False, True])
def test_every_row_can_be_built(plan: ModuleType, name: str, toy: bool) -> None:
    experiment, rows = plan.read_experiment(name)
    wanted = plan.requests(experiment, rows, toy=toy)
    assert {request.row for request in wanted} == set(rows)
    assert len({request.name for request in wanted}) == len(wanted)
    assert {"tracknet_v2", "wasb"} <= set(experiment.reference) <= set(rows)
    for request in wanted:
        if request.seed != 0:
            continue
        if request.config().model.backbone.pretrained and not request.config().model.backbone.is_none:
            # Its shape is what counts here.
            kind = "dinov2" if "dinov2" in request.config().model.backbone.name else "vit"
            request = request.more(f"model.backbone.name={kind}", "model.backbone.pretrained=false")
        elif request.config().model.backbone.name == "facebook/dinov2-small":
            request = request.more("model.backbone.name=dinov2")
        config = request.config()
        size = config.data.resize
        assert size is not None
        with torch.device("meta"):
            model = TrackNet(config.model, input_size=size, num_frames=config.data.sequence.length)
        assert model.config.heatmap.size.width <= size.width, request.row


def test_rows_differ_as_their_file_says(plan: ModuleType) -> None:
    experiment, rows = plan.read_experiment("badminton")
    wanted = plan.requests(
        experiment,
        rows,
        only=["detail_frames", "detail_small"],
        seeds=[3, 4],
        steps=7,
        overrides=["training.batch_size=2"],
    )
    assert [(request.row, request.seed) for request in wanted] == [
        ("detail_small", 3),
        ("detail_frames", 3),
        ("detail_small", 4),
        ("detail_frames", 4),
    ]
    configs = [request.config() for request in wanted]
    assert {(c.training.max_steps, c.training.batch_size) for c in configs} == {(7, 2)}
    assert [c.training.seed for c in configs] == [3, 3, 4, 4]
    assert [c.model.decoder.detail_input for c in configs[:2]] == ["frames_and_differences", "frames"]
    again = plan.requests(experiment, rows, only=["detail_small"], seeds=[3], steps=8)
    assert again[0].name != wanted[0].name


def test_a_backbones_folder_reaches_its_rows_alone(plan: ModuleType) -> None:
    experiment, rows = plan.read_experiment("badminton")
    wanted = plan.requests(experiment, rows, weights={"facebook/dinov2-small": "here/dinov2"})
    for request in wanted:
        base = load_config(model=request.model).model.backbone
        expected = "here/dinov2" if base.name == "facebook/dinov2-small" else base.name
        assert request.config().model.backbone.name == expected


def test_wrong_rows_are_all_named(plan: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "rows:\n  a: {model: vit_tinny}\n  b: {model: vit_tiny, overrides: [model.hed.maps=all]}\n"
    )
    with pytest.raises(UserError) as caught:
        plan.requests(*plan.read_experiment(str(path)))
    assert "vit_tiny" in str(caught.value)
    assert "model.head" in str(caught.value)
    with pytest.raises(UserError, match="there is no row c"):
        plan.requests(*plan.read_experiment(str(path)), only=["c"])
    with pytest.raises(UserError, match="did you mean badminton"):
        plan.read_experiment("badmington")
