"""`python -m tracknet.scripts.predict MODEL VIDEO...`: the ball in anyone's video, a row per frame."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tracknet.scripts._predict_options import parse, trajectory_settings
from tracknet.utils.errors import EXIT_DONE, Interrupted, RunError, UserError, cli_main, shorten

if TYPE_CHECKING:
    from tracknet.inference.finish import Finish
    from tracknet.inference.heatmap_model import HeatmapModel
    from tracknet.inference.outputs import Job
    from tracknet.inference.pipeline import FrameRange
    from tracknet.inference.run_job import Done


def run(argv: Sequence[str]) -> int:
    """Predicts every source, one after the other; one that fails does not keep the others from being done."""
    args = parse(argv)
    from tracknet.inference.heatmap_model import load_model
    from tracknet.inference.outputs import find_jobs
    from tracknet.inference.pipeline import FrameRange
    from tracknet.utils.memory import keep_freed_memory

    wanted = FrameRange.parse(args.frames)
    finish = _finish(args)
    forms = (*args.format, *(["tracknetv2"] if args.tracknetv2 else []))
    jobs = _to_do(args, find_jobs(args.sources), forms)
    if not jobs:
        print("nothing to do: all results are there")
        return EXIT_DONE
    keep_freed_memory()
    model = load_model(args.model, device=args.device)
    args.out.mkdir(parents=True, exist_ok=True)
    failed: list[str] = []
    with _sigterm_like_ctrl_c():
        for number, job in enumerate(jobs):
            try:
                _tell(_predict(args, job, model, forms, wanted, finish))
            except RunError as error:
                if len(jobs) == 1:
                    raise
                print(f"error: {error}", file=sys.stderr)
                failed.append(error.what)
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
    forms: Sequence[str],
    wanted: FrameRange,
    finish: Finish,
) -> Done:
    from tracknet.inference.frame_source import open_frames
    from tracknet.inference.predictor import DEFAULT_BATCH, Predictor
    from tracknet.inference.run_job import run_job

    source = open_frames(job.spec, fps=args.fps)
    try:
        predictor = Predictor(
            model,
            device=args.device,
            amp=args.amp,
            # A live picture is wanted at once.
            batch_size=args.batch or (1 if source.live else DEFAULT_BATCH),
            threshold=args.threshold,
            overlap=args.overlap,
            flip=args.flip,
            candidates=finish.candidates,
        )
    except UserError:
        source.close()
        raise
    return run_job(
        job,
        source,
        predictor,
        args.out,
        forms=forms,
        wanted=wanted,
        model=args.model,
        finish=finish,
        overlay=args.overlay,
        inset=args.heatmap,
        fps=args.fps,
    )


def _to_do(args: argparse.Namespace, jobs: Sequence[Job], forms: Sequence[str]) -> list[Job]:
    """The jobs whose results are not there, or are to be replaced.

    Raises:
        UserError: results are there, and nothing was said about them.
    """
    if args.overwrite:
        return list(jobs)
    results = {
        job: [job.file(args.out, form) for form in forms] + ([job.overlay(args.out)] if args.overlay else [])
        for job in jobs
    }
    if args.skip_existing:
        return [job for job, paths in results.items() if not all(path.exists() for path in paths)]
    there = [path for paths in results.values() for path in paths if path.exists()]
    if there:
        raise UserError(
            f"{args.out} holds results of these sources already",
            problems=shorten([str(path) for path in there]),
            remedy="--overwrite replaces them, --skip-existing leaves them, --out names another folder",
        )
    return list(jobs)


def _tell(done: Done) -> None:
    predictions = done.predictions
    seen = int(predictions.visible.sum())
    print(
        f"{predictions.about['source']}: {len(predictions):,} frames, the ball in {seen:,} "
        f"({seen / len(predictions):.1%}), {done.per_second:,.1f} frames/s: "
        + ", ".join(map(str, done.written))
    )
    for note in done.notes:
        print(f"note: {predictions.about['source']}: {note}", file=sys.stderr)


@contextmanager
def _sigterm_like_ctrl_c() -> Iterator[None]:
    """SIGTERM stops what Ctrl-C stops."""

    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def main() -> int:
    """Entry point."""
    return cli_main(run)


if __name__ == "__main__":
    sys.exit(main())
