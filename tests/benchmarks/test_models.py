"""The table of models: counted, and the one in docs/experiments.md is what is counted."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks import models
from tracknet.utils.config import load_config
from tracknet.utils.errors import UserError

CHECKOUT = Path(__file__).resolve().parent.parent.parent


def test_the_documentations_table_is_what_is_counted() -> None:
    text = (CHECKOUT / "docs" / "experiments.md").read_text()
    written = re.findall(
        r"^\| `(\w+)` \|[^|]*\| ([\d.]+) \| ([\d.]+) \| (\d+x\d+),", text, flags=re.MULTILINE
    )
    assert [name for name, *_ in sorted(written)] == models._all_models()
    for name, weights, gflops, maps in written:
        cost = models.cost_of(name, load_config(model=name))
        assert (f"{cost.parameters / 1e6:.2f}", f"{cost.gflops:.1f}") == (weights, gflops), name
        assert cost.maps.startswith(f"{maps},"), name


def test_work_is_that_of_its_convolutions() -> None:
    """One convolution of 3x3 to one map at the input's size: two operations a weight and cell."""
    overrides = [
        "data.resize=[64,32]",
        "model.decoder.detail_levels=1",
        "model.decoder.detail_channels=4",
        "model.decoder.upsample=[1]",
        "model.decoder.channels=[C,4]",
        "model.heatmap.size=[32,16]",
    ]
    config = load_config(model="detail_small", overrides=overrides)
    cost = models.cost_of("detail_small", config)
    cells = 32 * 16
    # The stem (15 channels to 4), the stage's 1x1, its 3x3 with the skip joined, and the head.
    weights = 9 * 15 * 4 + 4 * 4 + 9 * 8 * 4 + 4
    assert cost.gflops == pytest.approx(2 * weights * cells / 1e9)
    assert cost.trained == cost.parameters


def test_it_prints_a_line_a_model_and_names_what_cannot_be(capsys: pytest.CaptureFixture[str]) -> None:
    small = ["data.resize=[64,32]", "model.heatmap.size=[32,16]", "--speed", "--device", "cpu"]
    assert models.run(["detail_small", *small]) == 0
    printed = capsys.readouterr().out
    assert re.search(
        r"^\| `detail_small` \| 64x32 \| 0\.21 \| 0\.21 \| 0\.0 \| 32x16, 1 of 3 frames \| \d", printed, re.M
    )
    assert "on cpu in fp32" in printed
    with pytest.raises(UserError) as caught:
        models.run(["detail_small", "wasb", *small])
    assert len(caught.value.problems) == 1
    assert "wasb" in caught.value.problems[0]
    assert "`detail_small`" in capsys.readouterr().out
