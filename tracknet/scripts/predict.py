"""`python -m tracknet.scripts.predict MODEL VIDEO...`: the ball in anyone's video, a row per frame."""

from __future__ import annotations

import argparse
import os
import sys
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tracknet.scripts._predict_options import parse, trajectory_settings
from tracknet.scripts._predict_results import Results
from tracknet.utils.errors import EXIT_DONE, Interrupted, RunError, UserError, cli_main, shorten
from tracknet.utils.naming import counted
from tracknet.utils.signals import Interrupts

if TYPE_CHECKING:
    from tracknet.inference.finish import Finish
    from tracknet.inference.heatmap_model import HeatmapModel
    from tracknet.inference.outputs import Job
    from tracknet.inference.run_job import Done


def run(argv: Sequence[str]) -> int:
    """Predicts every source, one after the other; one that fails does not keep the others from being done."""
    args = parse(argv)
    with Interrupts() as interrupts:
        return _run(args, interrupts)


def _run(args: argparse.Namespace, interrupts: Interrupts) -> int:
    from tracknet.inference.heatmap_model import load_model
    from tracknet.inference.job_lock import only_writer
    from tracknet.inference.outputs import find_jobs
    from tracknet.inference.pipeline import FrameRange
    from tracknet.utils.memory import keep_freed_memory, share_one_heap

    wanted = FrameRange.parse(args.frames)
    finish = _finish(args)
    forms = (*args.format, *(["tracknetv2"] if args.tracknetv2 else []))
    found = find_jobs(args.sources)
    for note in found.left_out:
        print(f"note: {note}", file=sys.stderr)
    results = Results(args, forms, wanted, finish)
    jobs, unknown = results.to_do(found.jobs)
    for note in unknown:
        print(f"note: {note}", file=sys.stderr)
    if not jobs:
        print("nothing to do: all results are there")
        return EXIT_DONE
    keep_freed_memory()
    share_one_heap()
    model = load_model(args.model, device=args.device)
    args.out.mkdir(parents=True, exist_ok=True)
    failed: list[str] = []
    for number, job in enumerate(jobs):
        try:
            with only_writer(job, args.out):
                if not results.still_to_do(job):
                    continue
                if results.only_overlay_lacks(job):
                    results.draw(job)
                else:
                    _tell(_predict(args, job, model, results, interrupts))
        except (RunError, OSError) as error:
            if len(jobs) == 1:
                raise
            # The system's own errors do not say which source they are of.
            told = error if isinstance(error, RunError) else RunError(f"{job.spec}: {error}")
            print(f"error: {told}", file=sys.stderr)
            failed.append(told.what)
        except Interrupted as stop:
            left = len(jobs) - number - 1
            raise Interrupted(f"{stop}{f' ({left} more not begun)' if left else ''}") from None
    if failed:
        raise RunError(
            f"{len(failed)} of {len(jobs)} sources could not be done; the others are",
            problems=shorten(failed),
        )
    return EXIT_DONE


def _finish(args: argparse.Namespace) -> Finish:
    """The steps asked for, checked before anything is predicted."""
    from tracknet.inference.finish import Finish
    from tracknet.utils.config import from_plain
    from tracknet.utils.settings import TrajectoryConfig

    settings = trajectory_settings(args)
    trajectory = None if settings is None else from_plain(TrajectoryConfig, settings, where="--trajectory")
    return Finish(trajectory, args.events)


def _predict(
    args: argparse.Namespace,
    job: Job,
    model: HeatmapModel,
    results: Results,
    interrupts: Interrupts,
) -> Done:
    import cv2

    from tracknet.inference.frame_source import open_frames
    from tracknet.inference.partial_csv import set_aside
    from tracknet.inference.predictor import Predictor, usual_batch
    from tracknet.inference.run_job import run_job

    if interrupts.came:
        # Some library that was being loaded caught it.
        raise KeyboardInterrupt
    source = open_frames(job.spec, fps=args.fps, timeout_s=args.timeout)
    try:
        predictor = Predictor(
            model,
            device=args.device,
            amp=args.amp,
            batch_size=args.batch or usual_batch(source.live),
            threshold=args.threshold,
            overlap=args.overlap,
            flip=args.flip,
            candidates=results.finish.candidates,
        )
    except (UserError, KeyboardInterrupt):
        source.close()
        raise
    if predictor.precision.device.type == "cpu":
        # The model has all cores already: a resize by as many threads only interrupts them.
        cv2.setNumThreads(1)
    if not source.repeatable and (aside := set_aside(job.partial(args.out))) is not None:
        print(
            f"note: {job.spec}: rows of an earlier run, which cannot be had again, are in {aside}",
            file=sys.stderr,
        )
    return run_job(
        job,
        source,
        predictor,
        args.out,
        forms=results.forms,
        wanted=results.frames,
        model=args.model,
        finish=results.finish,
        overlay=args.overlay,
        inset=args.heatmap,
        fps=args.fps,
        timeout_s=args.timeout,
        record=results.record(job),
    )


def _tell(done: Done) -> None:
    predictions = done.predictions
    seen = int(predictions.visible.sum())
    print(
        f"{predictions.about['source']}: {counted(len(predictions), 'frame')}, the ball in {seen:,} "
        f"({seen / len(predictions):.1%}), {done.per_second:,.1f} frames/s: "
        + ", ".join(map(str, done.written))
    )
    for note in done.notes:
        print(f"note: {predictions.about['source']}: {note}", file=sys.stderr)


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code, or ends the process with it."""
    code = cli_main(run, argv)
    # A thread that waits for a silent pipe, or is in the middle of a large batch, cannot be ended, and Python aborts
    # (exit code 134) when it finds such a one at its own end. All files are closed by now.
    if any(thread.daemon and thread.is_alive() for thread in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


if __name__ == "__main__":
    sys.exit(main())
