"""Where predictions come from, and so whether figures on some frames flatter them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from tracknet import __version__


@dataclass(frozen=True, slots=True)
class ThresholdOrigin:
    """The frames that a threshold was chosen on, as a model's `config.json` keeps it.

    Attributes:
        build_ids: of their shards; several where a training mixed builds.
        split: `val`, or `train` where clips of it were set aside.
        games: of these frames.
        clips: the clips set aside, as `game1/Clip3`; `None` is the whole split.
        protocol: under which its F1 was highest, and the distance.
        overlap: how several windows' maps of one frame were merged then.
        flip: whether the mirror image was averaged in.
    """

    build_ids: tuple[str, ...]
    split: str
    games: tuple[str, ...] = ()
    clips: tuple[str, ...] | None = None
    protocol: str = ""
    overlap: str = "none"
    flip: bool = False

    @classmethod
    def read(cls, value: Any) -> ThresholdOrigin | None:
        """From plain values. Models of earlier versions have `[build, ..., split]`; `None` where it is not told."""
        if isinstance(value, list | tuple) and len(value) > 1:
            *builds, split = map(str, value)
            return cls(build_ids=tuple(builds), split=split)
        if not isinstance(value, Mapping) or not {"build_ids", "split"} <= value.keys():
            return None
        clips = value.get("clips")
        return cls(
            build_ids=tuple(value["build_ids"]),
            split=str(value["split"]),
            games=tuple(value.get("games") or ()),
            clips=None if clips is None else tuple(clips),
            protocol=str(value.get("protocol") or ""),
            overlap=str(value.get("overlap") or "none"),
            flip=bool(value.get("flip")),
        )

    def to_plain(self) -> dict[str, Any]:
        """What `read` takes, as JSON holds it."""
        return {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(self).items()}

    def covers(self, build_id: str, split: str, games: Collection[str], clips: Collection[str]) -> bool:
        """Whether frames of a split are among those that chose the threshold.

        Another build of the same games counts as the same frames: a build is new with every label corrected.
        """
        if self.split != split or not (build_id in self.build_ids or set(self.games) & set(games)):
            return False
        return self.clips is None or bool(set(self.clips) & set(clips))

    def __str__(self) -> str:
        clips = "" if self.clips is None else f", clips {', '.join(self.clips)}"
        builds = ", ".join(f"build {build[:12]}" for build in self.build_ids)
        protocol = f" by F1 under {self.protocol}" if self.protocol else ""
        return f"{self.split}{clips} of {builds}{protocol}"


@dataclass(frozen=True, slots=True)
class PredictionOrigin:
    """What made some predictions: the metadata of a predictions file.

    Attributes:
        model: its folder, or the file or folder that the predictions were read from.
        build_id: of the shards that it ran on; empty where not known.
        split: likewise.
        threshold: score from which a guess is a detection.
        threshold_chosen_on: the frames that chose it; `None` where not known.
        decode: how points were read from heatmaps; empty where not known.
        overlap: how several windows' maps of one frame were merged.
        flip: whether the mirror image was averaged in.
        provenance: the model's, as its `config.json` tells it.
        created_by: software and version.
    """

    model: str
    build_id: str
    split: str
    threshold: float
    threshold_chosen_on: ThresholdOrigin | None = None
    decode: str = ""
    overlap: str = "none"
    flip: bool = False
    provenance: Mapping[str, Any] = field(default_factory=dict)
    created_by: str = f"tracknet {__version__}"

    def threshold_notes(self) -> list[str]:
        """What to tell where the threshold was chosen on heatmaps merged in another way than these."""
        chosen = self.threshold_chosen_on
        if chosen is None or (chosen.overlap, chosen.flip) == (self.overlap, self.flip):
            return []
        was, now = (f"overlap {o.overlap}{' and flip' if o.flip else ''}" for o in (chosen, self))
        return [f"the threshold was chosen with {was}, and these are with {now}: --calibrate chooses it anew"]

    def flattered_by(
        self, build_id: str, split: str, games: Collection[str], clips: Collection[str]
    ) -> list[str]:
        """What was chosen or learned on the very frames that figures are of: `threshold`, `checkpoint`, `training`.

        Args:
            build_id: of the evaluated shards.
            split: likewise.
            games: likewise.
            clips: the evaluated clips, as `game1/Clip3`.
        """
        reasons = []
        if (chosen_on := self.threshold_chosen_on) and chosen_on.covers(build_id, split, games, clips):
            reasons.append("threshold")
        *builds, best_split = self.provenance.get("chosen_as_best_on") or [None]
        if split == best_split and build_id in builds:
            reasons.append("checkpoint")
        trained_on = (self.provenance.get("games") or {}).get("train") or ()
        if set(trained_on) & set(games):
            reasons.append("training")
        return reasons
