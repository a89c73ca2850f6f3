"""Which windows a training sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.datasets.conftest import SmallBuild, table_of
from tracknet.datasets.filters import choose_windows, chosen_games
from tracknet.datasets.loader import StreamLoader
from tracknet.datasets.pieces import WindowRuns
from tracknet.datasets.sample_spec import SampleSpec
from tracknet.datasets.shard_streams import training_stream
from tracknet.datasets.table import FrameTable
from tracknet.datasets.windows import make_windows
from tracknet.utils.errors import UserError
from tracknet.utils.settings import FilterConfig, LoaderConfig, SequenceConfig

THREE = SequenceConfig(3)


def choose(table: FrameTable, config: FilterConfig, maps: Sequence[int] = (1,)) -> WindowRuns:
    return choose_windows(table, make_windows(table, THREE), config, map_frames=maps)


def in_games(table: FrameTable, *games: str) -> FrameTable:
    return replace(table, clips=[(game, f"Clip{n}") for n, game in enumerate(games, 1)])


def test_no_filter_keeps_all_windows_in_their_runs() -> None:
    runs = choose(table_of([0, 1, 2], [0, 1, 4]), FilterConfig())
    assert runs.ids.tolist() == list(range(6))
    assert runs.bounds.tolist() == [[0, 3], [3, 5], [5, 6]]


@given(st.lists(st.integers(0, 3), min_size=1, max_size=30))
def test_visible_only_asks_the_frames_that_have_a_target(visibility: list[int]) -> None:
    table = replace(table_of(list(range(len(visibility)))), visibility=np.array(visibility, np.int8))
    seen = [code > 0 for code in visibility]
    if any(seen):
        assert choose(table, FilterConfig(visible_only=True)).ids.tolist() == np.flatnonzero(seen).tolist()
        last = len(seen) - 1
        in_reach = [seen[max(0, n - 1)] or seen[n] or seen[min(last, n + 1)] for n in range(len(seen))]
        every_map = choose(table, FilterConfig(visible_only=True), maps=(0, 1, 2))
        assert every_map.ids.tolist() == np.flatnonzero(in_reach).tolist()
    else:
        with pytest.raises(UserError, match="leaves nothing"):
            choose(table, FilterConfig(visible_only=True))


def test_windows_left_out_stay_context(spec: SampleSpec) -> None:
    """Row 3 of the table has no ball: its window goes, its frame is still read by the two beside it."""
    table = table_of([0, 1, 2, 3, 4])
    assert choose(table, FilterConfig(visible_only=True)).ids.tolist() == [0, 1, 2, 4]
    assert 3 in make_windows(table, THREE).rows(np.array([2]))


def test_every_other_window_of_each_run() -> None:
    table = table_of([0, 1, 2, 3, 4], [7, 8, 9], [0, 2, 3])
    runs = choose(table, FilterConfig(every=2))
    assert runs.ids.tolist() == [0, 2, 4, 5, 7, 8, 9]
    assert [(int(end - first)) for first, end in runs.bounds] == [3, 2, 1, 1]


@pytest.mark.parametrize(
    ("filters", "rows"),
    [
        (FilterConfig(games=("game2",)), [2, 3]),
        (FilterConfig(games=("1", "12")), [0, 1, 4, 5]),
        (FilterConfig(exclude_games=("game1",)), [2, 3, 4, 5]),
        (FilterConfig(games=("1", "2"), exclude_games=("2",)), [0, 1]),
        (FilterConfig(games=("2",), every=2), [2]),
        (FilterConfig(games=("2",), visible_only=True), [2]),
    ],
)
def test_games_by_name_or_number(filters: FilterConfig, rows: list[int]) -> None:
    table = in_games(table_of([0, 1], [0, 1], [0, 1]), "game1", "game2", "game12")
    assert choose(table, filters).ids.tolist() == rows


def test_games_that_are_not_there_are_all_named() -> None:
    table = in_games(table_of([0, 1], [0, 1]), "game1", "game2")
    with pytest.raises(UserError) as caught:
        choose(table, FilterConfig(games=("gmae1", "2"), exclude_games=("7",)))
    assert caught.value.what == "data.filter names games that the training shards do not hold"
    assert [problem.split(":", 1)[1].strip() for problem in caught.value.problems] == [
        "gmae1: there is no such game (did you mean game1?)",
        "7: there is no such game",
    ]
    assert caught.value.remedy == "the games are game1, game2"


def test_a_filter_that_leaves_nothing_says_where_they_went() -> None:
    table = in_games(table_of([0, 1], [0, 1]), "game1", "game2")
    with pytest.raises(UserError, match="leaves nothing to train on") as caught:
        choose(
            replace(table, visibility=np.array([1, 1, 0, 0], np.int8)),
            FilterConfig(games=("2",), visible_only=True),
        )
    assert caught.value.problems == (
        "4 windows in all",
        "2 after data.filter.games=2",
        "0 after data.filter.visible_only",
    )


def test_the_stream_serves_what_passes_and_says_so(small_build: SmallBuild, plain_spec: SampleSpec) -> None:
    shards, filters = small_build.open(), FilterConfig(visible_only=True, games=("1",), every=2)

    def stream_of(filters: FilterConfig):  # type: ignore[no-untyped-def]
        return training_stream(shards, plain_spec, LoaderConfig(), batch_size=4, seed=0, filters=filters)

    stream = stream_of(filters)
    batches = StreamLoader(stream, LoaderConfig(workers=0)).epoch()
    rows = [row for batch in batches for row in batch.rows.flatten().tolist()]
    expected = choose(shards.table, filters).ids.tolist()
    assert set(rows) <= set(expected)
    assert len(rows) == len(expected) // 4 * 4 > 0
    assert all(shards.table.visibility[row] > 0 for row in rows)
    assert {shards.table.clips[shards.table.clip_id[row]][0] for row in rows} == {"game1"}
    plan = stream.describe_plan()
    assert (plan["filter.visible_only"], plan["filter.games"], plan["filter.every"]) == (True, ["1"], 2)
    assert plan["windows"] == len(expected)
    assert plan != stream_of(FilterConfig()).describe_plan()


def test_the_games_that_a_training_sees() -> None:
    table = in_games(table_of([0, 1], [0, 1], [0, 1]), "game12", "game2", "game1")
    assert chosen_games(table, FilterConfig()) == ["game1", "game2", "game12"]
    assert chosen_games(table, FilterConfig(exclude_games=("2",))) == ["game1", "game12"]
