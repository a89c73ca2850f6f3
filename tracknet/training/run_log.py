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
from tracknet.training.served import Coverage
from tracknet.training.stream_counts import StreamCounts
from tracknet.utils.geometry import Size
from tracknet.utils.progress import format_duration


@dataclass(frozen=True, slots=True)
class StepReport:
    """What one optimizer step did.

    Attributes:
        loss: mean over the accumulated batches.
        lr: the largest learning rate of any group.
        backbone_lr: the largest of the backbone's; 0 while it is not trained.
        grad_norm: before clipping.
        found: training balls whose highest cell is within the metrics' distance.
        found_by_chance: as `found`, but in the maps of the batch's other windows: the mean over these.
        balls: training balls in all.
        peak: mean of the highest probabilities.
        skipped: fp16 gradients overflowed and the weights were left as they were.
        windows: trained on, on all ranks.
        masked: of these, how many lacked a frame and taught nothing.
        data_s: time spent waiting for the loader.
        step_s: time of the whole step, the waiting included.
        size: of its frames, where steps are of several.
    """

    loss: float
    lr: float
    backbone_lr: float
    grad_norm: float
    found: int
    found_by_chance: float
    balls: int
    peak: float
    skipped: bool
    windows: int
    masked: int
    data_s: float
    step_s: float
    size: Size | None = None


class RunLog:
    """The three records of one run; a context, because TensorBoard's file must be closed.

    Without a run folder it records nothing: of several ranks, one does.
    """

    def __init__(
        self, run: RunFolder | None, state: TrainingState, total_steps: int, say: Callable[[str], None]
    ) -> None:
        self._run = run
        self._state = state
        self._total_steps = total_steps
        self._say = say
        self._started_s, self._first_step = time.monotonic(), state.step
        self._windows, self._data_s, self._step_s = 0, 0.0, 0.0
        self._writer: SummaryWriter | None = None
        if run is not None:
            # Events of steps that a resumed run takes again are dropped.
            self._writer = SummaryWriter(str(run.path / "tensorboard"), purge_step=state.step + 1)

    def __enter__(self) -> RunLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.close()

    def took(self, report: StepReport) -> None:
        """Takes a step in; rates are over all steps since the last that was told of."""
        self._windows += report.windows
        self._data_s += report.data_s
        self._step_s += report.step_s

    def step(self, report: StepReport, counts: StreamCounts) -> None:
        """Tells of the step just taken."""
        state = self._state
        windows_per_s, data_share = self._windows / self._step_s, self._data_s / self._step_s
        self._windows, self._data_s, self._step_s = 0, 0.0, 0.0
        found_share = report.found / report.balls if report.balls else float("nan")
        known = asdict(report)
        del known["size"]
        if report.size is not None:
            known |= {"width": report.size.width, "height": report.size.height}
        at = f"at {report.size}  " if report.size is not None else ""
        figures = {
            **known,
            "found_share": found_share,
            "windows_per_s": windows_per_s,
            "data_share": data_share,
            "decodes_per_window": counts.decodes_per_window,
            "bad_frames": counts.bad_frames,
            "slow_frames": counts.slow_frames,
        }
        self._record("train", figures)
        per_step_s = (time.monotonic() - self._started_s) / (state.step - self._first_step)
        self._say(
            f"step {state.step}/{self._total_steps}  epoch {state.epoch + 1}  {at}loss {report.loss:.4f}  "
            f"lr {report.lr:.1e}  grad {report.grad_norm:.2f}  found {found_share:4.0%}  |  "
            f"{windows_per_s:.1f} windows/s  step {report.step_s * 1e3:.0f} ms (data {data_share:.0%})  {counts.text}  "
            f"ETA {format_duration(per_step_s * (self._total_steps - state.step))}"
        )

    def epoch(self, coverage: Coverage, counts: StreamCounts) -> None:
        """Tells of an epoch, or of the part of one, that was trained on."""
        figures = {
            "windows_served": coverage.served,
            "windows_seen": coverage.different,
            "windows": coverage.windows,
            "seen_once": not coverage.problems,
            "since_step": coverage.since_step or 0,
            "decodes_per_window": counts.decodes_per_window,
            "bad_frames": counts.bad_frames,
            "slow_frames": counts.slow_frames,
        }
        self._record("epoch", figures)
        self._say(f"  epoch {self._state.epoch + 1}: {coverage.text}  |  {counts.text}")

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
        if self._writer is not None:
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
        if self._run is not None:
            self._run.log({"kind": "warning", "step": self._state.step, "message": message})

    def note(self, message: str) -> None:
        """Tells of something that happened as it was asked for."""
        self._say(f"  {message}")
        if self._run is not None and self._writer is not None:
            self._run.log({"kind": "note", "step": self._state.step, "message": message})
            self._writer.add_text("notes", message, self._state.step)

    def _record(self, kind: str, figures: dict[str, float]) -> None:
        if self._run is None or self._writer is None:
            return
        state = self._state
        self._run.log({"kind": kind, "step": state.step, "epoch": state.epoch, **figures})
        for name, figure in figures.items():
            self._writer.add_scalar(f"{kind}/{name}", figure, state.step)
