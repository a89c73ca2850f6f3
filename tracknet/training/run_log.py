"""How a training goes, told three times: lines for a person, metrics.jsonl, TensorBoard."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from types import TracebackType

import numpy as np
import numpy.typing as npt
from torch.utils.tensorboard import SummaryWriter

from tracknet.training.checkpoint import TrainingState
from tracknet.training.run_folder import RunFolder
from tracknet.utils.progress import format_duration


@dataclass(frozen=True, slots=True)
class StepReport:
    """What one optimizer step did.

    Attributes:
        loss: mean over the accumulated batches.
        lr: the largest learning rate of any group.
        grad_norm: before clipping.
        found: training balls whose highest cell is within the metrics' distance.
        balls: training balls in all.
        peak: mean of the highest probabilities.
        skipped: fp16 gradients overflowed and the weights were left as they were.
        windows: trained on.
        data_s: time spent waiting for the loader.
        step_s: time of the whole step, the waiting included.
    """

    loss: float
    lr: float
    grad_norm: float
    found: int
    balls: int
    peak: float
    skipped: bool
    windows: int
    data_s: float
    step_s: float


class RunLog:
    """The three records of one run; a context, because TensorBoard's file must be closed."""

    def __init__(
        self, run: RunFolder, state: TrainingState, total_steps: int, say: Callable[[str], None]
    ) -> None:
        self._run = run
        self._state = state
        self._total_steps = total_steps
        self._say = say
        self._started_s, self._first_step = time.monotonic(), state.step
        # Events of steps that a resumed run takes again are dropped.
        self._writer = SummaryWriter(str(run.path / "tensorboard"), purge_step=state.step + 1)

    def __enter__(self) -> RunLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()

    def step(self, report: StepReport) -> None:
        """Tells of the step just taken."""
        state = self._state
        windows_per_s = report.windows / report.step_s
        found_share = report.found / report.balls if report.balls else float("nan")
        self._record("train", {**asdict(report), "found_share": found_share, "windows_per_s": windows_per_s})
        per_step_s = (time.monotonic() - self._started_s) / (state.step - self._first_step)
        self._say(
            f"step {state.step}/{self._total_steps}  epoch {state.epoch + 1}  loss {report.loss:.4f}  "
            f"lr {report.lr:.1e}  grad {report.grad_norm:.2f}  found {found_share:4.0%}  |  "
            f"{windows_per_s:.1f} windows/s  step {report.step_s * 1e3:.0f} ms (data {report.data_s * 1e3:.0f} ms)  "
            f"ETA {format_duration(per_step_s * (self._total_steps - state.step))}"
        )

    def validation(
        self,
        figures: dict[str, float],
        pictures: Sequence[npt.NDArray[np.uint8]],
        *,
        is_best: bool,
        took_s: float,
    ) -> None:
        """Tells of a validation: its figures and overlay pictures (uint8 RGB `[H, W, 3]`)."""
        self._record("val", figures)
        for number, picture in enumerate(pictures):
            self._writer.add_image(f"val/overlay_{number}", picture, self._state.step, dataformats="HWC")
        distance = f"{figures['distance_px']:g}px"
        self._say(
            f"  validation, epoch {self._state.epoch + 1}: PCK@{distance} {figures[f'pck@{distance}']:.3f}  "
            f"L2 mean {figures['l2_mean_px']:.1f} median {figures['l2_median_px']:.2f} px  "
            f"F1 {figures['f1']:.3f} at score {figures['threshold']:.2f}  "
            f"({figures['frames']:.0f} frames, {format_duration(took_s)}){'  best so far' if is_best else ''}"
        )

    def warning(self, message: str) -> None:
        """Tells of something that the person should look at."""
        self._say(f"warning: {message}")
        self._run.log({"kind": "warning", "step": self._state.step, "message": message})

    def _record(self, kind: str, figures: dict[str, float]) -> None:
        state = self._state
        self._run.log({"kind": kind, "step": state.step, "epoch": state.epoch, **figures})
        for name, figure in figures.items():
            self._writer.add_scalar(f"{kind}/{name}", figure, state.step)
