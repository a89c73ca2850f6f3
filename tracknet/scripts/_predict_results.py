"""Results of `predict` that are there already: which are left, which are of something else, which lack an overlay."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracknet.utils.errors import RunError, UserError, shorten

if TYPE_CHECKING:
    from tracknet.inference.finish import Finish
    from tracknet.inference.outputs import Job
    from tracknet.inference.pipeline import FrameRange
    from tracknet.inference.result_record import ResultRecord


class Results:
    """What a command is to make of its sources, beside what is there.

    Args:
        args: the command line.
        forms: of `outputs.ENDINGS`.
        frames: asked for of every source.
        finish: the steps asked for.
    """

    def __init__(
        self, args: argparse.Namespace, forms: Sequence[str], frames: FrameRange, finish: Finish
    ) -> None:
        self.forms, self.frames, self.finish = forms, frames, finish
        self._args, self._out = args, args.out
        self._model = cache(self._identify_model)

    def to_do(self, jobs: Sequence[Job]) -> tuple[list[Job], list[str]]:
        """The jobs whose results are not there, or are to be replaced, and what is to be noted.

        Raises:
            UserError: results are there, and nothing was said about them, or they are of something else.
        """
        args = self._args
        if args.overwrite:
            return list(jobs), []
        there = {job: [path for path in self._files(job) if path.exists()] for job in jobs}
        if not args.skip_existing:
            if paths := [path for found in there.values() for path in found]:
                raise UserError(
                    f"{args.out} holds results of these sources already",
                    problems=shorten([str(path) for path in paths]),
                    remedy="--overwrite replaces them, --skip-existing leaves them, --out names another folder",
                )
            return list(jobs), []
        self._refuse_others(there)
        left = [job for job in jobs if len(there[job]) == len(self._files(job))]
        drawn = [job for job in jobs if job not in left and self.only_overlay_lacks(job)]
        unknown = [path for job in (*left, *drawn) for path in there[job] if not self.record(job).knows(path)]
        notes = []
        if unknown:
            more = f" and {len(unknown) - 1:,} more" if len(unknown) > 1 else ""
            notes.append(
                f"{unknown[0]}{more}: made before results said what they are of, and taken for this command's"
            )
        notes += [
            f"{job.spec}: left out; whether its results are of what it gives now cannot be told"
            for job in left
            if self.record(job).wanted()["content"] is None
        ]
        return [job for job in jobs if job not in left], notes

    def still_to_do(self, job: Job) -> bool:
        """Whether the results have not been made by another command since this one began.

        Raises:
            RunError: somebody has, and nothing was said about results that are there.
        """
        try:
            return bool(self.to_do([job])[0])
        except UserError as error:
            raise RunError(
                f"{job.spec}: another command has written its results into {self._out} meanwhile; they are left as "
                "they are",
                problems=error.problems,
            ) from None

    def only_overlay_lacks(self, job: Job) -> bool:
        """Whether an earlier run was stopped while it drew, and its rows say all that the overlay needs."""
        args = self._args
        return (
            args.skip_existing
            and args.overlay
            and not args.heatmap
            and (Path(job.spec).is_file() or Path(job.spec).is_dir())
            and all(job.file(self._out, form).exists() for form in self.forms)
        )

    def draw(self, job: Job) -> None:
        """Draws the overlay from the rows that are there."""
        from tracknet.inference.predictions import Predictions
        from tracknet.inference.run_job import draw_rows

        rows, overlay = job.file(self._out, self.forms[0]), job.overlay(self._out)
        for note in draw_rows(job, Predictions.read(rows), self._out, self._args.fps):
            print(f"note: {job.spec}: {note}", file=sys.stderr)
        self.record(job).add_drawn(overlay, rows)
        print(f"{job.spec}: drawn from {rows}: {overlay}")

    def record(self, job: Job) -> ResultRecord:
        """What a source's results are of, and what is asked for."""
        from tracknet.inference.result_record import ResultRecord

        return ResultRecord(job.record(self._out), lambda: self._wanted(job.spec))

    def _files(self, job: Job) -> list[Path]:
        overlay = [job.overlay(self._out)] if self._args.overlay else []
        return [*(job.file(self._out, form) for form in self.forms), *overlay]

    def _refuse_others(self, there: Mapping[Job, Sequence[Path]]) -> None:
        problems = []
        for job, paths in there.items():
            record = self.record(job)
            for path in paths:
                also = {"heatmap": self._args.heatmap} if path == job.overlay(self._out) else {}
                if others := record.differences(path, **also):
                    problems.append(f"{path}: {'; '.join(others)}")
        if problems:
            raise UserError(
                "results that are there are not what this command would make",
                problems=shorten(problems),
                remedy="--overwrite in place of --skip-existing replaces them, --out names another folder",
            )

    def _wanted(self, spec: str) -> dict[str, Any]:
        from tracknet.inference.frame_source import is_folder
        from tracknet.inference.result_record import source_identity
        from tracknet.utils.config import to_plain

        args, trajectory = self._args, self.finish.trajectory
        return {
            **source_identity(spec),
            **self._model(),
            "frames": str(self.frames),
            "fps": args.fps if is_folder(spec) else None,
            "threshold": args.threshold,
            "overlap": args.overlap,
            "flip": args.flip,
            "trajectory": None if trajectory is None else to_plain(trajectory),
            "events": self.finish.sport,
        }

    def _identify_model(self) -> dict[str, str]:
        from tracknet.inference.result_record import model_identity

        return model_identity(self._args.model)
