"""What every test may use: one CPU thread, small data drawn on the spot, and the shared data where it exists."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import cv2
import hypothesis
import numpy as np
import pytest

# Set before torch starts: tests run side by side and one thread each is the fastest on few cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# No test may reach for a network.
os.environ.setdefault("HF_HUB_OFFLINE", "1")

# A shell's background jobs are started with Ctrl-C ignored, and their children inherit it; tests send it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A busy machine is no fault of an example's.
hypothesis.settings.register_profile("tracknet", deadline=None)
hypothesis.settings.load_profile("tracknet")

HEADER = "file name,visibility,x-coordinate,y-coordinate,status"
MakeDataset = Callable[..., Path]

# What makes `vit_tiny` tinier: 96x48 pictures, 6x3 patches, 48x24 cells.
SMALL = (
    "data.resize=[96,48]",
    "model.backbone.config.hidden_size=24",
    "model.backbone.config.num_hidden_layers=1",
    "model.backbone.config.num_attention_heads=2",
    "model.backbone.config.intermediate_size=32",
    "model.backbone.config.hidden_dropout_prob=0.1",
    "model.decoder.channels=[C,16,8,8]",
    "model.decoder.upsample=[2,2,2]",
    "model.decoder.detail_channels=4",
    "model.heatmap.size=[48,24]",
    "model.heatmap.sigma=1.0",
    "data.loader.workers=0",
    "data.loader.run_length=4",
    "training.batch_size=4",
    "training.threads=1",
    "training.metrics.distance_px=8",
)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real material beside the checkout; the test is skipped where there is none."""
    checkout = Path(__file__).resolve().parent.parent
    folder = Path(os.environ.get("TRACKNET_SHARED", checkout.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip("no shared data: set TRACKNET_SHARED to a folder that holds data/ and models/")
    return folder


def draw_dataset(
    root: Path,
    *,
    games: int = 2,
    clips: int = 2,
    frames: int = 12,
    size: tuple[int, int] = (160, 90),
    seed: int = 0,
) -> Path:
    """A TrackNet folder with a bright dot on textured ground; the fourth frame of every clip has no ball."""
    width, height = size
    for game in range(1, games + 1):
        for clip in range(1, clips + 1):
            rng = np.random.default_rng([seed, game, clip])
            folder = root / f"game{game}" / f"Clip{clip}"
            folder.mkdir(parents=True)
            coarse = rng.integers(40, 140, (height // 10 + 1, width // 10 + 1, 3), dtype=np.uint8)
            ground = cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC)
            x, y = rng.uniform(20, width - 20), rng.uniform(20, height - 20)
            vx, vy = rng.uniform(-3, 3, 2)
            rows = [HEADER]
            for number in range(frames):
                picture = ground.copy()
                if number == 3:
                    rows.append(f"{number:04d}.jpg,0,,,")
                else:
                    draw_dot(picture, x, y)
                    rows.append(f"{number:04d}.jpg,1,{x:.2f},{y:.2f},0")
                cv2.imwrite(str(folder / f"{number:04d}.jpg"), picture, [cv2.IMWRITE_JPEG_QUALITY, 95])
                x, y = x + vx, y + vy
                vx = -vx if not 8 < x + vx < width - 8 else vx
                vy = -vy if not 8 < y + vy < height - 8 else vy
            (folder / "Label.csv").write_text("\r\n".join(rows) + "\r\n", newline="")
    return root


def draw_dot(picture: np.ndarray, x: float, y: float, radius_px: float = 3.0) -> None:
    """A smooth bright dot at a float centre."""
    height, width = picture.shape[:2]
    ys, xs = np.mgrid[0:height, 0:width]
    alpha = np.exp(-0.5 * ((xs - x) ** 2 + (ys - y) ** 2) / (radius_px / 1.5) ** 2)[..., None]
    picture[:] = np.round(picture * (1 - alpha) + np.array([120, 255, 240]) * alpha).astype(np.uint8)


@pytest.fixture
def make_dataset(tmp_path: Path) -> MakeDataset:
    """`make_dataset(games=2, clips=2, frames=12, size=(160, 90)) -> root` of a small TrackNet folder."""

    def make(name: str = "tracknet", **options: int) -> Path:
        return draw_dataset(tmp_path / name, **options)  # type: ignore[arg-type]

    return make


@pytest.fixture(scope="session")
def small_shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """32 training frames of game1 and 32 validation frames of game2, stored at 96x48."""
    from pipelines import build_shards

    folder = tmp_path_factory.mktemp("small")
    root = draw_dataset(folder / "tracknet", games=2, clips=2, frames=16)
    arguments = [
        "--root",
        str(root),
        "--out",
        str(folder / "shards"),
        "--workers",
        "1",
        "data.resize=[96,48]",
    ]
    assert build_shards.run(arguments) == 0
    return folder / "shards"


@pytest.fixture
def small_train_args(small_shards: Path, tmp_path: Path) -> list[str]:
    """Arguments of a training of seconds; its runs go to `tmp_path/runs`."""
    places = [f"data.shards={small_shards}", f"training.log_dir={tmp_path / 'runs'}"]
    return ["--model", "vit_tiny", "--training", "cpu", *places, *SMALL]


@pytest.fixture(scope="session")
def small_features(small_shards: Path) -> Path:
    """The tokens of all small frames, of the backbone that `small_train_args` would begin with."""
    from pipelines import build_features

    out = small_shards.parent / "features"
    arguments = [str(small_shards), "--model", "vit_tiny", "--out", str(out), "--batch", "5", *SMALL]
    assert build_features.run(arguments) == 0
    return out
