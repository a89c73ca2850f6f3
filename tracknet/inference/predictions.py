"""What was found in one source: a row per frame, as arrays, and in and out of files."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tracknet.inference import prediction_formats
from tracknet.inference.ball import Ball, Candidate
from tracknet.inference.drawing import draw_predictions
from tracknet.inference.frame_source import DEFAULT_FPS
from tracknet.inference.points import FloatArray, PointBlock, candidates_of
from tracknet.inference.prediction_formats import COLUMNS, Stored
from tracknet.utils.errors import UserError
from tracknet.utils.files import replace_file
from tracknet.utils.geometry import Size
from tracknet.utils.urls import is_url

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class Predictions:
    """All frames of one source, in order. Pixels are those of the upright source frame.

    Attributes:
        frame: int64 `[N]`, numbers in the source.
        time_s: float64 `[N]`, since the source's first frame.
        x: float64 `[N]`, pixel centres at whole numbers; NaN where no ball is reported.
        y: float64 `[N]`, as `x`.
        score: float64 `[N]`, 0..1.
        visible: bool `[N]`, a ball is reported.
        columns: further columns `[N]` by name, in the order in which files have them.
        frame_size: of the source; `None` where not known.
        candidates_px: float64 `[N, K, 2]`, the best places of each heatmap, NaN where there are fewer; not in files.
        candidate_scores: float64 `[N, K]`; 0 there.
        about: what made them, plain values: source, model, threshold and so on.
    """

    frame: npt.NDArray[np.int64]
    time_s: FloatArray
    x: FloatArray
    y: FloatArray
    score: FloatArray
    visible: npt.NDArray[np.bool_]
    columns: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    frame_size: Size | None = None
    candidates_px: FloatArray | None = None
    candidate_scores: FloatArray | None = None
    about: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        lengths = {name: len(values) for name, values in self.table().items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"columns of different lengths: {lengths}")
        if taken := set(self.columns) & set(COLUMNS):
            raise ValueError(f"{sorted(taken)} are columns already")

    def __len__(self) -> int:
        return len(self.frame)

    def __iter__(self) -> Iterator[Ball]:
        event, filled = self.columns.get("event"), self.columns.get("filled")
        for row in range(len(self)):
            yield Ball(
                int(self.frame[row]),
                float(self.time_s[row]),
                float(self.x[row]),
                float(self.y[row]),
                float(self.score[row]),
                bool(self.visible[row]),
                self._candidates(row),
                "" if event is None else str(event[row]),
                filled is not None and bool(filled[row]),
            )

    @classmethod
    def of_points(
        cls, points: PointBlock, threshold: float, about: Mapping[str, Any] | None = None
    ) -> Predictions:
        """Points as rows; a score below the threshold is no ball."""
        visible = points.score >= threshold
        x, y = np.where(visible[:, None], points.xy_px, np.nan).T
        return cls(
            frame=points.frame,
            time_s=points.time_s,
            x=x,
            y=y,
            score=points.score,
            visible=visible,
            frame_size=next(iter(points.sizes)) if len(points.sizes) == 1 else None,
            candidates_px=points.candidates_px,
            candidate_scores=points.candidate_scores,
            about=dict(about or {}),
        )

    def table(self) -> dict[str, npt.NDArray[Any]]:
        """Name -> column, in the order in which files have them."""
        return {**{name: getattr(self, name) for name in COLUMNS}, **self.columns}

    def to_csv(self, path: str | Path) -> Path:
        """Writes `frame,time_s,x,y,score,visible` and the further columns; x and y are empty where there is no ball.

        The file is there as a whole, or not at all; an older one is replaced. The same holds for the other formats.
        """
        return self._write(path, "csv")

    def to_tracknetv2(self, path: str | Path) -> Path:
        """Writes `Frame,Visibility,X,Y` as TrackNetV2 spells it: X and Y are 0 where there is no ball."""
        return self._write(path, "tracknetv2")

    def to_parquet(self, path: str | Path) -> Path:
        """Writes a Parquet file, exactly as the arrays are, with null where there is no ball, and `about` beside."""
        return self._write(path, "parquet")

    def to_json(self, path: str | Path) -> Path:
        """Writes `{"about": {..}, "frame_size": [w, h], "frames": [{"frame": 0, ...}, ...]}`."""
        return self._write(path, "json")

    def to_pandas(self) -> pandas.DataFrame:
        """The table as a pandas data frame.

        Raises:
            UserError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError:
            raise UserError(
                "to_pandas needs pandas, which is not installed",
                remedy="pip install pandas, or use to_csv, to_parquet or table(), which need nothing",
            ) from None
        return pandas.DataFrame(self.table())

    def draw(self, path: str | Path, source: str | Path | None = None) -> Path:
        """Writes a video of the source with the ball, its trail and the events marked; warns where its sound is lost.

        Args:
            path: of the MP4.
            source: what was predicted; where not given, as `about` names it.

        Raises:
            UserError: it is not known what was predicted, it is not there any more, or `path` is no `.mp4`, or is it.
            RunError: it is another video, or cannot be read twice.
        """
        source = source or self.about.get("source")
        if source is None:
            raise UserError("these predictions do not say what they are of", remedy="draw(path, source=...)")
        if not is_url(str(source)) and not Path(source).exists():
            raise UserError(f"there is no file or folder {source}", remedy="draw(path, source=...)")
        path = Path(path)
        if path.suffix.lower() != ".mp4":
            raise UserError(f"{path}: what is drawn is an MP4", remedy=f"name it {path.stem}.mp4")
        path.parent.mkdir(parents=True, exist_ok=True)
        note = draw_predictions(source, self, path, fps=self.about.get("frame_rate") or DEFAULT_FPS)
        if note is not None:
            warnings.warn(f"{path}: {note}", stacklevel=2)
        return path

    @classmethod
    def read(cls, path: str | Path) -> Predictions:
        """What `to_csv`, `to_parquet` or `to_json` wrote; the ending of the name says which.

        Raises:
            UserError: there is no such file, or it is none of these; with what is wrong in it.
        """
        stored = prediction_formats.read(Path(path))
        return cls(
            **{name: stored.columns[name] for name in COLUMNS},
            columns={name: values for name, values in stored.columns.items() if name not in COLUMNS},
            frame_size=stored.frame_size,
            about=stored.about,
        )

    def encode(self, form: str) -> bytes:
        """The bytes of a file of one of `prediction_formats.FORMATS`."""
        return prediction_formats.encode(Stored(self.table(), self.frame_size, self.about), form)

    def _write(self, path: str | Path, form: str) -> Path:
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, self.encode(form))
        return path

    def _candidates(self, row: int) -> tuple[Candidate, ...]:
        if self.candidates_px is None or self.candidate_scores is None:
            return ()
        return candidates_of(self.candidates_px[row], self.candidate_scores[row])
