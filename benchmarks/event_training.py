"""Trajectories with known hits and bounces, what a detector makes of them, and the training of the events net."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from tracknet.datasets.label_csv import LABEL_NAME, parse_clip
from tracknet.datasets.label_faults import settle
from tracknet.datasets.schema import LabelledClip, Status
from tracknet.inference.event_features import (
    NUM_FEATURES,
    BoolArray,
    Float32Array,
    FloatArray,
    describe_moments,
)
from tracknet.inference.event_net import OUTPUTS
from tracknet.utils.geometry import Size

FRAME_SIZE = Size(1280, 720)
FRAME_RATE = 30.0
"""The label files do not tell it; the videos they were made from have 30 frames/s."""


@dataclass(frozen=True, slots=True)
class Path2d:
    """The ball's path through a clip, and its events as (time_s, 'hit' or 'bounce')."""

    game: int
    name: str
    time_s: FloatArray
    x: FloatArray
    y: FloatArray
    visible: BoolArray
    events: tuple[tuple[float, str], ...]


@dataclass(frozen=True, slots=True)
class Damage:
    """What a detector does to a true path.

    Attributes:
        noise_px: standard deviation, of x and of y.
        missing: share of frames without a ball, half of them alone and half in runs of 1-5.
        jumps: share of frames where something else is taken for the ball.

    """

    noise_px: float = 0.0
    missing: float = 0.0
    jumps: float = 0.0

    def apply(self, path: Path2d, rng: np.random.Generator) -> Path2d:
        count = len(path.x)
        x = path.x + rng.normal(0.0, self.noise_px, count)
        y = path.y + rng.normal(0.0, self.noise_px, count)
        lost = rng.random(count) < self.missing / 2
        for start in np.flatnonzero(rng.random(count) < self.missing / 2 / 3):
            lost[start : start + rng.integers(1, 6)] = True
        jump = rng.random(count) < self.jumps
        x[jump] = rng.uniform(0, FRAME_SIZE.width, jump.sum())
        y[jump] = rng.uniform(0, FRAME_SIZE.height, jump.sum())
        return replace(path, x=x, y=y, visible=(path.visible & ~lost) | jump)


def read_paths(root: Path) -> list[Path2d]:
    """Every clip of the label set `gameN/ClipM/Label.csv`, by game and clip."""
    files = sorted(root.glob(f"game*/Clip*/{LABEL_NAME}"))
    clips, _ = settle([parse_clip(file, FRAME_SIZE, None) for file in files], "clip")
    return [_path_of(clip) for clip in clips]


def _path_of(clip: LabelledClip) -> Path2d:
    xy = np.array([label.xy_px or (np.nan, np.nan) for label in clip.frames], np.float64)
    time_s = np.array([label.number for label in clip.frames]) / FRAME_RATE
    events: list[tuple[int, int, Status]] = []
    for row, label in enumerate(clip.frames):
        if label.status in (Status.HIT, Status.BOUNCE):
            # 34 events of the set are marked on two frames in a row, one on three.
            if events and events[-1][1] == row - 1 and events[-1][2] == label.status:
                events[-1] = (events[-1][0], row, label.status)
            else:
                events.append((row, row, label.status))
    return Path2d(
        game=int(clip.game.removeprefix("game")),
        name=f"{clip.game}/{clip.clip}",
        time_s=time_s,
        x=xy[:, 0],
        y=xy[:, 1],
        visible=np.isfinite(xy[:, 0]),
        events=tuple(
            (float(time_s[(first + last) // 2]), status.name.lower()) for first, last, status in events
        ),
    )


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """Chosen by cross-validation over games 1-7; what else was tried is in results/events/choices.md."""

    epochs: int = 140
    hidden: int = 64
    dropout: float = 0.2
    batch_size: int = 512
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    spread_frames: float = 1.0
    """The target is a bell of this width about the labelled frame: hand-set marks are one frame off or so."""
    jitter_frames: float = 0.5
    """Moments lie anywhere between frames, so that other frame rates are nothing new."""


def train_members(
    paths: list[Path2d], settings: TrainingSettings, seeds: list[int]
) -> dict[str, Float32Array]:
    """The weights of an `EventNet` with one member for each seed."""
    members = [_train(paths, settings, seed) for seed in seeds]
    return {name: np.stack([member[name] for member in members]) for name in members[0]}


def _train(paths: list[Path2d], settings: TrainingSettings, seed: int) -> dict[str, Float32Array]:
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    features, targets = _epoch(paths, settings, rng)
    mean, std = features.mean(axis=0), features.std(axis=0) + 1e-3
    layers = [NUM_FEATURES, settings.hidden, settings.hidden, len(OUTPUTS)]
    linear = [nn.Linear(a, b) for a, b in itertools.pairwise(layers)]
    net = nn.Sequential(
        linear[0],
        nn.ReLU(),
        nn.Dropout(settings.dropout),
        linear[1],
        nn.ReLU(),
        nn.Dropout(settings.dropout),
        linear[2],
    )
    optimizer = torch.optim.AdamW(
        net.parameters(), settings.learning_rate, weight_decay=settings.weight_decay
    )
    # Frames are dropped at random, so that epochs differ by a batch or two.
    most_steps = settings.epochs * (len(features) // settings.batch_size + 3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.learning_rate, total_steps=most_steps)
    for _ in range(settings.epochs):
        inputs = torch.from_numpy((features - mean) / std)
        wanted = torch.from_numpy(targets)
        order = torch.from_numpy(rng.permutation(len(inputs)))
        for start in range(0, len(order) - settings.batch_size + 1, settings.batch_size):
            rows = order[start : start + settings.batch_size]
            loss = -(wanted[rows] * torch.log_softmax(net(inputs[rows]), 1)).sum(1).mean()
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
        features, targets = _epoch(paths, settings, rng)
    (w1, b1), (w2, b2), (w3, b3) = (
        (layer.weight.detach().numpy().T, layer.bias.detach().numpy()) for layer in linear
    )
    # The standardisation goes into the first layer: one recipe less to ship.
    scaled = w1 / std[:, None]
    return {"w1": scaled, "b1": b1 - mean @ scaled, "w2": w2, "b2": b2, "w3": w3, "b3": b3}


def _epoch(
    paths: list[Path2d], settings: TrainingSettings, rng: np.random.Generator
) -> tuple[Float32Array, Float32Array]:
    """Every path once, damaged and moved anew: float32 [M, NUM_FEATURES] and [M, 3]."""
    features, targets = [], []
    for path in paths:
        seen = _vary(path, rng)
        seen_s, x, y = (values[seen.visible] for values in (seen.time_s, seen.x, seen.y))
        jitter = rng.uniform(-settings.jitter_frames, settings.jitter_frames, len(seen_s))
        moments_s = seen_s + jitter / FRAME_RATE
        features.append(describe_moments(seen_s, x, y, moments_s, FRAME_SIZE))
        targets.append(_targets(path, moments_s, settings.spread_frames))
    return np.concatenate(features), np.concatenate(targets)


def _vary(path: Path2d, rng: np.random.Generator) -> Path2d:
    damage = Damage(
        float(rng.choice([0.0, 0.7, 1.5, 2.5])),
        float(rng.choice([0.0, 0.05, 0.15])),
        float(rng.choice([0.0, 0.01, 0.03])),
    )
    seen = damage.apply(path, rng)
    zoom, stretch = rng.uniform(0.85, 1.15), rng.uniform(0.9, 1.1)
    mirror = rng.choice([-1.0, 1.0])
    centre_x, centre_y = (FRAME_SIZE.width - 1) / 2, (FRAME_SIZE.height - 1) / 2
    return replace(
        seen,
        x=centre_x + (seen.x - centre_x) * zoom * mirror,
        y=centre_y + (seen.y - centre_y) * zoom * stretch,
    )


def _targets(path: Path2d, moments_s: FloatArray, spread_frames: float) -> Float32Array:
    """float32 [M, 3]: probabilities of nothing, hit, bounce."""
    targets = np.zeros((len(moments_s), len(OUTPUTS)))
    for time_s, kind in path.events:
        off = (moments_s - time_s) * FRAME_RATE / spread_frames
        column = OUTPUTS.index(kind)
        targets[:, column] = np.maximum(targets[:, column], np.exp(-0.5 * off**2))
    targets[:, 1:] /= np.maximum(targets[:, 1:].sum(axis=1, keepdims=True), 1.0)
    targets[:, 0] = 1.0 - targets[:, 1:].sum(axis=1)
    return targets.astype(np.float32)
