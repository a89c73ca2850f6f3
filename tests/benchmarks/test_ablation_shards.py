"""Which shards a row is trained on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.ablation import shards as shard_folders
from benchmarks.ablation.shards import Shards
from tests.benchmarks.toy_builds import GAMES, asked, built
from tracknet.utils.errors import RunError, UserError
from tracknet.utils.geometry import Size


def test_a_build_of_the_rows_games_is_taken(tmp_path: Path) -> None:
    shards = built(tmp_path / "shards", GAMES)
    assert Shards(shards, None, tmp_path).folder_of(asked()) == shards
    assert Shards(shards, None, tmp_path).folder_of(asked("badminton", "data.val_games=[6,8]")) == shards
    # Without a word on them the last fifth are the validation's.
    last = built(tmp_path / "last", {"train": GAMES["train"], "val": ["match8", "match9"]})
    request = asked("badminton", "data.val_games=null")
    assert Shards(last, None, tmp_path).folder_of(request) == last


def test_a_build_of_other_games_is_refused(tmp_path: Path) -> None:
    other = {"train": [f"match{n}" for n in range(1, 7)], "val": ["match7", "match8"]}
    shards = built(tmp_path / "shards", other)
    # Also where others could be built: whoever names shards wants these.
    for root in (None, tmp_path):
        with pytest.raises(UserError, match="holds other games than the row detail_small") as refused:
            Shards(shards, root, tmp_path).folder_of(asked())
        assert refused.value.problems == (
            "train: match1, match2, match3, match4, match5, match6 where the row asks for "
            "match1, match2, match3, match4, match5, match7",
            "val: match7, match8 where the row asks for match6, match8",
        )
    tested = built(
        tmp_path / "tested", {"train": GAMES["train"][1:], "val": GAMES["val"], "test": ["match1"]}
    )
    with pytest.raises(UserError) as refused:
        Shards(tested, None, tmp_path).folder_of(asked())
    assert "test: match1 where the row asks for none" in refused.value.problems
    lacking = built(tmp_path / "lacking", {"train": ["match1"], "val": ["match6"]})
    with pytest.raises(UserError, match="not all there"):
        Shards(lacking, None, tmp_path).folder_of(asked())


def test_a_build_of_another_size_is_left_aside(tmp_path: Path) -> None:
    shards = built(tmp_path / "shards", GAMES, Size(640, 352))
    with pytest.raises(UserError, match="needs shards of 512x288"):
        Shards(shards, None, tmp_path).folder_of(asked())
    with pytest.raises(UserError, match="holds no finished build"):
        Shards(tmp_path, None, tmp_path).folder_of(asked())


def test_shards_are_built_once_for_a_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Sequence[str]] = []
    monkeypatch.setattr(shard_folders, "call", lambda module, arguments, log: calls.append(arguments))
    shards = Shards(None, tmp_path, tmp_path)
    # A longer window is read out of the same shards.
    for overrides in ((), ("data.sequence.length=5", "data.augment.warp_prob=1.0")):
        folder = shards.folder_of(asked("badminton", *overrides))
        assert folder == tmp_path / "shards-512x288"
    assert len(calls) == 1
    shards.folder_of(asked("badminton", "data.resize=[256,144]"))
    assert [Path(call[3]).name for call in calls] == ["shards-512x288", "shards-256x144"]

    def fail(module: str, arguments: Sequence[str], log: Path | None) -> None:
        calls.append(arguments)
        raise RunError("the disk is full")

    monkeypatch.setattr(shard_folders, "call", fail)
    failing = Shards(None, tmp_path, tmp_path)
    for told in ("the disk is full", "could not be built, as an earlier row was told"):
        with pytest.raises(UserError, match=told):
            failing.folder_of(asked())
    assert len(calls) == 3
