"""Models as one file: the same numbers, all that a predictor needs, and nothing kept that is not the same."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.inference.exportable import MakeModel, some_windows
from tests.models.conftest import draw_frames
from tracknet.inference import export, export_graph
from tracknet.inference.export import export_file
from tracknet.inference.export_graph import write_program
from tracknet.inference.exported_model import load_exported
from tracknet.utils.errors import RunError, UserError
from tracknet.utils.geometry import Size
from tracknet.utils.heatmap import DECODERS, locate

CHECKOUT = Path(__file__).resolve().parent.parent.parent


def check_the_documentation(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The examples of docs/export.md, one by another program's means and one by ours, agree."""
    text = (CHECKOUT / "docs" / "export.md").read_text()
    by_others, by_us, *_ = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    path.with_name("NAME.onnx").symlink_to(path)
    monkeypatch.chdir(path.parent)
    names: dict[str, Any] = {}
    exec(by_others, names)
    theirs = names["logits"]
    exec(by_us, names)
    assert (names["logits"].numpy() == theirs).all()
    assert (names["scores"].numpy() >= names["model"].score_threshold).tolist() == names["found"].tolist()


def check_names(path: Path) -> None:
    """What another program sees of the DINOv2 variant."""
    import onnxruntime as ort

    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert [(i.name, i.shape, i.type) for i in session.get_inputs()] == [
        ("frames", ["batch", 3, 3, 28, 56], "tensor(uint8)")
    ]
    assert [(o.name, o.shape, o.type) for o in session.get_outputs()] == [
        ("logits", ["batch", 1, 8, 16], "tensor(float)"),
        ("points_px", ["batch", 1, 2], "tensor(float)"),
        ("scores", ["batch", 1], "tensor(float)"),
    ]


def check_metadata_of_another_graph(path: Path) -> None:
    """Said at loading, with both, where the metadata were edited or copied from another file."""
    import onnx

    def told(**changed: Any) -> tuple[str, ...]:
        graph = onnx.load(path)
        (meta,) = (prop for prop in graph.metadata_props if prop.key == "tracknet")
        plain = json.loads(meta.value)
        plain["saved"]["model"]["heatmap"]["size"] = changed.pop(
            "heatmap", plain["saved"]["model"]["heatmap"]["size"]
        )
        plain["batch"] = changed.pop("batch", plain["batch"])
        plain["saved"].update(changed)
        meta.value = json.dumps(plain)
        del graph.metadata_props[-1]  # the checksum
        onnx.save(graph, path.with_name("edited.onnx"))
        with pytest.raises(UserError) as caught:
            load_exported(path.with_name("edited.onnx"))
        return caught.value.problems

    takes = "it takes frames as uint8 [any, 3, 3, 28, 56], and by its metadata as uint8 "
    assert told(input_size=[64, 32]) == (takes + "[any, 3, 3, 32, 64]",)
    assert told(num_frames=5) == (takes + "[any, 5, 3, 28, 56]",)
    assert told(heatmap=[32, 8]) == (
        "it gives logits as float32 [any, 1, 8, 16], and by its metadata as float32 [any, 1, 8, 32]",
    )
    assert told(batch=4)[0] == takes + "[4, 3, 3, 28, 56]"
    assert told(std=[0, 0, 0], frame_stride=0) == (
        "frame_stride must be at least 1, got 0",
        "std must be above 0, got [0.0, 0.0, 0.0]",
    )


def check_damage(path: Path) -> None:
    """A bit of the weights and one of the metadata, both of which onnxruntime reads without a word."""
    content = path.read_bytes()
    for place in (len(content) // 2, content.index(b'"score_threshold": ') + 20):
        flipped = bytearray(content)
        flipped[place] ^= 1
        path.with_name("flipped.onnx").write_bytes(flipped)
        with pytest.raises(RunError, match=r"flipped\.onnx is damaged, or was changed"):
            load_exported(path.with_name("flipped.onnx"), "cpu")


# Format, backbone, patch, model options, export options.
VARIANTS: list[tuple[str, str, int, dict[str, Any], dict[str, Any]]] = [
    # Position embeddings interpolated from another grid; any batch; float32.
    ("onnx", "dinov2", 14, {"frames": 3}, {"dynamic_batch": True, "points": True}),
    # RoPE and registers, two depths, a map per frame, attention over time, a sub-pixel head; float16 weights.
    (
        "onnx",
        "dinov3_vit",
        16,
        {"maps": "all", "fusion": "attention", "depth": 2, "layers": (1, 2), "subpixel": 2},
        {"half": True, "points": True},
    ),
    # Learned embeddings of its own size, a weighted sum of two depths; a single frame.
    (
        "torch-export",
        "vit",
        8,
        {"frames": 1, "up": "interpolate", "depth": 2, "layers": (1, 2), "layer_fusion": "sum"},
        {"dynamic_batch": True},
    ),
]


@pytest.mark.parametrize(
    ("format", "kind", "patch", "options", "how"), VARIANTS, ids=[v[1] for v in VARIANTS]
)
def test_a_file_says_what_its_model_says(
    exportable: MakeModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    format: str,
    kind: str,
    patch: int,
    options: dict[str, Any],
    how: dict[str, Any],
) -> None:
    if format == "onnx":
        pytest.importorskip("onnxscript")
        pytest.importorskip("onnxruntime")
    model = exportable(kind, patch, **options)
    suffix = {"onnx": ".onnx", "torch-export": ".pt2"}[format]
    done = export_file(model, tmp_path / "deep" / f"m{suffix}", some_windows(model), format=format, **how)

    assert [path.name for path in done.path.parent.iterdir()] == [f"m{suffix}"]
    assert done.agreement.maps == done.agreement.reported == 6 * model.num_maps
    assert done.agreement.points_px == 0.0  # of the same cell, and no other cell is as high
    half = how.get("half", False)
    assert done.agreement.probability < (0.05 if half else 1e-4)

    loaded = load_exported(str(done.path), "cpu").eval()
    frames = draw_frames(model, batch=5)  # more than any graph was traced with
    with torch.no_grad():
        expected = model(frames)
    logits = loaded(frames)
    assert (logits.dtype, logits.shape) == (torch.float32, expected.shape)
    assert (logits - expected).abs().max() < (1.0 if half else 1e-3)
    outputs = loaded.outputs(frames)
    assert len(outputs) == (3 if how.get("points") else 1)
    if how.get("points"):
        xy, score = model.decode(outputs[0])
        assert (outputs[1] - xy).abs().max() < 1e-3
        assert (outputs[2] - score).abs().max() < 1e-5

    for name in ("input_size", "num_frames", "frame_stride", "anchor", "sequence", "map_frames", "num_maps"):
        assert getattr(loaded, name) == getattr(model, name), name
    for name in ("score_threshold", "provenance", "config"):
        assert getattr(loaded, name) == getattr(model, name), name
    assert isinstance(loaded.input_size, Size)
    # Neither this machine's folders nor those of the installed packages travel with it.
    content = done.path.read_bytes()
    if how == {"dynamic_batch": True, "points": True}:
        check_names(done.path)
        check_damage(done.path)
        check_metadata_of_another_graph(done.path)
        check_the_documentation(done.path, monkeypatch)
    assert str(CHECKOUT).encode() not in content
    assert b"site-packages" not in content


class EveryDecoder(nn.Module):
    def forward(self, logits: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(locate(logits, name, 1.5, Size(256, 144))[0] for name in DECODERS)


def test_every_decoder_works_in_a_graph(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    ort = pytest.importorskip("onnxruntime")
    from tests.gaussians import draw_gaussian
    from tracknet.utils.heatmap import logits_of

    maps = torch.zeros(6, 2, 36, 64)
    centres = torch.rand(6, 2, 2, generator=torch.Generator().manual_seed(3)) * torch.tensor([63.0, 35.0])
    centres[0, 0], centres[0, 1] = torch.tensor([0.2, 0.1]), torch.tensor([62.8, 34.9])  # corners
    for number in range(6):
        for m in range(2):
            x, y = centres[number, m].tolist()
            draw_gaussian(maps[number, m].numpy(), x, y, 1.5)
    logits = logits_of(maps * 0.95)
    with export_graph._quiet():
        program = torch.onnx.export(
            EveryDecoder(),
            (logits[:2],),
            dynamo=True,
            external_data=False,
            verbose=False,
            dynamic_shapes=({0: "batch"},),
        )
    assert program is not None
    program.save(tmp_path / "d.onnx", external_data=False)
    session = ort.InferenceSession(str(tmp_path / "d.onnx"), providers=["CPUExecutionProvider"])
    found = session.run(None, {session.get_inputs()[0].name: logits.numpy()})
    truth = (centres + 0.5) * 4 - 0.5
    for name, xy in zip(DECODERS, found, strict=True):
        expected, _ = locate(logits, name, 1.5, Size(256, 144))
        assert (torch.from_numpy(xy) - expected).abs().max() < 1e-3, name
        assert (torch.from_numpy(xy) - truth).abs().max() < (2.01 if name == "argmax" else 0.1), name


def test_a_file_that_says_something_else_is_not_kept(
    exportable: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoiled(graph: Any, metadata: Any, path: Path) -> None:
        graph.model.head.conv.weight.neg_()
        write_program(graph, metadata, path)

    monkeypatch.setitem(export.WRITERS, "torch-export", spoiled)
    model, out = exportable(), tmp_path / "m.pt2"
    out.write_text("the old one")
    with pytest.raises(RunError) as caught:
        export_file(model, out, some_windows(model), format="torch-export", overwrite=True)
    text = str(caught.value)
    assert "was not kept: on drawn frames it says something else than the model" in text
    assert "px apart, at most 0.01 px is allowed" in text
    assert [path.name for path in tmp_path.iterdir()] == ["m.pt2"]
    assert out.read_text() == "the old one"


def test_what_is_there_is_not_replaced_unasked(exportable: MakeModel, tmp_path: Path) -> None:
    model, out = exportable(), tmp_path / "m.onnx"
    out.write_text("mine")
    with pytest.raises(UserError, match="is there already"):
        export_file(model, out, some_windows(model, 1))
    assert out.read_text() == "mine"
    with pytest.raises(UserError, match=r"torch-export ends in \.pt2"):
        export_file(model, out, some_windows(model, 1), format="torch-export")


@pytest.mark.parametrize("missing", ["onnx", "onnxscript"])
def test_without_the_packages_it_says_what_to_install(
    exportable: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    model = exportable()
    with pytest.raises(UserError, match=r'pip install "onnx[<>]'):
        export_file(model, tmp_path / "m.onnx", some_windows(model, 1))
    assert not list(tmp_path.iterdir())


def test_more_than_an_onnx_file_holds_is_refused(
    exportable: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxscript")
    monkeypatch.setattr(export_graph, "_MOST_ONNX_BYTES", 1000)
    model = exportable()
    with pytest.raises(UserError, match=r"torch-export has no such limit, --half halves them"):
        export_file(model, tmp_path / "m.onnx", some_windows(model, 1))
    assert not list(tmp_path.iterdir())
