"""One source predicted from beginning to end, into its files."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tracknet.inference.api import describe, nothing_in
from tracknet.inference.collector import Collector, kept, with_rows
from tracknet.inference.drawing import LiveOverlay, draw_predictions
from tracknet.inference.finish import Finish
from tracknet.inference.frame_source import DEFAULT_FPS
from tracknet.inference.heatmap_file import HeatmapFile
from tracknet.inference.live_pace import paced
from tracknet.inference.outputs import Job
from tracknet.inference.overlay import Heatmap
from tracknet.inference.partial_csv import PartialCsv
from tracknet.inference.pipeline import ALL_FRAMES, FrameRange, predict_points
from tracknet.inference.predictions import Predictions
from tracknet.inference.predictor import Predictor
from tracknet.inference.result_record import ResultRecord
from tracknet.inference.source_contract import FrameSource
from tracknet.utils.errors import Interrupted, RunError
from tracknet.utils.files import replace_file
from tracknet.utils.naming import counted
from tracknet.utils.progress import Progress
from tracknet.utils.video_container import DEFAULT_TIMEOUT_S

NOTHING = Finish()


@dataclass(frozen=True)
class Done:
    """What became of a source.

    Attributes:
        predictions: a row per frame.
        written: the files.
        notes: what was wrong with the source, or that the model was slower than it, in words.
        per_second: frames per second, from the first to the last.
    """

    predictions: Predictions
    written: tuple[Path, ...]
    notes: tuple[str, ...]
    per_second: float


def run_job(
    job: Job,
    source: FrameSource,
    predictor: Predictor,
    out: Path,
    *,
    forms: Sequence[str],
    wanted: FrameRange = ALL_FRAMES,
    model: str = "",
    finish: Finish = NOTHING,
    overlay: bool = False,
    inset: bool = False,
    fps: float = DEFAULT_FPS,
    timeout_s: float | None = DEFAULT_TIMEOUT_S,
    record: ResultRecord | None = None,
) -> Done:
    """Predicts a source and writes its files; until all rows are there, they are in `NAME.partial.csv`.

    Ctrl-C ends a live source, and is its proper end; anything else it interrupts. A live source that is lost on the way
    has given all that it will: that is finished as if it had ended, and then told as the error that it is.

    Args:
        job: says the files' names.
        source: closed at the end.
        predictor: the model.
        out: the folder, which exists.
        forms: of `outputs.ENDINGS`.
        wanted: the frames asked for.
        model: as the person named it.
        finish: what is done to all rows at the end.
        overlay: make the video with the ball in it, too. Of a source that cannot be read twice it is drawn at once,
            and so before `finish`.
        inset: with the heatmap in the corner.
        fps: of a folder's pictures.
        timeout_s: how long a URL may be silent while the overlay is drawn from it.
        record: is told what the files are of.

    Raises:
        Interrupted: with where the rows so far are.
        RunError: the source breaks, holds no such frame, or the disk is full; with where the rows so far
            are.
    """
    if record is not None:
        record.wanted()
    source = paced(source, batch_size=predictor.batch_size, say=_say)
    about = describe(source, predictor, model, wanted)
    live = overlay and not source.repeatable
    with ExitStack() as held:
        partial = held.enter_context(PartialCsv(job.partial(out)))
        drawn = heatmaps = None
        if live:
            drawn = held.enter_context(LiveOverlay(job.overlay(out), source.traits, predictor.threshold))
        elif overlay and inset:
            heatmaps = held.enter_context(HeatmapFile(out))
        points = predict_points(source, predictor, wanted, heatmaps=overlay and inset, images=live)
        found = Collector(source, predictor.threshold, partial, drawn, heatmaps, job.overlay(out))
        with Progress(source.name, wanted.count_of(source.stated_frames), "frames") as progress:
            lost = found.collect(points, progress)
            rate = progress.per_second()
        if not len(found.rows):
            raise RunError(nothing_in(source, wanted))
        predictions = Predictions.of_points(
            found.rows.joined(), predictor.threshold, {**about, "notes": source.notes()}
        )
        try:
            predictions = finish(predictions, predictor.threshold)
        except RunError as error:
            raise with_rows(error, partial) from error
        written = [job.file(out, form) for form in forms]
        drawn_too = [job.overlay(out)] if overlay else []
        _write_files(
            predictions, dict(zip(written, forms, strict=True)), drawn_too, job.record(out), record, partial
        )
        partial.discard()
        notes = source.notes()
        if live and finish != NOTHING:
            notes.append("the overlay was drawn as the frames came, without --smooth and --events")
        if live and source.traits.sound_lost:
            notes.append(
                "the overlay lacks the sound: the source can be read but once, and is read for its pictures"
            )
        if overlay and not live:
            notes += draw_rows(job, predictions, out, fps, heatmaps, timeout_s=timeout_s)
    if record is not None and overlay:
        record.add(drawn_too, heatmap=inset)
    written += drawn_too
    if lost is not None:
        done = f"{counted(len(predictions), 'frame')} until then: {', '.join(map(str, written))}"
        raise RunError(f"{lost.what}; {done}", problems=[*lost.problems, *notes], remedy=lost.remedy)
    return Done(predictions, tuple(written), tuple(notes), rate)


def _write_files(
    predictions: Predictions,
    files: Mapping[Path, str],
    later: Sequence[Path],
    record_file: Path,
    record: ResultRecord | None,
    partial: PartialCsv,
) -> None:
    """Writes each file in its form; the record is told of those that come later, too."""
    being_written = record_file
    try:
        if record is not None:
            record.begin([*files, *later])
        for path, form in files.items():
            being_written = path
            replace_file(path, predictions.encode(form))
        being_written = record_file
        if record is not None:
            record.add(list(files))
    except OSError as error:
        raise RunError(f"{being_written} cannot be written: {error.strerror}; {kept(partial)}") from None


def draw_rows(
    job: Job,
    predictions: Predictions,
    out: Path,
    fps: float,
    heatmaps: Iterable[Heatmap] | None = None,
    *,
    timeout_s: float | None = DEFAULT_TIMEOUT_S,
) -> list[str]:
    """Draws into a source that can be read again, and returns what there is to note.

    Args:
        job: says the source and the overlay's name.
        predictions: of it.
        out: the folder.
        fps: of a folder's pictures.
        heatmaps: of every row, for the corner.
        timeout_s: how long a URL may be silent.

    Raises:
        Interrupted: with what is there.
        RunError: the source is another one or breaks, or the disk is full.
    """
    path = job.overlay(out)
    with Progress(f"drawing {path.name}", len(predictions), "frames") as progress:
        try:
            sound = draw_predictions(
                job.spec,
                predictions,
                path,
                fps=fps,
                heatmaps=heatmaps,
                timeout_s=timeout_s,
                progress=lambda done: progress.advance(done - progress.done),
            )
        except OSError as error:
            what = f"{path} cannot be made: {error.filename or path}: {error.strerror}"
            raise RunError(f"{what}; the rows are all there") from None
        except RunError as error:
            what = f"{error.what}; the rows are all there"
            raise RunError(what, problems=error.problems, remedy=error.remedy) from None
        except KeyboardInterrupt:
            raise Interrupted(f"{path} is not finished and not there; the rows are all there") from None
    return [] if sound is None else [sound]


def _say(line: str) -> None:
    print(f"note: {line}", file=sys.stderr, flush=True)
