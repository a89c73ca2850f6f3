"""The plan: every frame once, even shards, no game in two splits, whatever the order of the clips."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.plan import Plan, cut, make_plan, split_games
from tracknet.datasets.label_csv import parse_clip
from tracknet.datasets.label_faults import settle
from tracknet.datasets.schema import FrameLabel, LabelledClip, Visibility
from tracknet.utils.errors import UserError
from tracknet.utils.geometry import Size
from tracknet.utils.naming import natural_key


def make_clip(game: str, clip: str, frames: int) -> LabelledClip:
    folder = Path("root") / game / clip
    labels = tuple(
        FrameLabel(folder / f"{n:04d}.jpg", n, Visibility.ABSENT, None, None) for n in range(frames)
    )
    return LabelledClip(game, clip, folder / "Label.csv", Size(1280, 720), labels)


def plan_of(clips: list[LabelledClip], **options: object) -> Plan:
    defaults: dict[str, object] = {"val_games": None, "num_shards": 8, "segment_frames": 16, "seed": 0}
    return make_plan(clips, **(defaults | options))  # type: ignore[arg-type]


@st.composite
def datasets(draw: st.DrawFn) -> list[LabelledClip]:
    return [
        make_clip(f"game{game}", f"Clip{clip}", draw(st.integers(1, 90)))
        for game in range(1, draw(st.integers(2, 6)) + 1)
        for clip in range(1, draw(st.integers(1, 12)) + 1)
    ]


@settings(max_examples=60, deadline=None)
@given(datasets(), st.integers(1, 40), st.integers(1, 100), st.integers(0, 5), st.randoms())
def test_what_every_plan_holds(
    clips: list[LabelledClip], num_shards: int, segment_frames: int, seed: int, rng: random.Random
) -> None:
    options = {"num_shards": num_shards, "segment_frames": segment_frames, "seed": seed}
    plan = plan_of(clips, **options)
    planned = [
        (segment.game, segment.clip, frame.number)
        for shard in plan.shards
        for segment in shard.segments
        for frame in segment.frames
    ]
    assert sorted(planned) == sorted((c.game, c.clip, f.number) for c in clips for f in c.frames)
    for split, games in plan.games.items():
        shards = plan.shards_of(split)
        assert [shard.name for shard in shards] == [f"{split}-{n:03d}.tar" for n in range(len(shards))]
        segments = [segment for shard in shards for segment in shard.segments]
        assert {segment.game for segment in segments} == set(games)
        longest = max(len(segment.frames) for segment in segments)
        assert longest <= segment_frames
        assert max(s.frames for s in shards) - min(s.frames for s in shards) <= longest
        assert min(s.frames for s in shards) > 0
        if split == "train":
            assert len(shards) == min(num_shards, len(segments))
    assert not set(plan.games["train"]) & set(plan.games["val"])
    for shard in plan.shards:
        order = [(natural_key(s.game), natural_key(s.clip), s.number) for s in shard.segments]
        assert order == sorted(order)
        for segment in shard.segments:
            numbers = [frame.number for frame in segment.frames]
            assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    shuffled = list(clips)
    rng.shuffle(shuffled)
    assert plan_of(shuffled, **options) == plan


@given(st.integers(1, 1000), st.integers(1, 200))
def test_a_clip_is_cut_into_the_fewest_equal_parts(frames: int, segment_frames: int) -> None:
    parts = cut(make_clip("game1", "Clip1", frames), segment_frames)
    lengths = [len(part.frames) for part in parts]
    assert sum(lengths) == frames
    assert len(parts) == -(-frames // segment_frames)
    assert max(lengths) - min(lengths) <= 1
    assert [part.number for part in parts] == list(range(len(parts)))


def test_the_seed_deals_anew() -> None:
    clips = [make_clip(f"game{g}", f"Clip{c}", 40) for g in (1, 2, 3) for c in range(1, 9)]
    assert plan_of(clips, seed=1) != plan_of(clips, seed=2)


def test_the_deal_is_the_same_in_every_version() -> None:
    """Written down, so that a change of it is seen: it would rebuild everybody's shards."""
    plan = plan_of([make_clip(f"game{g}", f"Clip{c}", 10) for g in (1, 2) for c in (1, 2, 3)], num_shards=2)
    assert [[f"{s.game}/{s.clip}" for s in shard.segments] for shard in plan.shards] == [
        ["game1/Clip2", "game1/Clip3"],
        ["game1/Clip1"],
        ["game2/Clip2", "game2/Clip3"],
        ["game2/Clip1"],
    ]


def test_the_published_data_set_makes_32_even_shards_of_many_games(shared_data: Path) -> None:
    files = (shared_data / "data" / "tracknet_labels").glob("game*/Clip*/Label.csv")
    clips, _ = settle([parse_clip(path, Size(1280, 720), None) for path in files], "error")
    plan = plan_of(clips, num_shards=32, segment_frames=64)
    assert plan.games["val"] == ["game9", "game10"]
    train = plan.shards_of("train")
    assert len(train) == 32
    frames = [shard.frames for shard in train]
    assert max(frames) - min(frames) <= 64
    assert min(len({segment.game for segment in shard.segments}) for shard in train) >= 3
    val = [shard.frames for shard in plan.shards_of("val")]
    assert max(val) - min(val) <= 64
    assert 0.8 < (sum(val) / len(val)) / (sum(frames) / len(frames)) < 1.25


def test_val_games_by_name_number_and_default() -> None:
    games = [f"game{n}" for n in (10, 2, 1, 3, 4)]
    assert split_games(games, None) == {"train": ["game1", "game2", "game3", "game4"], "val": ["game10"]}
    assert split_games(games, ["2", "game10"])["val"] == ["game2", "game10"]
    assert split_games(games, ["02"])["val"] == ["game2"]
    assert split_games(games, []) == {"train": ["game1", "game2", "game3", "game4", "game10"]}
    assert len(split_games([f"game{n}" for n in range(1, 11)], None)["val"]) == 2


@pytest.mark.parametrize(
    ("games", "val", "words"),
    [
        (["game1", "game2"], ["7"], "the games are game1, game2"),
        (["game1", "game2"], ["gamee2"], "did you mean game2?"),
        (["game1", "game2"], ["1", "2"], "no game is left to train on"),
        (["game1", "match1"], ["1"], "could be game1 or match1"),
        (["game1"], None, "--val-games none"),
    ],
)
def test_impossible_val_games(games: list[str], val: list[str] | None, words: str) -> None:
    with pytest.raises(UserError) as caught:
        split_games(games, val)
    assert words in str(caught.value)


def test_clashing_and_overlong_names_are_refused() -> None:
    with pytest.raises(UserError, match="would both get the key 'a_b_c_0000'"):
        plan_of([make_clip("a", "b_c", 3), make_clip("a_b", "c", 3)])
    with pytest.raises(UserError, match="longer than 95 bytes"):
        plan_of([make_clip("g" * 90, "Clip1", 3), make_clip("game2", "Clip1", 3)])


def test_more_games_than_one_share_a_shard() -> None:
    clips = [make_clip(f"game{g}", f"Clip{c}", 64) for g in range(1, 9) for c in range(1, 11)]
    plan = plan_of(clips, num_shards=8, segment_frames=64, val_games=["8"])
    games = Counter(len({s.game for s in shard.segments}) for shard in plan.shards_of("train"))
    assert min(games) >= 3
