"""What runs an exported file: chosen by device, and named where it is missing or the file is damaged."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tracknet.inference.exported_model import load_exported
from tracknet.utils.errors import RunError, UserError


def test_a_cut_onnx_file_is_named(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    (tmp_path / "cut.onnx").write_bytes(b"\x08\x0a\x12\x07pytorch\x3a\xff")
    with pytest.raises(RunError, match=r"cut\.onnx is damaged"):
        load_exported(tmp_path / "cut.onnx")


def test_an_onnx_file_of_somebody_else_is_named(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    onnx = pytest.importorskip("onnx")
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Identity", ["x"], ["y"])],
        "other",
        [value("x", onnx.TensorProto.FLOAT, [1, 3])],
        [value("y", onnx.TensorProto.FLOAT, [1, 3])],
    )
    model = onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9, producer_name="other"
    )
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(UserError, match=r"other\.onnx was not written by this software"):
        load_exported(tmp_path / "other.onnx", "cpu")


def test_without_onnxruntime_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    (tmp_path / "m.onnx").write_bytes(b"something")
    with pytest.raises(UserError, match=r'(?s)onnxruntime.*pip install .*"onnxruntime[<>]'):
        load_exported(tmp_path / "m.onnx")


def test_the_device_of_onnxruntime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ort = pytest.importorskip("onnxruntime")
    cpu, both = ["CPUExecutionProvider"], ["CUDAExecutionProvider", "CPUExecutionProvider"]
    path, asked = tmp_path / "m.onnx", []
    path.write_bytes(b"something")

    def session(path: str, options: object, *, providers: list[str]) -> None:
        asked.append(providers)
        raise RuntimeError("nothing is loaded here")

    monkeypatch.setattr(ort, "InferenceSession", session)
    for device, there, wanted in (
        ("auto", cpu, cpu),
        ("cpu", both, cpu),
        ("auto", both, both),
        ("cuda:0", both, both),
    ):
        monkeypatch.setattr(ort, "get_available_providers", lambda there=there: there)
        with pytest.raises(RunError, match="nothing is loaded here"):
            load_exported(path, device)
        assert asked.pop() == wanted, (device, there)
    monkeypatch.setattr(ort, "get_available_providers", lambda: cpu)
    with pytest.raises(UserError, match="onnxruntime-gpu"):
        load_exported(path, "cuda")
