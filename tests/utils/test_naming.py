"""Natural order, and what someone probably meant to type."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracknet.utils.errors import UserError
from tracknet.utils.naming import did_you_mean, find_game, natural_key, times


def test_numbers_count_as_numbers() -> None:
    names = ["Clip1", "Clip2", "Clip9", "Clip10", "Clip10a", "Clip10b2", "Clip10b11", "Clip100"]
    shuffled = random.Random(0).sample(names, len(names))
    assert sorted(shuffled, key=natural_key) == names


@pytest.mark.parametrize("name", ["", "1²", "²", "①", "٣", "a.b-c_d", "007"])
def test_any_name_has_a_key(name: str) -> None:
    assert natural_key(name) == natural_key(name)
    assert sorted([name, "game1"], key=natural_key)


@given(st.lists(st.text(max_size=8), max_size=8))
def test_names_of_any_letters_can_be_sorted(names: list[str]) -> None:
    ordered = sorted(names, key=natural_key)
    assert sorted(ordered) == sorted(names)
    keys = [natural_key(name) for name in ordered]
    assert all(one <= other for one, other in itertools.pairwise(keys))


@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_the_order_of_numbered_names_is_that_of_the_numbers(one: int, other: int) -> None:
    assert (natural_key(f"game{one}") < natural_key(f"game{other}")) == (one < other)


@pytest.mark.parametrize(
    ("word", "answer"),
    [("batchsize", " (did you mean batch_size?)"), ("lrr", " (did you mean lr?)"), ("unlike", ""), ("", "")],
)
def test_did_you_mean(word: str, answer: str) -> None:
    assert did_you_mean(word, ["lr", "batch_size", "epochs"]) == answer


def test_nothing_is_meant_where_nothing_is_known() -> None:
    assert did_you_mean("lr", []) == ""


@pytest.mark.parametrize(
    ("name", "known", "found"),
    [
        ("game2", ["game1", "game2"], "game2"),
        ("2", ["game1", "game2", "game12"], "game2"),
        ("02", ["game2"], "game2"),
        ("2", ["2", "game2"], "2"),
    ],
)
def test_a_game_by_its_name_or_number(name: str, known: list[str], found: str) -> None:
    assert find_game(name, known, asked_by="--games") == found


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gaem1", r"--games gaem1: there is no such game \(did you mean game1\?\)"),
        ("1", "--games 1: could be game1 or match1"),
        ("²", "--games ²: there is no such game"),
    ],
)
def test_a_game_that_cannot_be_told(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        find_game(name, ["game1", "match1"], asked_by="--games")


def test_how_often_is_said_in_words() -> None:
    assert [times(count) for count in (1, 2, 1200)] == ["once", "2 times", "1,200 times"]
