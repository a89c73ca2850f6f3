"""The experiments of configs/experiments: every row is a configuration, and a model that can be built."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks.ablation.experiment import read_experiment
from benchmarks.ablation.plan import requests
from benchmarks.ablation.request import _composed
from tracknet.models.model import TrackNet
from tracknet.utils.errors import UserError
from tracknet.utils.settings import BackboneConfig

CHECKOUT = Path(__file__).resolve().parent.parent.parent
EXPERIMENTS = sorted(path.stem for path in (CHECKOUT / "configs" / "experiments").glob("*.yaml"))


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_row_can_be_built(name: str) -> None:
    experiment, rows = read_experiment(name)
    wanted = requests(experiment, rows, seeds=[0])
    assert [request.row for request in wanted] == list(rows)
    assert experiment.reference
    assert set(experiment.reference) <= set(rows)
    for request in wanted:
        config = request.config()
        backbone = config.model.backbone
        if not backbone.is_none:
            # Sizes are what counts here, and a ViT of one layer has the same.
            kind = "dinov2" if "dinov2" in backbone.name else "vit"
            backbone = BackboneConfig(name=kind, pretrained=False, config={"num_hidden_layers": 1})
        size = config.data.resize
        assert size is not None
        with torch.device("meta"):
            model = TrackNet(
                replace(config.model, backbone=backbone),
                input_size=size,
                num_frames=config.data.sequence.length,
            )
        assert model.config.heatmap.size.width <= size.width, request.row


def test_a_rehearsal_asks_for_nothing_large() -> None:
    rows = ["dinov2_small", "dinov2_larger", "wasb", "detail_full_size", "detail_quarter"]
    for request in requests(*read_experiment("badminton"), only=rows, toy=True):
        config = request.config()
        assert config.data.resize is not None
        assert config.data.resize.width <= 96
        assert config.model.heatmap.size.width <= config.data.resize.width
        assert config.training.max_steps == 2
        assert config.model.backbone.is_none or not config.model.backbone.pretrained


def test_rows_differ_as_their_file_says() -> None:
    experiment, rows = read_experiment("badminton")
    wanted = requests(
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
    again = requests(experiment, rows, only=["detail_small"], seeds=[3], steps=8)
    assert again[0].name != wanted[0].name


def written(tmp_path: Path, text: str) -> str:
    (tmp_path / "mine.yaml").write_text(text)
    return str(tmp_path / "mine.yaml")


def test_a_row_has_steps_of_its_own(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "steps: 400\nrows:\n  short: {model: detail_small}\n  long: {model: detail_small, steps: 8000}\n",
    )
    wanted = requests(*read_experiment(path))
    assert [request.config().training.max_steps for request in wanted] == [400, 8000]
    # A command's steps are those of every row: a trial of a few steps is one.
    tried = requests(*read_experiment(path), steps=3)
    assert [request.config().training.max_steps for request in tried] == [3, 3]
    assert {
        request.config().training.max_steps for request in requests(*read_experiment(path), toy=True)
    } == {2}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("overrides: [training.max_steps=8000]", "say `steps: N` in the row"),
        ("steps: 0", "must be at least 1"),
        ("steps: 2.5", "needs a whole number"),
    ],
)
def test_steps_that_would_not_count_are_refused(tmp_path: Path, row: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        read_experiment(written(tmp_path, f"rows:\n  a: {{model: detail_small, {row}}}\n"))
    assert message in str(caught.value)


def test_a_row_begins_with_what_its_base_says(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        """
        overrides: [training.batch_size=4]
        rows:
          a: {base: b, overrides: [model.head.maps=all], seeds: [5]}
          b: {base: c, model: vit_tiny, overrides: [model.heatmap.sigma=3.0], steps: 9, about: "b"}
          c: {model: detail_small, overrides: [model.heatmap.sigma=1.5, model.heatmap.decode=argmax]}
          d: {base: c}
        """,
    )
    experiment, rows = read_experiment(path)
    wanted = {request.row: request.config() for request in requests(experiment, rows)}
    every = {
        row: (config.model.backbone.name, config.model.head.maps, config.model.heatmap.sigma)
        for row, config in wanted.items()
    }
    assert every == {
        "a": ("vit", "all", 3.0),
        "b": ("vit", "one", 3.0),
        "c": ("none", "one", 1.5),
        "d": ("none", "one", 1.5),
    }
    assert {(c.model.heatmap.decode, c.training.batch_size) for c in wanted.values()} == {("argmax", 4)}
    # Seeds and words are of the row that says them; steps are the base's.
    assert (rows["a"].seeds, rows["a"].steps, rows["a"].about) == ((5,), 9, "")
    # The same request by any way of writing it: what was measured is not measured again.
    spelt = (
        "rows: {d: {model: detail_small, overrides: [model.heatmap.sigma=1.5, model.heatmap.decode=argmax]}}"
    )
    again = requests(*read_experiment(written(tmp_path, f"overrides: [training.batch_size=4]\n{spelt}")))
    assert again == [request for request in requests(experiment, rows) if request.row == "d"]


def test_bases_that_cannot_be_are_all_named(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        read_experiment(
            written(
                tmp_path,
                "rows: {a: {base: b}, b: {base: c}, c: {base: b}, e: {base: e}, one: {base: onne}, onme: {}}",
            )
        )
    assert caught.value.problems == (
        "b: base: b -> c -> b is a circle",
        "c: base: c -> b -> c is a circle",
        "e: base: e -> e is a circle",
        "one: base: there is no row 'onne' (did you mean one?)",
    )


def test_wrong_rows_are_all_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "rows:\n  a: {model: vit_tinny}\n  b: {model: vit_tiny, overrides: [model.hed.maps=all]}\n"
    )
    with pytest.raises(UserError) as caught:
        requests(*read_experiment(str(path)))
    assert "vit_tiny" in str(caught.value)
    assert "model.head" in str(caught.value)
    with pytest.raises(UserError, match="there is no row c"):
        requests(*read_experiment(str(path)), only=["c"])
    with pytest.raises(UserError, match="did you mean badminton"):
        read_experiment("badmington")


def test_an_edited_config_is_another_request(tmp_path: Path) -> None:
    model = tmp_path / "mine.yaml"
    (tmp_path / "one.yaml").write_text(f"rows:\n  a: {{model: {model}}}\n")
    names = []
    for levels in (3, 3, 2):
        _composed.cache_clear()
        model.write_text(f"backbone: {{name: none}}\ndecoder: {{detail_levels: {levels}}}\n")
        (request,) = requests(*read_experiment(str(tmp_path / "one.yaml")))
        names.append(request.name)
    assert names[0] == names[1] != names[2]
