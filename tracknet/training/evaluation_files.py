"""What an evaluation leaves in its folder: predictions, figures, plots, pictures and the page to look at."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy.typing as npt

from tracknet.datasets.index import open_split
from tracknet.reporting.outcomes import Frames, disagreements, worst_frames
from tracknet.reporting.overlays import sheet
from tracknet.reporting.pictures import FramePicture, frame_picture
from tracknet.reporting.plots import write_plots
from tracknet.reporting.report import write_report
from tracknet.training.evaluation_folder import METRICS_NAME, OVERLAYS_NAME, PAGE_NAME, replaced_files
from tracknet.training.frame_views import frame_views
from tracknet.training.metrics import Protocol
from tracknet.training.metrics.counts import outcomes
from tracknet.training.metrics.prediction_file import PREDICTIONS_NAME, columns_of, write_predictions
from tracknet.training.metrics.protocols import main_protocol
from tracknet.training.metrics.report import Scored
from tracknet.training.model_evaluation import ModelRun
from tracknet.utils.files import replace_file, write_json
from tracknet.utils.progress import Progress
from tracknet.utils.spacing import evenly_spaced

# About 5 MB of broadcast pictures, 36 to a screenful of the page's grid at 1280 px.
_PICTURES = 96
# Of a comparison's pictures, those where only A is right, and as many where only B is.
_OF_EACH_SIDE = 24

Columns = Mapping[str, npt.NDArray[Any]]


def write_evaluation(
    out: Path,
    scored: Scored,
    protocols: Sequence[Protocol],
    report: Mapping[str, Any],
    *,
    made: ModelRun | None = None,
    page: bool = True,
    place: Callable[[], Path] | None = None,
) -> list[Path]:
    """Writes `predictions.parquet`, `metrics.json`, the plots, `overlays.png` where there are any, and the page.

    All but the page appear at once, and what is left of an earlier evaluation goes then: the page takes minutes
    of drawing, and whoever stops it keeps the figures, with no page of older ones beside them.

    Args:
        out: the folder, which exists.
        scored: the predictions.
        protocols: that they were scored under.
        report: the content of metrics.json.
        made: the model's run; without it the page's pictures have no heatmaps.
        page: write `report.html`.
        place: as in `replaced_files`.

    Returns:
        The files written.

    Raises:
        UserError: `place` does.
        RunError: a shard is damaged.
    """
    # The frames and labels in the file are those that were scored, whatever the model first ran on.
    origin = replace(scored.origin, build_id=scored.build_id, split=scored.split)
    with replaced_files(out, place) as new:
        part = new.part
        write_predictions(part / PREDICTIONS_NAME, scored.predictions, origin)
        written = [part / PREDICTIONS_NAME, part / METRICS_NAME, *write_plots(part, report)]
        if made is not None and made.overlays:
            picture = cv2.cvtColor(sheet(made.overlays), cv2.COLOR_RGB2BGR)
            replace_file(part / OVERLAYS_NAME, cv2.imencode(".png", picture)[1].tobytes())
            written.append(part / OVERLAYS_NAME)
        write_json(part / METRICS_NAME, report)
    out = new.out
    written = [out / file.name for file in written]
    if not page:
        return written
    columns = _columns(scored, protocols)
    write_report(out / PAGE_NAME, report, columns, _pictures(scored, worst_frames(columns, _PICTURES), made))
    return [*written, out / PAGE_NAME]


def write_comparison(
    out: Path,
    a: Scored,
    b: Scored,
    protocols: Sequence[Protocol],
    report: Mapping[str, Any],
    comparison: Mapping[str, Any],
    *,
    page: bool = True,
    place: Callable[[], Path] | None = None,
) -> list[Path]:
    """Writes `metrics.json` with the comparison, and the page about A with what B does otherwise.

    What is left of an earlier comparison goes when the figures change: the page is drawn after them.

    Args:
        out: the folder, which exists and holds no evaluation.
        a: predictions.
        b: others of the same frames.
        protocols: that they were compared under.
        report: of A, the content of its metrics.json.
        comparison: what `metrics.comparison.compare` returns.
        page: write `report.html`.
        place: as in `replaced_files`.

    Returns:
        The files written.

    Raises:
        UserError: `place` does.
        RunError: a shard is damaged.
    """
    with replaced_files(out, place) as new:
        write_json(new.part / METRICS_NAME, {"compare": comparison})
    out = new.out
    if not page:
        return [out / METRICS_NAME]
    columns, others = _columns(a, protocols), _columns(b, protocols)
    sides = disagreements(Frames.of(columns), Frames.of(others))
    rows = [row for side in sides for row in evenly_spaced(side.tolist(), _OF_EACH_SIDE)]
    rows = list(dict.fromkeys([*rows, *worst_frames(columns, _PICTURES)]))[:_PICTURES]
    pictures = _pictures(a, rows, None)
    write_report(out / PAGE_NAME, report, columns, pictures, {**comparison, "predictions": others})
    return [out / METRICS_NAME, out / PAGE_NAME]


def _columns(scored: Scored, protocols: Sequence[Protocol]) -> Columns:
    """The prediction file's columns, and what the main protocol counts each frame as; one that it leaves out, too."""
    protocol = main_protocol(protocols).with_all_frames()
    codes = outcomes(scored.predictions, protocol, scored.origin.threshold)
    return {**columns_of(scored.predictions, scored.split), "outcome": codes}


def _pictures(scored: Scored, rows: Sequence[int], made: ModelRun | None) -> list[FramePicture]:
    """Pictures of some rows; none where the frames themselves are not at hand."""
    if scored.shards is None or not rows:
        return []
    views = frame_views(open_split(scored.shards, scored.split), scored.predictions, rows, made)
    pictures = []
    with Progress("drawing", len(views), "pictures") as progress:
        for view in views:
            pictures.append(
                frame_picture(view.key, view.frame, view.heatmap, view.true_xy_px, view.predicted_xy_px)
            )
            progress.advance(1)
    return pictures
