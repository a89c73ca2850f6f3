"""How many windows go through the model at a time, and what is said when they are too many.

The parts of a batch share the batch's normalisation, so that their losses and gradients add up to the batch's own.
Only batch norm (of the baselines) sees the difference: its statistics are of a part.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Literal

import torch

from tracknet.datasets.batch import Batch
from tracknet.training.device_memory import DeviceMemory
from tracknet.utils.errors import RunError
from tracknet.utils.naming import counted

_GIB = 2**30
# Of the memory: the allocator's fragments take the rest.
_USABLE = 0.95


class MicroBatches:
    """Cuts batches into parts that fit.

    Attributes:
        size: windows of the largest part.
    """

    def __init__(self, setting: int | Literal["auto"] | None, windows: int) -> None:
        """Begins with what is asked for.

        Args:
            setting: `training.micro_batch`.
            windows: of a batch of this process.
        """
        self._setting, self._windows = setting, windows
        self.size = min(setting, windows) if isinstance(setting, int) else windows

    @property
    def may_halve(self) -> bool:
        """An out-of-memory need not be the end."""
        return self._setting == "auto" and self.size > 1

    def halve(self) -> None:
        """Takes half as many from now on."""
        self.size = -(-self.size // 2)

    def parts(self, batch: Batch) -> list[Batch]:
        """The batch in as few parts as the size allows, of equal sizes but for one window."""
        bounds = _bounds(len(batch), self.size)
        if len(bounds) == 2:
            return [batch]
        return [batch.part(start, stop) for start, stop in pairwise(bounds)]

    def lengths(self) -> set[int]:
        """How many windows the parts of whole batches may have, from now on: also where they will be halved."""
        coming, sizes = MicroBatches(self._setting, self._windows), [self.size]
        coming.size = self.size
        while coming.may_halve:
            coming.halve()
            sizes.append(coming.size)
        return {stop - start for size in sizes for start, stop in pairwise(_bounds(self._windows, size))}


def _bounds(windows: int, size: int) -> list[int]:
    """Where the parts of so many windows begin and end."""
    count = math.ceil(windows / size)
    return [windows * n // count for n in range(count + 1)]


def too_many(
    reason: str,
    size: int,
    *,
    batch: int,
    memory: DeviceMemory | None,
    run: Callable[[int], object],
    still_to_come_bytes: int = 0,
    in_parts: bool = True,
) -> RunError:
    """What to say of an out-of-memory: measured with one and two windows, and worked out from there.

    Args:
        reason: torch's own words.
        size: windows that went through the model at once.
        batch: windows of a batch of this process.
        memory: of the device.
        run: takes so many windows forward and backward, and leaves nothing behind.
        still_to_come_bytes: what a training will hold that is not there yet (the optimizer's moments).
        in_parts: batches may be cut; otherwise a smaller one is what helps.
    """
    whole = _whole(size)
    less = (
        "less memory is taken with training.gradient_checkpointing=true, training.amp=bf16, "
        "model.backbone.freeze=true or a smaller data.resize"
    )
    fit = _what_fits(size, memory, run, still_to_come_bytes)
    if fit is None:
        smaller = (
            f"training.micro_batch={size // 2} or auto" if in_parts else f"training.batch_size={size // 2}"
        )
        remedy = less if size == 1 or memory is not None else f"set {smaller}"
        return RunError(f"{whole}: {reason}", remedy=remedy)
    fits, measured = fit
    if not in_parts:
        return RunError(
            f"{whole}: {measured} ({reason})",
            remedy=f"take batches of {fits} windows in each process (training.batch_size, with training.accumulate "
            f"for the same step), or set training.loss.hard_fraction=1, without which there is no "
            f"training.micro_batch; {less}",
        )
    # Parts of equal sizes, as few as can be.
    parts = math.ceil(batch / fits)
    fits = math.ceil(batch / parts)
    return RunError(
        f"{whole}: {measured} ({reason})",
        remedy=f"set training.micro_batch={fits} (the same step of {batch} windows in {parts} parts), or auto; "
        f"{less}",
    )


def too_many_to_predict(
    reason: str,
    size: int,
    *,
    memory: DeviceMemory | None,
    run: Callable[[int], object],
    set_windows: Callable[[int], str],
) -> RunError:
    """What to say of an out-of-memory of a model that is evaluated; arguments as of `too_many`.

    Args:
        reason: torch's own words.
        size: windows that went through the model at once.
        memory: of the device.
        run: takes so many windows through the model.
        set_windows: so many windows at once -> how a person asks for them, after "set".
    """
    fit = _what_fits(size, memory, run, 0)
    if fit is not None:
        return RunError(f"{_whole(size)}: {fit[1]} ({reason})", remedy=f"set {set_windows(fit[0])}")
    if size == 1 or memory is not None:
        # Not even one.
        less = "less memory is taken in bf16, by a model of a smaller data.resize, or on the CPU"
        return RunError(f"{_whole(size)}: {reason}", remedy=less)
    return RunError(f"{_whole(size)}: {reason}", remedy=f"set {set_windows(size // 2)}")


def _what_fits(
    size: int, memory: DeviceMemory | None, run: Callable[[int], object], still_to_come_bytes: int
) -> tuple[int, str] | None:
    """How many windows fit, fewer than `size`, and what was measured; `None` where nothing could be."""
    if memory is None or size == 1:
        return None
    peaks: list[int] = []
    for windows in (1, 2):
        try:
            peaks.append(memory.peak_bytes(lambda windows=windows: run(windows)) + still_to_come_bytes)  # type: ignore[misc]
        except torch.OutOfMemoryError:
            break
        finally:
            memory.release()
    if not peaks:
        return None
    if len(peaks) == 1:
        return 1, f"one takes {_gib(peaks[0])}, two are too many"
    each = max(1, peaks[1] - peaks[0])
    rest, limit = peaks[0] - each, memory.limit_bytes()
    fits = max(1, min(size - 1, int((_USABLE * limit - rest) // each)))
    return fits, (
        f"one takes {_gib(peaks[0])}, two {_gib(peaks[1])}, so {size} about {_gib(rest + size * each)} of {_gib(limit)}"
    )


def _whole(size: int) -> str:
    return f"{counted(size, 'window')} at once {'do' if size > 1 else 'does'} not fit into memory"


def _gib(count: float) -> str:
    return f"{count / _GIB:.2f} GiB"
