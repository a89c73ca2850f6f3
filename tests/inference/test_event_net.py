"""The events net: its numbers against torch's, its file, and files that are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tracknet.inference.event_features import NUM_FEATURES
from tracknet.inference.event_net import MODEL_FILE, EventNet, read_net, shipped_net
from tracknet.utils.errors import RunError


def random_net(features: int = NUM_FEATURES) -> EventNet:
    rng = np.random.default_rng(0)
    shapes = {
        "w1": (2, features, 8),
        "b1": (2, 8),
        "w2": (2, 8, 8),
        "b2": (2, 8),
        "w3": (2, 8, 3),
        "b3": (2, 3),
    }
    weights = {name: rng.normal(0, 0.3, shape).astype(np.float32) for name, shape in shapes.items()}
    return EventNet(weights, {"hit": 0.3, "bounce": 0.4}, {"trained_on": "nothing"})


def test_probabilities_are_torchs() -> None:
    net = random_net()
    features = np.random.default_rng(1).normal(size=(50, NUM_FEATURES)).astype(np.float32)
    w = {name: torch.from_numpy(value) for name, value in net.weights.items()}
    hidden = torch.relu(torch.einsum("mf,efh->emh", torch.from_numpy(features), w["w1"]) + w["b1"][:, None])
    hidden = torch.relu(torch.einsum("emh,ehk->emk", hidden, w["w2"]) + w["b2"][:, None])
    logits = torch.einsum("emh,eho->emo", hidden, w["w3"]) + w["b3"][:, None]
    expected = torch.softmax(logits, dim=-1).mean(dim=0).numpy()
    np.testing.assert_allclose(net.probabilities(features), expected, atol=1e-5)


def test_a_net_comes_back_from_its_file(tmp_path: Path) -> None:
    net = random_net()
    net.save(tmp_path / "net.safetensors")
    back = read_net(tmp_path / "net.safetensors")
    assert back.thresholds == net.thresholds
    assert back.about == net.about
    features = np.random.default_rng(1).normal(size=(50, NUM_FEATURES)).astype(np.float32)
    np.testing.assert_allclose(back.probabilities(features), net.probabilities(features), atol=0.01)


def test_the_net_that_is_shipped() -> None:
    assert MODEL_FILE.stat().st_size < 300_000
    net = shipped_net()
    assert net is shipped_net()
    assert set(net.thresholds) == {"hit", "bounce"}
    assert "games 1-7" in str(net.about["trained_on"])
    nothing = net.probabilities(np.zeros((1, NUM_FEATURES), np.float32))
    assert nothing.sum() == pytest.approx(1, abs=1e-5)


def test_a_net_for_other_features_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "old.safetensors"
    random_net(features=150).save(path)
    with pytest.raises(RunError, match="an events model of another version") as caught:
        read_net(path)
    assert caught.value.problems == (f"w1 is [2, 150, 8], must be [2, {NUM_FEATURES}, 8]",)


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x08\x00\x00\x00\x00\x00\x00\x00{}      "])
def test_a_file_that_is_no_net_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "net.safetensors"
    path.write_bytes(content)
    with pytest.raises(RunError, match="cannot be read as an events model"):
        read_net(path)


def test_no_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"none\.safetensors: cannot be read"):
        read_net(tmp_path / "none.safetensors")
