"""The field's ways of scoring, as data: what is a ball, what is near enough, and what recall is a share of.

All of them sort every frame into five outcomes (`counts`) and differ in the columns of `PROTOCOLS`. Adding
one is one entry. Points are compared as they were predicted; the authors' own programs of `tracknetv2` and
`racketvision` round to whole pixels first, which costs up to 0.7 px of the 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from tracknet.datasets.schema import Visibility
from tracknet.utils.errors import UserError
from tracknet.utils.geometry import Size
from tracknet.utils.naming import did_you_mean
from tracknet.utils.settings import MetricsConfig

RecallOf = Literal["found_or_missed", "all_balls"]
RankedBy = Literal["score", "blob_score"]

_CLEAR, _HARD, _OCCLUDED = Visibility.CLEAR, Visibility.HARD, Visibility.OCCLUDED


@dataclass(frozen=True, slots=True)
class Protocol:
    """One way of scoring.

    Attributes:
        name: as commands take it.
        title: for people.
        source: the paper or program that it is taken from.
        distance_px: the largest distance from the truth of a correct detection, in pixels of `space`.
        strict: a distance of exactly `distance_px` is too far.
        space: picture size that distances are measured at; `None` is the frame's own.
        visible: visibility codes that are a ball; any other frame is one without.
        excluded: visibility codes whose frames are left out altogether.
        recall_of: what recall is a share of. `found_or_missed`: TP + FN, so that a ball detected in a wrong
            place (FP1) is in no denominator of recall. `all_balls`: TP + FP1 + FN.
        ranked_by: the column that orders detections for average precision.
    """

    name: str
    title: str
    source: str
    distance_px: float
    strict: bool = False
    space: Size | None = None
    visible: frozenset[int] = frozenset({_CLEAR, _HARD, _OCCLUDED})
    excluded: frozenset[int] = frozenset()
    recall_of: RecallOf = "found_or_missed"
    ranked_by: RankedBy = "score"

    @property
    def space_text(self) -> str:
        """`1280x720`, or `frame pixels`."""
        return "frame pixels" if self.space is None else str(self.space)

    @property
    def distance_text(self) -> str:
        """`d < 4 px at 1280x720`."""
        where = "in frame pixels" if self.space is None else f"at {self.space}"
        return f"d {'<' if self.strict else '<='} {self.distance_px:g} px {where}"

    @property
    def named_distance_text(self) -> str:
        """`wasb, d < 4 px at 1280x720`: how models and reports record by which one a threshold was chosen."""
        return f"{self.name}, {self.distance_text}"

    @property
    def balls_text(self) -> str:
        """`visibility 1, 2; frames of 0 left out`."""
        text = "visibility " + ", ".join(str(int(code)) for code in sorted(self.visible))
        left_out = ", ".join(str(int(code)) for code in sorted(self.excluded))
        return f"{text}; frames of {left_out} left out" if left_out else text

    def with_all_frames(self) -> Protocol:
        """The same, with no frame left out: so that a threshold cannot be chosen blind to false alarms."""
        return replace(self, excluded=frozenset())


def design(distance_px: float = 5.0) -> Protocol:
    """The project's own protocol at some distance, in frame pixels."""
    return Protocol(
        name="design",
        title="TrackNet design",
        source="this project's design: frames of visibility 0 excluded, their false alarms reported apart",
        distance_px=distance_px,
        excluded=frozenset({Visibility.ABSENT}),
        recall_of="all_balls",
    )


PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        design(),
        Protocol(
            name="wasb",
            title="WASB",
            source="Tarashima et al., Widely Applicable Strong Baseline for Sports Ball Detection and Tracking, "
            "BMVC 2023; nttcom/WASB-SBDT, src/utils/evaluator.py",
            distance_px=4.0,
            strict=True,
            space=Size(1280, 720),
            visible=frozenset({_CLEAR, _HARD}),
            ranked_by="blob_score",
        ),
        Protocol(
            name="tracknetv2",
            title="TrackNetV2",
            source="Sun et al., TrackNetV2: Efficient Shuttlecock Tracking Network, ICPAI 2020; "
            "as in qaz812345/TrackNetV3, test.py",
            distance_px=4.0,
            space=Size(512, 288),
        ),
        Protocol(
            name="tracknet",
            title="TrackNet",
            source="Huang et al., TrackNet: A Deep Learning Network for Tracking High-speed and Tiny Objects "
            "in Sports Applications, AVSS 2019 (arXiv 1907.03698): positioning error of at most 5 px",
            distance_px=5.0,
            space=Size(1280, 720),
        ),
        Protocol(
            name="racketvision",
            title="RacketVision",
            source="OrcustD/RacketVision, source/BallTrack/metrics/ball_metrics.py: a ball detected in a wrong "
            "place counts against recall too",
            distance_px=4.0,
            space=Size(512, 288),
            recall_of="all_balls",
        ),
    )
}
MAIN_PROTOCOL = "wasb"


def chosen_protocols(names: Sequence[str] | None, *, design_distance_px: float = 5.0) -> list[Protocol]:
    """The protocols of some names in the table's order; all where none are given.

    Args:
        names: as in `PROTOCOLS`.
        design_distance_px: of the `design` protocol, in frame pixels.

    Raises:
        UserError: naming every unknown name.
    """
    unknown = [name for name in names or () if name not in PROTOCOLS]
    if unknown:
        raise UserError(
            "there is no such protocol",
            problems=[f"{name!r}{did_you_mean(name, PROTOCOLS)}" for name in unknown],
            remedy=f"choose from {', '.join(PROTOCOLS)}",
        )
    table = {**PROTOCOLS, "design": design(design_distance_px)}
    return [table[name] for name in table if not names or name in names]


def threshold_protocol(config: MetricsConfig) -> Protocol:
    """The one that a training chooses its score threshold by, and its best model where `monitor` is `f1`."""
    (protocol,) = chosen_protocols([config.threshold_protocol], design_distance_px=config.distance_px)
    return protocol


def main_protocol(protocols: Sequence[Protocol]) -> Protocol:
    """The one that breakdowns and verdicts go by: `wasb` where it is among them, else the first."""
    return next((p for p in protocols if p.name == MAIN_PROTOCOL), protocols[0])
