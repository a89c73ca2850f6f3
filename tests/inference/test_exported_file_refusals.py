"""Exported files that are refused when they are loaded: damaged, foreign, or not what their metadata describe."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.inference.exportable import MakeModel, some_windows
from tracknet.inference import export_format
from tracknet.inference.export import export_file
from tracknet.inference.exported_model import ExportedModel, is_exported, load_exported
from tracknet.inference.heatmap_model import load_model
from tracknet.utils.errors import RunError, UserError


@pytest.fixture(scope="module")
def program(exportable: MakeModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = exportable()
    out = tmp_path_factory.mktemp("program") / "m.pt2"
    return export_file(model, out, some_windows(model, 2), format="torch-export").path


def test_frames_that_do_not_fit_are_refused(program: Path) -> None:
    loaded = load_exported(program, "cpu")
    with pytest.raises(TypeError, match="must be uint8"):
        loaded(torch.zeros(1, 3, 3, 32, 64))
    with pytest.raises(ValueError, match=r"\[1, 3, 3, 64, 32\], the model takes \[B, 3, 3, 32, 64\]"):
        loaded(torch.zeros(1, 3, 3, 64, 32, dtype=torch.uint8))


def test_files_that_are_no_export_of_ours(program: Path, tmp_path: Path) -> None:
    assert is_exported(program)
    assert is_exported("x/m.onnx")
    assert is_exported("x/M.ONNX")
    assert not is_exported("runs/x")
    with pytest.raises(UserError, match="there is no exported model"):
        load_exported(tmp_path / "absent.onnx")
    upper = tmp_path / "M.PT2"
    upper.write_bytes(program.read_bytes())
    assert isinstance(load_model(upper, device="cpu"), ExportedModel)
    (tmp_path / "other.zip").write_bytes(program.read_bytes())
    with pytest.raises(UserError, match=r"ends neither in \.onnx nor in \.pt2"):
        load_exported(tmp_path / "other.zip")
    (tmp_path / "cut.pt2").write_bytes(program.read_bytes()[:-500])
    with pytest.raises(RunError, match=r"cut\.pt2 is damaged"):
        load_exported(tmp_path / "cut.pt2")
    with zipfile.ZipFile(program) as whole:
        (weights,) = (
            entry for entry in whole.infolist() if entry.filename.endswith("/data/weights/weight_0")
        )
    flipped = bytearray(program.read_bytes())
    flipped[weights.header_offset + 1000] ^= 4
    (tmp_path / "flipped.pt2").write_bytes(flipped)
    with pytest.raises(RunError, match=r"flipped\.pt2 is damaged: .*weight_\d+ is not what was written"):
        load_exported(tmp_path / "flipped.pt2")
    foreign = torch.export.export(nn.Linear(2, 2), (torch.zeros(1, 2),))
    torch.export.save(foreign, tmp_path / "foreign.pt2")
    with pytest.raises(UserError, match="was not written by this software"):
        load_exported(tmp_path / "foreign.pt2")


def with_metadata(program: Path, changed: Callable[[dict[str, Any]], None], out: Path) -> Path:
    """A copy of a .pt2 whose metadata say something else."""
    with zipfile.ZipFile(program) as whole, zipfile.ZipFile(out, "w") as copy:
        for entry in whole.infolist():
            content = whole.read(entry)
            if entry.filename.endswith("/extra/tracknet.json"):
                plain = json.loads(content)
                changed(plain)
                content = json.dumps(plain).encode()
            copy.writestr(entry, content)
    return out


def test_a_program_is_the_one_that_its_metadata_describe(program: Path, tmp_path: Path) -> None:
    """Said at loading, and not in the middle of a video."""

    def told(changed: Callable[[dict[str, Any]], None]) -> tuple[str, ...]:
        with pytest.raises(UserError, match="is not the one that its metadata describe") as caught:
            load_exported(with_metadata(program, changed, tmp_path / "edited.pt2"), "cpu")
        return caught.value.problems

    same = with_metadata(program, lambda plain: None, tmp_path / "same.pt2")
    frames = torch.zeros(2, 3, 3, 32, 64, dtype=torch.uint8)
    assert torch.equal(load_exported(same, "cpu")(frames), load_exported(program, "cpu")(frames))
    takes = "it takes frames as uint8 [1, 3, 3, 32, 64], and by its metadata as uint8 "
    assert told(lambda plain: plain["saved"].update(input_size=[32, 64])) == (takes + "[1, 3, 3, 64, 32]",)
    assert told(lambda plain: plain["saved"].update(num_frames=1))[0] == takes + "[1, 1, 3, 32, 64]"
    assert told(lambda plain: plain.update(batch=None))[0] == takes + "[any, 3, 3, 32, 64]"
    assert told(lambda plain: plain.update(points=True)) == (
        "it gives logits, and by its metadata points_px",
        "it gives logits, and by its metadata scores",
    )
    assert told(lambda plain: plain["saved"]["model"]["heatmap"].update(size=[32, 8]))[0].startswith(
        "it gives logits as float32 ["
    )


def test_a_program_of_other_numbers_is_refused(program: Path, tmp_path: Path) -> None:
    class Halves(nn.Module):
        def forward(self, frames: torch.Tensor) -> tuple[torch.Tensor, ...]:
            logits = frames.float().mean(2)[:, :1, ::4, ::4].half()
            return logits, logits, logits, logits

    with zipfile.ZipFile(program) as whole:
        (name,) = (name for name in whole.namelist() if name.endswith("/extra/tracknet.json"))
        metadata = whole.read(name).decode()
    other = torch.export.export(Halves(), (torch.zeros(1, 3, 3, 32, 64, dtype=torch.uint8),))
    torch.export.save(other, tmp_path / "other.pt2", extra_files={"tracknet.json": metadata})
    with pytest.raises(UserError) as caught:
        load_exported(tmp_path / "other.pt2", "cpu")
    first, second = caught.value.problems
    assert first.startswith("it gives logits as float16 [1, 1, 8, 16], and by its metadata as float32 [1, ")
    assert second == "it gives logits, points_px, scores, output 3, and its metadata know logits alone"


def test_an_export_of_another_version_is_named(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_format, "EXPORT_VERSION", 2)
    with pytest.raises(UserError, match="is an export of version 1, this software reads 2"):
        load_exported(program)
