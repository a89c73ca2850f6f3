"""The published splits: which games they name, that they build, and what a data set without them is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.plan import split_games
from tests.pipelines.conftest import SMALL, MakeDataset, run
from tracknet.datasets.index import open_split
from tracknet.datasets.manifest import Manifest
from tracknet.utils.config import load_config
from tracknet.utils.errors import EXIT_DONE, EXIT_WRONG_REQUEST

PUBLISHED = {
    "tracknet": ([1, 2, 3, 4, 5, 6, 7, 8], [9, 10], []),
    "tracknet_wasb": ([1, 2, 3, 4, 5, 6], [7], [8, 9, 10]),
    "tracknet_v4": ([2, 3, 5, 6, 7, 8], [10], [1, 4, 9]),
}


@pytest.mark.parametrize("preset", PUBLISHED)
def test_presets_split_the_published_games_and_change_nothing_else(preset: str) -> None:
    data = load_config(data=preset).data
    splits = split_games([f"game{n}" for n in range(1, 11)], data.val_games, data.test_games)
    for split, numbers in zip(("train", "val", "test"), PUBLISHED[preset], strict=True):
        assert splits.get(split, []) == [f"game{n}" for n in numbers]
    default = load_config().data
    assert (
        replace(data, shards=default.shards, val_games=default.val_games, test_games=default.test_games)
        == default
    )


@pytest.mark.parametrize("preset", ["tracknet_wasb", "tracknet_v4"])
def test_a_preset_builds_three_splits(preset: str, make_dataset: MakeDataset, out: Path) -> None:
    root = make_dataset(games=10, clips=1, frames=4)
    assert run(root, out, *SMALL, "--data", preset) == EXIT_DONE
    manifest = Manifest.read(out)
    for split, numbers in zip(("train", "val", "test"), PUBLISHED[preset], strict=True):
        assert manifest.games[split] == [f"game{n}" for n in numbers]
        assert len(open_split(out, split).table.keys) == 4 * len(numbers)
    assert manifest.config["test_games"] == manifest.games["test"]


def test_a_data_set_without_these_games(
    make_dataset: MakeDataset, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_dataset(games=8, clips=1, frames=4)
    assert run(root, out, *SMALL, "--data", "tracknet_wasb") == EXIT_WRONG_REQUEST
    message = capsys.readouterr().err
    assert "--test-games 9: there is no such game" in message
    assert "--test-games 10: there is no such game" in message
    assert "the ten games of the TrackNet tennis data set: --data tracknet splits any" in message
    assert not out.exists()


def test_test_games_are_asked_for_and_refused_like_a_validation(
    root: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(root, out, *SMALL, "--test-games", "3") == EXIT_DONE
    assert Manifest.read(out).games == {"train": ["game1"], "val": ["game2"], "test": ["game3"]}
    assert "test: 3 shards of 6 to 12 frames from game3" in capsys.readouterr().out
    assert run(root, out) == EXIT_WRONG_REQUEST
    message = capsys.readouterr().err
    assert 'test_games: ["game3"] there, null asked for' in message
    assert "--test-games game3" in message
    assert run(root, out, *SMALL, "--test-games", "3", "--val-games", "game3") == EXIT_WRONG_REQUEST
    assert "game3: asked for as validation and as test" in capsys.readouterr().err
    assert run(root, out, *SMALL, "--test-games", "1,2,3") == EXIT_WRONG_REQUEST
    assert "--test-games game1,game2,game3: no game is left" in capsys.readouterr().err
    assert run(root, out, *SMALL, "--test-games", "2,3") == EXIT_WRONG_REQUEST
    assert "one game only (game1) beside those of the test" in capsys.readouterr().err
