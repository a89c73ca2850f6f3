"""An ONNX file that is not as it was exported is refused before it is believed."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from tracknet.inference.graph_runtimes import OnnxGraph
from tracknet.inference.onnx_seal import check_seal, seal
from tracknet.utils.errors import RunError

PAGE = Path(__file__).resolve().parents[2] / "docs" / "export.md"
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """A file without a checksum: x + [1, 2]."""
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])],
        [numpy_helper.from_array(np.array([1, 2], np.float32), "w")],
    )
    model = helper.make_model(graph, ir_version=9, opset_imports=[helper.make_opsetid("", 18)])
    helper.set_model_props(model, {"tracknet": "{}"})
    onnx.save(model, tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


@pytest.fixture
def sealed(plain: Path) -> Path:
    seal(plain)
    return plain


def test_a_sealed_file_is_an_onnx_file_as_any_other(plain: Path) -> None:
    before = onnx.load(plain)
    assert not check_seal(plain)
    assert OnnxGraph(plain, "cpu").metadata == "{}"  # as files of earlier versions are
    seal(plain)
    assert check_seal(plain)
    after = onnx.load(plain)
    onnx.checker.check_model(after)
    assert after.graph == before.graph
    assert [entry.key for entry in after.metadata_props] == ["tracknet", "tracknet_crc32"]
    assert OnnxGraph(plain, "cpu").metadata == "{}"


def test_every_bit_of_it_is_covered(sealed: Path) -> None:
    content = sealed.read_bytes()
    digits = 8 * 8
    before_seal = 8 * content.rindex(b"\x72\x1a")
    # Without the entry's name there is no checksum, as in files of earlier versions; nothing else has changed then.
    for bit in [*range(before_seal), *range(8 * len(content) - digits, 8 * len(content))]:
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        sealed.write_bytes(flipped)
        with pytest.raises(RunError, match=r"model\.onnx is damaged, or was changed: it has the checksum"):
            OnnxGraph(sealed, "cpu")


def test_nothing_is_no_sealed_file(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").touch()
    assert not check_seal(tmp_path / "m.onnx")


@pytest.mark.parametrize("adds", [False, True])
def test_weights_that_another_program_changed_are_told_of_and_may_be_kept(
    sealed: Path, monkeypatch: pytest.MonkeyPatch, adds: bool
) -> None:
    model = onnx.load(sealed)
    model.graph.initializer[0].raw_data = np.array([3, 4], np.float32).tobytes()
    if adds:  # behind ours, as tools do that leave a note of what they did
        model.metadata_props.add(key="quantized", value="yes")
    onnx.save(model, sealed)
    said = "was written anew by another program" if adds else "is damaged, or was changed"
    with pytest.raises(RunError, match=said) as caught:
        OnnxGraph(sealed, "cpu")
    assert "take the entry tracknet_crc32 out of its metadata (docs/export.md shows how)" in str(caught.value)
    (shown,) = re.findall(r"```python\n(import onnx\n.*?)```", PAGE.read_text(), flags=re.DOTALL)
    monkeypatch.chdir(sealed.parent)
    exec(shown, {})
    graph = OnnxGraph(sealed, "cpu")
    (found,) = graph._session.run(["y"], {"x": np.zeros(2, np.float32)})
    assert found.tolist() == [3, 4]
