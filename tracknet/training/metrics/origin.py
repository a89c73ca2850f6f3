"""Where predictions come from, and so whether figures on some frames flatter them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

from tracknet import __version__


@dataclass(frozen=True, slots=True)
class ChosenOn:
    """The frames that something was chosen on, as a model's `config.json` keeps it.

    Attributes:
        build_ids: of their shards; several where a training mixed builds.
        split: `val`, or `train` where clips of it were set aside.
        games: of these frames.
        clips: the clips set aside, as `game1/Clip3`; `None` is the whole split.
    """

    build_ids: tuple[str, ...]
    split: str
    games: tuple[str, ...] = ()
    clips: tuple[str, ...] | None = None

    @classmethod
    def read(cls, value: Any) -> Self | None:
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
            **cls._read_more(value),
        )

    @classmethod
    def _read_more(cls, value: Mapping[str, Any]) -> dict[str, Any]:
        """What subclasses add to the fields."""
        del value
        return {}

    def to_plain(self) -> dict[str, Any]:
        """What `read` takes, as JSON holds it."""
        return {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(self).items()}

    def with_games_of(self, provenance: Mapping[str, Any]) -> Self:
        """With the games that a model's provenance tells of the split: earlier versions kept them only there."""
        if self.games:
            return self
        return replace(self, games=tuple((provenance.get("games") or {}).get(self.split) or ()))

    def covers(self, build_id: str, split: str, games: Collection[str], clips: Collection[str]) -> bool:
        """Whether frames of a split are among these.

        Games decide: a build is new with every label corrected, and another may deal the same games to other
        splits. Where no games are told it is the same split of the same build.
        """
        if self.clips is not None:
            return bool(set(self.clips) & set(clips))
        return bool(set(self.games) & set(games)) or self.is_split(build_id, split)

    def is_split(self, build_id: str, split: str) -> bool:
        """Whether it is this very split of this very build."""
        return self.split == split and build_id in self.build_ids


@dataclass(frozen=True, slots=True)
class ThresholdOrigin(ChosenOn):
    """The frames that a threshold was chosen on, and how.

    Attributes:
        protocol: under which its F1 was highest, and the distance.
        overlap: how several windows' maps of one frame were merged then.
        flip: whether the mirror image was averaged in.
        most_false_alarms: the share of frames without a ball on which one might be reported; `None` is any.
    """

    protocol: str = ""
    overlap: str = "none"
    flip: bool = False
    most_false_alarms: float | None = None

    @classmethod
    def _read_more(cls, value: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "protocol": str(value.get("protocol") or ""),
            "overlap": str(value.get("overlap") or "none"),
            "flip": bool(value.get("flip")),
            "most_false_alarms": value.get("most_false_alarms"),
        }

    def __str__(self) -> str:
        clips = "" if self.clips is None else f", clips {', '.join(self.clips)}"
        builds = ", ".join(f"build {build[:12]}" for build in self.build_ids)
        protocol = f" by F1 under {self.protocol}" if self.protocol else ""
        most = self.most_false_alarms
        alarms = (
            "" if most is None else f" with false alarms on at most {most:.3g} of the frames without a ball"
        )
        return f"{self.split}{clips} of {builds}{protocol}{alarms}"


@dataclass(frozen=True, slots=True)
class PredictionOrigin:
    """What made some predictions: the metadata of a predictions file.

    Attributes:
        model: its folder, or the file or folder that the predictions were read from.
        build_id: of the shards that it ran on; empty where not known.
        split: that it ran on; empty where not known.
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
        """What to tell of a threshold chosen on frames that the model knew, or on heatmaps merged in another way."""
        chosen, notes = self.threshold_chosen_on, []
        if chosen is None:
            return []
        # From provenance, so that it is told of models that were calibrated by any version.
        if known := self.trained_on(chosen.games):
            notes.append(
                f"the threshold was chosen on {', '.join(known)}, and the model was trained on games of these names: "
                "it is surer there than on other games, so that this threshold is likely too high for them; "
                "--calibrate val, or clips of a game that training left out (data.filter.exclude_games), chooses it "
                "anew"
            )
        if (chosen.overlap, chosen.flip) != (self.overlap, self.flip):
            was, now = (f"overlap {o.overlap}{' and flip' if o.flip else ''}" for o in (chosen, self))
            notes.append(
                f"the threshold was chosen with {was}, and these are with {now}: --calibrate chooses it anew"
            )
        return notes

    def flattered_by(
        self, build_id: str, split: str, games: Collection[str], clips: Collection[str]
    ) -> list[str]:
        """What was chosen or learned on the very frames that figures are of: `threshold`, `checkpoint`, `training`.

        Args:
            build_id: of the evaluated shards.
            split: that is evaluated.
            games: of that split.
            clips: the evaluated clips, as `game1/Clip3`.
        """
        chosen = {"threshold": self.threshold_chosen_on, "checkpoint": self.checkpoint_chosen_on}
        reasons = [name for name, on in chosen.items() if on and on.covers(build_id, split, games, clips)]
        if self.trained_on(games):
            reasons.append("training")
        return reasons

    def trained_on(self, games: Collection[str]) -> tuple[str, ...]:
        """Those of some games that the model was trained on, as its provenance tells."""
        known = set((self.provenance.get("games") or {}).get("train") or ())
        return tuple(game for game in games if game in known)

    @property
    def checkpoint_chosen_on(self) -> ChosenOn | None:
        """The frames on which the model was the best of its training; `None` where it was not, or is not told."""
        chosen = ChosenOn.read(self.provenance.get("chosen_as_best_on"))
        return chosen and chosen.with_games_of(self.provenance)
