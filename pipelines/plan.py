"""Decides what goes into which shard. Pure: clips and settings in, a plan out; nothing is read or written.

Clips are cut into segments of consecutive frames, and the segments are dealt to the shards in an order that a
seed decides. Train and validation share no game, so that no frame of one has a near-duplicate in the other.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.wording import counted
from tracknet.datasets.schema import FrameLabel, LabelledClip, frame_key
from tracknet.utils.errors import UserError
from tracknet.utils.geometry import Size
from tracknet.utils.naming import find_game, natural_key

USTAR_NAME_BYTES = 100
_LONGEST_SUFFIX = len(".json")


@dataclass(frozen=True, slots=True)
class Segment:
    """Consecutive frames of one clip, stored in one shard."""

    game: str
    clip: str
    number: int
    frame_size: Size
    frames: tuple[FrameLabel, ...]


@dataclass(frozen=True, slots=True)
class ShardPlan:
    """One shard's content: whole segments, in the order of game, clip and frame."""

    name: str
    split: str
    segments: tuple[Segment, ...]

    @property
    def frames(self) -> int:
        """How many frames the shard holds."""
        return sum(len(segment.frames) for segment in self.segments)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a build consists of: every shard, and the games of each split that has any."""

    shards: tuple[ShardPlan, ...]
    games: dict[str, list[str]]

    def shards_of(self, split: str) -> list[ShardPlan]:
        """The shards of one split, in order of name."""
        return [shard for shard in self.shards if shard.split == split]


def split_games(games: Iterable[str], val_games: Sequence[str] | None) -> dict[str, list[str]]:
    """Which games train and which validate.

    Args:
        games: names of all games.
        val_games: names, or the numbers they end in (`2` is `game2`); `None` takes the last fifth in natural
            order, at least one; empty takes none.

    Returns:
        `{"train": [...], "val": [...]}` in natural order; without `val` where nothing validates.

    Raises:
        UserError: a game is unknown or ambiguous, or none is left to train on.

    """
    known = sorted(set(games), key=lambda game: (natural_key(game), game))
    if val_games is None:
        if len(known) == 1:
            raise UserError(
                f"there is one game only ({known[0]}), so none can be held out for validation",
                remedy="give a second game, or build training shards alone with --val-games none; frames of "
                "one game are near-duplicates and would make a validation that proves nothing",
            )
        chosen = set(known[-max(1, round(len(known) / 5)) :])
    else:
        chosen = {find_game(name, known, asked_by="--val-games") for name in val_games}
    train = [game for game in known if game not in chosen]
    if not train:
        raise UserError(
            f"--val-games {','.join(sorted(chosen, key=natural_key))}: no game is left to train on",
            remedy=f"hold out fewer of the {counted(len(known), 'game')}",
        )
    val = [game for game in known if game in chosen]
    return {"train": train, "val": val} if val else {"train": train}


def make_plan(
    clips: Iterable[LabelledClip],
    *,
    val_games: Sequence[str] | None,
    num_shards: int,
    segment_frames: int,
    seed: int,
) -> Plan:
    """Deals all clips to shards; the same for any order of the clips.

    Args:
        clips: with one frame at least each.
        val_games: as `split_games` takes them.
        num_shards: training shards wanted; there are fewer when there are fewer segments. Validation gets as
            many as make its shards about as large as those of the training.
        segment_frames: the most consecutive frames that stay together; clips are cut into equal parts.
        seed: decides which segments share a shard.

    Raises:
        UserError: see `split_games`; or two frames would get the same key.

    """
    clips = list(clips)
    check_keys(clips)
    games = split_games((clip.game for clip in clips), val_games)
    shards: list[ShardPlan] = []
    frames_per_shard = 0.0
    for split, members in games.items():
        segments = [s for clip in clips if clip.game in members for s in cut(clip, segment_frames)]
        frames = sum(len(segment.frames) for segment in segments)
        wanted = num_shards if split == "train" else max(1, round(frames / frames_per_shard))
        count = min(wanted, len(segments))
        if split == "train":
            frames_per_shard = frames / count
        for number, dealt in enumerate(deal(segments, count, seed)):
            shards.append(ShardPlan(f"{split}-{number:03d}.tar", split, dealt))
    return Plan(tuple(shards), games)


def cut(clip: LabelledClip, segment_frames: int) -> list[Segment]:
    """A clip in the fewest parts of at most `segment_frames` frames, equal within one frame."""
    count = math.ceil(len(clip.frames) / segment_frames)
    edges = [len(clip.frames) * part // count for part in range(count + 1)]
    return [
        Segment(clip.game, clip.clip, number, clip.frame_size, clip.frames[edges[number] : edges[number + 1]])
        for number in range(count)
    ]


def deal(segments: Iterable[Segment], count: int, seed: int) -> list[tuple[Segment, ...]]:
    """Segments dealt to `count` shards that differ by at most the longest segment's frames.

    Each goes onto the emptiest shard, in an order made by hashing its name with the seed: independent of the
    order given and of any library's random generator, so that shards are the same on every machine.
    """
    shuffled = sorted(
        segments,
        key=lambda s: hashlib.sha256(f"{seed}/{s.game}/{s.clip}/{s.number}".encode()).digest(),
    )
    hands: list[list[Segment]] = [[] for _ in range(count)]
    frames = [0] * count
    for segment in shuffled:
        emptiest = frames.index(min(frames))
        hands[emptiest].append(segment)
        frames[emptiest] += len(segment.frames)
    return [tuple(sorted(hand, key=_segment_order)) for hand in hands]


def check_keys(clips: Iterable[LabelledClip]) -> None:
    """Refuses names that would give two frames the same key, or a key that a tar header cannot hold."""
    owner: dict[str, Path] = {}
    for clip in clips:
        for frame in clip.frames:
            key = frame_key(clip.game, clip.clip, frame.number)
            if len(key.encode()) + _LONGEST_SUFFIX > USTAR_NAME_BYTES:
                raise UserError(
                    f"{clip.label_file.parent}: the key {key!r} is longer than "
                    f"{USTAR_NAME_BYTES - _LONGEST_SUFFIX} bytes",
                    remedy="shorten the name of the game's or clip's folder",
                )
            if owner.setdefault(key, frame.path) != frame.path:
                raise UserError(
                    f"{owner[key]} and {frame.path} would both get the key {key!r}",
                    remedy="rename one of the folders: `.`, `-` and `_` are not told apart at their seams",
                )


def _segment_order(segment: Segment) -> tuple[object, ...]:
    return natural_key(segment.game), segment.game, natural_key(segment.clip), segment.clip, segment.number
