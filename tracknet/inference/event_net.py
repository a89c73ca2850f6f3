"""The trained net that tells hits and bounces from the rest: a few small perceptrons, run by numpy.

`benchmarks/events.py` trains it and writes `event_model.safetensors` beside this file. The file's own metadata
says from which labels, with which settings and to which figures.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tracknet.inference.event_features import NUM_FEATURES, Float32Array
from tracknet.utils.errors import RunError
from tracknet.utils.files import replace_file

MODEL_FILE = Path(__file__).with_name("event_model.safetensors")
OUTPUTS = ("none", "hit", "bounce")
_SHAPES = {"w1": "EFH", "b1": "EH", "w2": "EHH", "b2": "EH", "w3": "EHO", "b3": "EO"}


@dataclass(frozen=True, slots=True)
class EventNet:
    """Perceptrons of two hidden layers, whose probabilities are averaged.

    Attributes:
        weights: `w1 [E, F, H]`, `b1 [E, H]`, `w2 [E, H, H]`, `b2 [E, H]`, `w3 [E, H, 3]`, `b3 [E, 3]`, float32,
            for E members, F features, H units.
        thresholds: the probability from which a hit, and a bounce, is reported.
        about: where the net comes from, plain values.

    """

    weights: Mapping[str, Float32Array]
    thresholds: Mapping[str, float]
    about: Mapping[str, Any]

    def probabilities(self, features: Float32Array) -> Float32Array:
        """float32 [M, NUM_FEATURES] -> float32 [M, 3]: nothing, hit, bounce; they sum to 1."""
        w = self.weights
        total = np.zeros((len(features), len(OUTPUTS)), np.float32)
        for member in range(len(w["w1"])):
            hidden = np.maximum(features @ w["w1"][member] + w["b1"][member], 0.0)
            hidden = np.maximum(hidden @ w["w2"][member] + w["b2"][member], 0.0)
            logits = hidden @ w["w3"][member] + w["b3"][member]
            odds = np.exp(logits - logits.max(axis=1, keepdims=True))
            total += odds / odds.sum(axis=1, keepdims=True)
        return total / np.float32(len(w["w1"]))

    def save(self, path: Path) -> None:
        """Writes one file, in half precision, which moves a probability by under 0.01."""
        from safetensors.numpy import save

        halves = {name: np.ascontiguousarray(value, np.float16) for name, value in self.weights.items()}
        told = {"thresholds": dict(self.thresholds), "about": dict(self.about)}
        replace_file(path, save(halves, metadata={"event_net": json.dumps(told)}))


def read_net(path: Path) -> EventNet:
    """Reads a file that `EventNet.save` wrote.

    Raises:
        RunError: it is not there, damaged, or made for other features than this version's.

    """
    from safetensors import SafetensorError, safe_open

    remedy = "reinstall tracknet, or train it anew with benchmarks/events.py"
    try:
        with safe_open(path, framework="numpy") as file:
            told = json.loads((file.metadata() or {})["event_net"])
            weights = {name: file.get_tensor(name).astype(np.float32) for name in _SHAPES}
        thresholds = {name: float(told["thresholds"][name]) for name in OUTPUTS[1:]}
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise RunError(f"{path}: cannot be read as an events model: {error}", remedy=remedy) from error
    _check_shapes(path, weights, remedy)
    return EventNet(weights, thresholds, told.get("about", {}))


def _check_shapes(path: Path, weights: Mapping[str, npt.NDArray[Any]], remedy: str) -> None:
    members, _, hidden = weights["w1"].shape if weights["w1"].ndim == 3 else (0, 0, 0)
    sides = {"E": members, "F": NUM_FEATURES, "H": hidden, "O": len(OUTPUTS)}
    wrong = [
        f"{name} is {list(weights[name].shape)}, must be {[sides[side] for side in letters]}"
        for name, letters in _SHAPES.items()
        if weights[name].shape != tuple(sides[side] for side in letters)
    ]
    if wrong:
        raise RunError(f"{path}: an events model of another version", problems=wrong, remedy=remedy)


@cache
def shipped_net() -> EventNet:
    """The net that comes with the package."""
    return read_net(MODEL_FILE)
