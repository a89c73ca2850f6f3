"""Whether prediction keeps up with a camera: footage that is rendered and encoded here, and the speed of every part."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from fractions import Fraction
from pathlib import Path

import cv2
import torch

from benchmarks.models import built
from pipelines.rally.render import ClipRenderer
from tracknet.inference.frame_source import open_frames
from tracknet.inference.heatmap_model import HeatmapModel, load_model
from tracknet.inference.outputs import Job
from tracknet.inference.pipeline import input_frames
from tracknet.inference.predictor import Predictor
from tracknet.inference.run_job import run_job
from tracknet.utils.config import config_folders, load_config
from tracknet.utils.environment import describe_environment
from tracknet.utils.geometry import Size
from tracknet.utils.memory import keep_freed_memory, share_one_heap
from tracknet.utils.progress import Progress
from tracknet.utils.video import Video
from tracknet.utils.video_traits import VideoTraits
from tracknet.utils.video_writer import VideoWriter


def render_footage(path: Path, size: Size, fps: int, frames: int) -> None:
    """A rendered rally as H.264: noise, camera motion and players, so that it costs to decode what a broadcast does."""
    clip = ClipRenderer(0, 1, 1, frames, size.width, size.height)
    traits = VideoTraits(frame_rate=Fraction(fps))
    with VideoWriter(path, size, traits) as video, Progress("rendering", frames, "frames") as progress:
        for number in range(frames):
            video.write(clip.render(number)[..., ::-1].copy(), number / fps)
            progress.advance(1)


def model_named(name: str, device: str) -> HeatmapModel:
    """A trained model, or an untrained one of a config in `configs/model`: it is as fast."""
    known = {path.stem for folder in config_folders() for path in (folder / "model").glob("*.yaml")}
    if name in known and not Path(name).exists():
        return built(load_config(model=name), device="cpu")
    return load_model(name, device=device)


def footage(
    model: str, *, size: Size, fps: int, seconds: float, rounds: int, batch: int, device: str, amp: str
) -> None:
    """Renders footage, predicts it, and prints frames per second of the whole and of its parts, in turns.

    Args:
        model: a trained one, or the name of a config.
        size: of the footage.
        fps: of the footage, which is what is to be beaten.
        seconds: of footage.
        rounds: of every way, after one to warm up.
        batch: windows at once.
        device: for the model.
        amp: as in `Predictor`.
    """
    predictor = Predictor(model_named(model, device), device=device, amp=amp, batch_size=batch)
    # As the command does.
    keep_freed_memory()
    share_one_heap()
    if predictor.precision.device.type == "cpu":
        cv2.setNumThreads(1)
    on, input_size = predictor.precision.device, predictor.model.input_size
    count = round(seconds * fps)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "footage.mp4"
        render_footage(path, size, fps, count)
        ready = list(input_frames(open_frames(path), input_size))

        def decode() -> None:
            with Video(path) as video:
                for frame in video:
                    frame.image()

        def resized() -> None:
            for _ in input_frames(open_frames(path), input_size):
                pass

        def model_alone() -> None:
            for _ in predictor.heatmaps(ready):
                pass
            if on.type == "cuda":
                torch.cuda.synchronize()

        def whole() -> None:
            with closing(open_frames(path)) as source:
                done = run_job(Job(str(path), "footage"), source, predictor, Path(scratch), forms=["csv"])
            assert len(done.predictions) == count

        ways: dict[str, Callable[[], None]] = {
            "decode": decode,
            "decode, resize": resized,
            "model": model_alone,
            "predict, with its files": whole,
        }
        rates: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(rounds + 1):
            for name, way in ways.items():
                begun_s = time.perf_counter()
                way()
                rates[name].append(count / (time.perf_counter() - begun_s))
        megabits = path.stat().st_size * 8 / seconds / 1e6
    window = predictor.model.sequence.length
    print(
        f"{count} frames of {size} at {fps} frames/s, {megabits:.1f} Mbit/s; {model}, T={window}, "
        f"{input_size}, batch {batch}, {predictor.precision.name} on {_name(on)}, {torch.get_num_threads()} thread(s)"
    )
    print(f"{'way':26}{'frames/s median':>18}{'best':>10}{f'times {fps}':>12}")
    for name, found in rates.items():
        median = statistics.median(found[1:])
        print(f"{name:26}{median:18.1f}{max(found[1:]):10.1f}{median / fps:12.2f}")
    verdict = statistics.median(rates["predict, with its files"][1:]) / fps
    print(f"{'faster' if verdict > 1 else 'SLOWER'} than the footage: {verdict:.2f} times its speed")


def _name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device} ({describe_environment()['processor']})"
