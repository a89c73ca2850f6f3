"""metrics.json: what was scored, on what, whether that flatters it, and the figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracknet.datasets.remote_path import RemotePath
from tracknet.training.metrics.bootstrap import RESAMPLES
from tracknet.training.metrics.origin import PredictionOrigin
from tracknet.training.metrics.predictions import Predictions
from tracknet.training.metrics.protocols import Protocol
from tracknet.training.metrics.score import score
from tracknet.utils.naming import natural_key

_FLATTERED = {
    "threshold": "the threshold was chosen on {where}: every figure that depends on it (precision, recall, F1, "
    "accuracy, AP, RMSE, false alarms) is optimistic",
    "checkpoint": "the checkpoint was chosen as the best on {where}: every figure is somewhat optimistic",
    "training": "the model was trained on games of these names: the figures say little about other games",
}


@dataclass(frozen=True, slots=True)
class Scored:
    """Predictions of a split, with what is told of both.

    Attributes:
        predictions: of the split's frames.
        origin: what made them.
        shards: where the build is that the labels are from; `None` where they are the predictions file's own.
        build_id: of that build; empty where not known.
        split: which was scored.
        notes: what did not fit, for people.
        ranks_by_score: `blob_score` is the score, for whoever predicted gave scores and no blob sums.
    """

    predictions: Predictions
    origin: PredictionOrigin
    shards: Path | RemotePath | None
    build_id: str
    split: str
    notes: tuple[str, ...] = ()
    ranks_by_score: bool = False

    @property
    def clips(self) -> list[tuple[str, str]]:
        """(game, clip) of each clip, in the frames' order."""
        frames = self.predictions.frames
        return [frames.clips[number] for number in dict.fromkeys(frames.clip_id.tolist())]

    @property
    def games(self) -> list[str]:
        """Of the frames, as people sort them."""
        return sorted({game for game, _ in self.clips}, key=natural_key)

    def flattered_by(self) -> list[str]:
        """Why the figures flatter: `PredictionOrigin.flattered_by` of these frames."""
        names = [f"{game}/{clip}" for game, clip in self.clips]
        return self.origin.flattered_by(self.build_id, self.split, self.games, names)

    def all_notes(self, protocols: Sequence[Protocol]) -> list[str]:
        """What to tell beside figures under some protocols: what did not fit, and what flatters."""
        chosen = {
            "threshold": self.origin.threshold_chosen_on,
            "checkpoint": self.origin.checkpoint_chosen_on,
        }
        told = []
        for reason in self.flattered_by():
            on = chosen.get(reason)
            is_split = on is not None and on.is_split(self.build_id, self.split)
            where = "this very split" if is_split else "games of these names, in another build or split"
            told.append(_FLATTERED[reason].format(where=where))
        notes = list(self.notes)
        if self.ranks_by_score and any(protocol.ranked_by == "blob_score" for protocol in protocols):
            # Of the same detections AP came out 2.1 points higher than by the blob's sum.
            notes.append(
                f"{self.origin.model} gives no blob sums: WASB's AP is ranked by Score, and not to be held against one "
                "that is ranked by blob sum"
            )
        return [*notes, *self.origin.threshold_notes(), *told]


def is_optimistic(flattered_by: Sequence[str]) -> bool:
    """Whether something was chosen on the frames themselves, so that figures are better than on others."""
    return bool({"threshold", "checkpoint"} & set(flattered_by))


def told_of_sides(a: Scored, b: Scored, protocols: Sequence[Protocol]) -> dict[str, Any]:
    """What a comparison says of its two sides: `notes`, each with its side's letter, and per side what flatters it.

    Returns:
        `build_id` and `split` of the frames, `notes`, and `optimistic` and `optimistic_because` with the keys `a`
        and `b`.
    """
    sides = {"a": a, "b": b}
    because = {letter: side.flattered_by() for letter, side in sides.items()}
    return {
        "build_id": a.build_id,
        "split": a.split,
        "notes": [
            f"{letter.upper()}: {note}"
            for letter, side in sides.items()
            for note in side.all_notes(protocols)
        ],
        "optimistic": {letter: is_optimistic(reasons) for letter, reasons in because.items()},
        "optimistic_because": because,
    }


def evaluation_report(
    scored: Scored, protocols: Sequence[Protocol], *, resamples: int = RESAMPLES
) -> dict[str, Any]:
    """The whole of metrics.json but what only the model's run knows (decoders, environment).

    Args:
        scored: the predictions.
        protocols: to score under.
        resamples: of the bootstrap over clips.
    """
    frames, origin = scored.predictions.frames, scored.origin
    flattered_by = scored.flattered_by()
    chosen_on = origin.threshold_chosen_on
    return {
        "model": origin.model,
        "created_by": origin.created_by,
        "shards": None if scored.shards is None else str(scored.shards),
        "build_id": scored.build_id,
        "split": scored.split,
        "games": scored.games,
        "frame_sizes": sorted({f"{width}x{height}" for width, height in frames.source_size.tolist()}),
        "threshold": origin.threshold,
        "threshold_chosen_on": None if chosen_on is None else chosen_on.to_plain(),
        "optimistic": is_optimistic(flattered_by),
        "optimistic_because": flattered_by,
        "decode": origin.decode,
        "overlap": origin.overlap,
        "flip": origin.flip,
        "notes": scored.all_notes(protocols),
        **score(scored.predictions, protocols, threshold=origin.threshold, resamples=resamples),
    }
