"""The training benchmark at toy size: its rows are the settings that they name, its figures what torch counts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks import train
from benchmarks.device_speed import data_sheet_flops, flops_per_window, kept_for_backward
from benchmarks.train_rows import CPU_ROWS, GPU_ROWS, overrides_of
from tests.conftest import SMALL
from tracknet.models.model import TrackNet
from tracknet.utils.config import load_config
from tracknet.utils.errors import UserError
from tracknet.utils.geometry import Size

# One halving and one stage of factor 1.
PLAIN_NET = (
    "model.decoder.channels=[C,4]",
    "model.decoder.upsample=[1]",
    "model.decoder.detail_levels=1",
    "model.decoder.detail_channels=4",
)
TOY = [setting for setting in SMALL if setting.startswith("model.")]


def test_rows_are_the_settings_that_they_name() -> None:
    def training(row: str) -> object:
        return load_config(model="vit_tiny", overrides=overrides_of(row)).training

    base, default = training("base"), load_config(model="vit_tiny").training
    assert training("default") == default
    assert (base.amp, base.speed.attention, base.compile) == ("off", "eager", "off")  # type: ignore[attr-defined]
    assert not base.speed.channels_last  # type: ignore[attr-defined]
    assert training("base+bf16-bf16") == base
    assert training("default-sdpa").speed.attention == "eager"  # type: ignore[attr-defined]
    assert training("all").compile == "default"  # type: ignore[attr-defined]
    assert all(overrides_of(row) or row == "default" for row in (*CPU_ROWS, *GPU_ROWS))
    for row in ("bsae", "base+sdap", "base sdpa", "base+"):
        with pytest.raises(UserError, match="there is no row"):
            overrides_of(row)


def test_what_is_kept_for_the_backward_pass_is_counted_once() -> None:
    x = torch.ones(1000, requires_grad=True)
    # exp keeps its result; the product keeps the same, twice, and the other factor, which is x.
    kept = kept_for_backward(lambda: (x.exp() * x).sum().backward())
    assert kept == 2 * 4000
    assert kept_for_backward(lambda: nn.Identity()(x).sum().backward()) == 0


def test_operations_are_the_layers_own() -> None:
    config = load_config(model="detail_small", overrides=["model.heatmap.size=[16,16]", *PLAIN_NET])
    model = TrackNet(config.model, input_size=Size(32, 32), num_frames=1)
    # Convolutions: twice a product and an addition for each weight and cell forward, and twice that backward, but for
    # the first one, whose input needs no gradient.
    stem, up, stage, head = 3 * 4 * 9 * 16**2, 4 * 4 * 16**2, (4 + 4) * 4 * 9 * 16**2, 4 * 16**2
    assert flops_per_window(model) == 2 * (2 * stem + 3 * (up + stage + head))


@pytest.mark.parametrize(
    ("name", "flops"),
    [
        ("NVIDIA H200", 989e12),
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("A100-PCIE-40GB", 312e12),
        ("NVIDIA H200 NVL", None),
        ("NVIDIA H200 MIG 1g.18gb", None),
        ("NVIDIA A100-SXM4-80GB MIG 1g.10gb", None),
    ],
)
def test_a_data_sheet_is_of_the_product_of_that_name(name: str, flops: float | None) -> None:
    assert data_sheet_flops(name) == flops


def test_a_row_is_measured_by_the_peak_of_what_it_computes_in(
    small_shards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    peaks = {torch.float32: 1e9, torch.bfloat16: 4e9}
    monkeypatch.setattr("benchmarks.device_speed.matmul_flops", lambda device, dtype, size: peaks[dtype])
    args = train.parse(
        ["--shards", str(small_shards), "--rows", "base,base+bf16", "--resize", "96", "48", *TOY]
    )
    args.device, args.batch, args.rounds, args.steps, args.workers = torch.device("cpu"), 2, 1, 1, 0
    lines = train.measure(args, "vit_tiny", str(small_shards), train.SIZES["small"])
    (head,) = (line for line in lines if "GFLOP a window" in line)
    assert "4 GFLOP/s, a bfloat16 product" in head and "1 GFLOP/s, a float32 product" in head
    cells = [[cell.strip() for cell in line.split("|")] for line in lines if line.startswith("| base")]
    # The same operations a window: what a share says of a window/s is the peak's inverse.
    base, bf16 = (float(share.rstrip("%")) / float(rate.split()[0]) for _, _, rate, _, _, share, *_ in cells)
    assert base / bf16 == pytest.approx(4, rel=0.02)


def test_a_run_of_seconds(small_shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "results" / "toy.md"
    arguments = ["--model", "vit_tiny", "--rows", "base,default+checkpointing", "--shards"]
    arguments += [
        str(small_shards),
        "--resize",
        "96",
        "48",
        "--rounds",
        "2",
        "--steps",
        "1",
        "--warm-up",
        "1",
    ]
    arguments += ["--batch", "4", "--device", "cpu", "--threads", "1", "--workers", "0", "--out", str(out)]
    assert train.run([*arguments, *TOY, "data.augment.enabled=false"]) == 0
    text = out.read_text()
    assert text.strip() == capsys.readouterr().out.strip()
    rows = re.findall(
        r"^\| (\S+) \| ([\d.]+) \(.*\) \| ([\d.]+) \| .*% \| [\d.]+% \| (\d+) MiB \| ([\d.]+) \|$", text, re.M
    )
    assert [row[0] for row in rows] == ["base", "default+checkpointing"]
    assert all(float(row[1]) > 0 for row in rows)
    assert rows[0][2] == "1.00"
    losses = [float(row[4]) for row in rows]
    assert losses == pytest.approx([losses[0]] * 2, abs=2e-4)
    assert "2 rounds of 1 timed steps" in text
    assert "Attention of `base`: no fused kernel ran." in text


def test_a_row_that_cannot_be_had_does_not_end_the_others(
    small_shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    arguments = [
        "--model",
        "vit_tiny",
        "--rows",
        "base,base+compile",
        "--shards",
        str(small_shards),
        "--resize",
    ]
    arguments += [
        "96",
        "48",
        "--rounds",
        "1",
        "--steps",
        "1",
        "--warm-up",
        "0",
        "--batch",
        "4",
        "--device",
        "cpu",
    ]
    assert train.run([*arguments, "--threads", "1", "--workers", "0", *TOY]) == 0
    text = capsys.readouterr().out
    assert "| base+compile | not had: training.compile cannot be had on this machine |" in text
    assert re.search(r"^\| base \| [\d.]+ \(", text, re.M)


def test_a_wrong_row_is_refused_before_anything_is_built(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"there is no row base\+sdap"):
        train.run(["--rows", "base,base+sdap", "--work", str(tmp_path / "work")])
    assert not (tmp_path / "work").exists()
