"""Decides what goes into which shard. Pure: clips and settings in, a plan out; nothing is read or written.

Clips are cut into segments of consecutive frames, and the segments are dealt to the shards in an order that a
seed decides. The splits share no game, so that no frame of one has a near-duplicate in another.
"""

from __future__ import annotations

import hashlib
import heapq
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tracknet.datasets.schema import FrameLabel, LabelledClip, frame_key
from tracknet.utils.errors import UserError
from tracknet.utils.geometry import Size
from tracknet.utils.naming import counted, find_game, natural_key
from tracknet.utils.tar_header import USTAR_NAME_BYTES

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


def split_games(
    games: Iterable[str], val_games: Sequence[str] | None, test_games: Sequence[str] = ()
) -> dict[str, list[str]]:
    """Which games train, which validate and which are kept for the test.

    Args:
        games: names of all games.
        val_games: names, or the numbers they end in (`2` is `game2`); `None` takes the last fifth, in natural
            order, of those that are not tested, at least one; empty takes none.
        test_games: names, or the numbers they end in; none by default.

    Returns:
        `{"train": [...], "val": [...], "test": [...]}` in natural order; without the splits that are empty.

    Raises:
        UserError: games are unknown or ambiguous (all are named), in two splits, or none is left to train on.

    """
    known = sorted(set(games), key=lambda game: (natural_key(game), game))
    test, val = _chosen_games(known, test_games, val_games or ())
    if val_games is None:
        rest = [game for game in known if game not in test]
        if len(rest) == 1:
            raise UserError(
                f"there is one game only ({rest[0]}){' beside those of the test' if test else ''}, "
                "so none can be held out for validation",
                remedy="give a second game, or build without validation by --val-games none; frames of "
                "one game are near-duplicates and would make a validation that proves nothing",
            )
        val = set(rest[-max(1, round(len(rest) / 5)) :])
    if both := sorted(val & test, key=natural_key):
        raise UserError(
            f"{', '.join(both)}: asked for as validation and as test",
            remedy="choose other --val-games: what chose a checkpoint and its threshold can test them no more",
        )
    train = [game for game in known if game not in val | test]
    if not train:
        asked = " ".join(
            f"--{split}-games {','.join(sorted(chosen, key=natural_key))}"
            for split, chosen in (("val", val), ("test", test))
            if chosen
        )
        raise UserError(
            f"{asked}: no game is left to train on",
            remedy=f"hold out fewer of the {counted(len(known), 'game')}",
        )
    splits = {"train": train, "val": sorted(val, key=known.index), "test": sorted(test, key=known.index)}
    return {split: members for split, members in splits.items() if members}


def make_plan(
    clips: Iterable[LabelledClip],
    *,
    val_games: Sequence[str] | None,
    test_games: Sequence[str] = (),
    num_shards: int,
    segment_frames: int,
    seed: int,
) -> Plan:
    """Deals all clips to shards; the same for any order of the clips.

    Args:
        clips: with one frame at least each.
        val_games: as `split_games` takes them, and so `test_games`.
        num_shards: training shards wanted; there are fewer when there are fewer segments. Validation and test
            get as many as make their shards about as large as those of the training.
        segment_frames: the most consecutive frames that stay together; clips are cut into equal parts.
        seed: decides which segments share a shard.

    Raises:
        UserError: see `split_games`; or two frames would get the same key.

    """
    clips = list(clips)
    check_keys(clips)
    games = split_games((clip.game for clip in clips), val_games, test_games)
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
    by_frames = [(0, number) for number in range(count)]
    for segment in shuffled:
        frames, emptiest = by_frames[0]
        hands[emptiest].append(segment)
        heapq.heapreplace(by_frames, (frames + len(segment.frames), emptiest))
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


def _chosen_games(
    known: Sequence[str], test_games: Sequence[str], val_games: Sequence[str]
) -> tuple[set[str], set[str]]:
    """The games meant for the test and for validation; every name that means none, or several, is a problem."""
    found: dict[str, set[str]] = {"test": set(), "val": set()}
    problems = []
    for split, names in (("test", test_games), ("val", val_games)):
        for name in names:
            try:
                found[split].add(find_game(name, known, asked_by=f"--{split}-games"))
            except UserError as error:
                problems.append(error.what)
    if problems:
        raise UserError(
            "the games asked for as validation or test (data.val_games, data.test_games) are not all there",
            problems=problems,
            remedy=f"the games are {', '.join(known)}; a published split (--data tracknet_wasb, tracknet_v4) "
            "needs the ten games of the TrackNet tennis data set: --data tracknet splits any",
        )
    return found["test"], found["val"]


def _segment_order(segment: Segment) -> tuple[object, ...]:
    return natural_key(segment.game), segment.game, natural_key(segment.clip), segment.clip, segment.number
