"""Takes what the model finds of a source, as it comes, and says where it is when something goes wrong."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from tracknet.inference.drawing import LiveOverlay
from tracknet.inference.heatmap_file import HeatmapFile
from tracknet.inference.partial_csv import PartialCsv
from tracknet.inference.points import PointBlock, PointRows
from tracknet.inference.predictions import Predictions
from tracknet.inference.source_contract import FrameSource, StreamLost
from tracknet.utils.errors import Interrupted, RunError
from tracknet.utils.naming import counted
from tracknet.utils.progress import Progress


@dataclass
class Collector:
    """Hands what the model finds on to wherever it is to go.

    Attributes:
        source: what is predicted.
        threshold: of the score, from which on a ball counts as seen.
        partial: takes the rows.
        drawn: takes the pictures, if the overlay is made at once.
        heatmaps: takes the heatmaps, if they are drawn later.
        overlay: the overlay's file, for messages.
        rows: all of them.
    """

    source: FrameSource
    threshold: float
    partial: PartialCsv
    drawn: LiveOverlay | None
    heatmaps: HeatmapFile | None
    overlay: Path
    rows: PointRows = field(default_factory=PointRows)

    def collect(self, blocks: Generator[PointBlock], progress: Progress) -> StreamLost | None:
        """Takes all blocks; returns why a live source ended that did not end by itself.

        Raises:
            Interrupted: by Ctrl-C, unless the source is live.
            RunError: the source breaks, or the disk is full; both with where the rows so far are.
        """
        try:
            with closing(blocks):
                for block in blocks:
                    self._take(block)
                    progress.advance(len(block))
        except KeyboardInterrupt:
            if not self.source.live:
                raise Interrupted(f"{self.source.name}: {kept(self.partial)}") from None
        except StreamLost as error:
            if not len(self.rows):
                raise
            return error
        except RunError as error:
            raise with_rows(error, self.partial) from error
        except OSError as error:  # of the overlay; the partial file tells of its own
            told = RunError(f"{self.overlay} cannot be written: {error.strerror}")
            raise with_rows(told, self.partial) from None
        return None

    def _take(self, block: PointBlock) -> None:
        self.partial.write(Predictions.of_points(block, self.threshold))
        if self.drawn is not None:
            self.drawn.write(block)
        if self.heatmaps is not None and block.heatmaps is not None:
            self.heatmaps.add(block.heatmaps)
        self.rows.add(block)


def kept(partial: PartialCsv) -> str:
    """Where the rows so far are, in words."""
    if not partial.rows:
        return "no frame was done"
    rows = f"{counted(partial.rows, 'frame')} {'is' if partial.rows == 1 else 'are'}"
    return f"{rows} in {partial.path}, which is partial; the same command starts again"


def with_rows(error: RunError, partial: PartialCsv) -> RunError:
    """The error, and where the rows so far are, unless it says so itself."""
    if not partial.rows or str(partial.path) in error.what:
        return error
    return RunError(f"{error.what}; {kept(partial)}", problems=error.problems, remedy=error.remedy)
