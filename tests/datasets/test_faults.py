"""Damage met while training: found before it is decoded, named by shard and key, and raised or skipped and counted."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.datasets.conftest import CountingSource, SmallBuild, fake_stream
from tracknet.datasets.augmentations import NOTHING_RGB
from tracknet.datasets.batch import TENSORS, Batch
from tracknet.datasets.faults import FaultLog, FrameFault, ReadWatch, stalled
from tracknet.datasets.index import open_split
from tracknet.datasets.loader import StreamLoader
from tracknet.datasets.reader import Frame, ShardReader
from tracknet.datasets.sample_spec import SampleSpec
from tracknet.datasets.shard_names import expand_shards
from tracknet.datasets.shard_set import ShardSet
from tracknet.datasets.shard_streams import evaluation_stream, training_stream
from tracknet.datasets.sources import join_shards, open_sources
from tracknet.utils.errors import RunError, UserError
from tracknet.utils.settings import DataConfig, LoaderConfig

SKIP = LoaderConfig(lanes=6, run_length=4, on_bad_frame="skip", max_bad_frames=3)
MODES = [("threads", 0), ("threads", 2), ("processes", 2)]
ROW = 33


@pytest.fixture
def shards(small_build: SmallBuild, tmp_path: Path) -> ShardSet:
    """A copy that may be damaged."""
    shutil.copytree(small_build.folder, tmp_path / "shards")
    return open_split(tmp_path / "shards", "train")


def shard_of(shards: ShardSet, row: int) -> Path:
    return shards.folder / shards.shard_names[shards.shard_id[row]]


def flip(shards: ShardSet, row: int) -> None:
    path = shard_of(shards, row)
    data = bytearray(path.read_bytes())
    data[int(shards.offset[row]) + int(shards.size[row]) // 2] ^= 1
    path.write_bytes(data)


def loader_of(
    shards: ShardSet, spec: SampleSpec, config: LoaderConfig = SKIP, warnings: list[str] | None = None
) -> StreamLoader:
    stream = training_stream(shards, spec, config, batch_size=4, seed=spec.seed)
    return StreamLoader(stream, config, warn=[].append if warnings is None else warnings.append)


# ---------------------------------------------------------------- skip, with a count and a limit


@pytest.mark.parametrize(("mode", "workers"), MODES)
def test_skipping_masks_the_windows_of_a_bad_frame_and_changes_nothing_else(
    small_build: SmallBuild, shards: ShardSet, spec: SampleSpec, mode: str, workers: int
) -> None:
    flip(shards, ROW)
    warnings: list[str] = []
    loader = loader_of(shards, spec, replace(SKIP, mode=mode, workers=workers), warnings)
    rows_of = loader.stream.windows.rows
    masked = 0
    for epoch in (0, 1):
        whole = loader_of(small_build.open(), spec).epoch(epoch)
        for damaged, sound in zip(loader.epoch(epoch), whole, strict=True):
            assert damaged.step == sound.step
            bad = torch.from_numpy((rows_of(sound.rows[:, 0].numpy()) == ROW).any(axis=1))
            for name in TENSORS:
                ours, theirs = getattr(damaged, name)[~bad], getattr(sound, name)[~bad]
                assert ours.numpy().tobytes() == theirs.numpy().tobytes(), name
            assert not damaged.valid[bad].any()
            assert not damaged.weights[bad].any()
            assert not damaged.heatmaps[bad].any()
            # Order and geometry are those of the plan.
            assert torch.equal(damaged.rows, sound.rows)
            assert torch.equal(damaged.to_frame, sound.to_frame)
            assert {fault.row for fault in damaged.faults} == ({ROW} if bad.any() else set())
            masked += int(bad.sum())
    loader.close()
    assert masked in (4, 5, 6)  # three windows hold a frame; fewer than a batch may be left out of an epoch
    assert len(loader.faults) == 1
    assert loader.faults.bad[ROW].startswith(f"{shard_of(shards, ROW)}: {shards.table.keys[ROW]}: damaged")
    # Once, not in every window and epoch.
    assert len(warnings) == 1
    assert "its windows are masked (number 1 of at most 3 that are skipped)" in warnings[0]


@pytest.mark.parametrize(("mode", "workers"), MODES)
@pytest.mark.parametrize("lost", ["missing", "cut"])
def test_a_shard_lost_before_the_start_is_skipped_and_told_of_once(
    small_build: SmallBuild, shards: ShardSet, spec: SampleSpec, mode: str, workers: int, lost: str
) -> None:
    path = shards.folder / "train-002.tar"
    path.unlink() if lost == "missing" else path.write_bytes(path.read_bytes()[:600])
    rows = np.flatnonzero(shards.shard_id == 2).tolist()
    skip = replace(SKIP, mode=mode, workers=workers, max_bad_frames=len(rows))
    told: list[str] = []
    for named in ({"shards": str(shards.folder)}, {"files": (f"{shards.folder}/train-<000..003>.tar",)}):
        data = DataConfig(**named, loader=skip)  # type: ignore[arg-type]
        there = open_sources(data, told.append).train
        with pytest.raises(UserError, match=r"1 of (4|the) shards .*not (what was built|there)"):
            open_sources(replace(data, loader=LoaderConfig()))
    assert len(told) == 2
    assert told[0].startswith(f"warning: 1 of 4 shards are not what was built: {path} ")
    assert (
        f"; their frames ({len(rows)} at most) are skipped; to have them, run the build command " in told[0]
    )
    # A glob stands for what was built, so that a run goes on with the same plan.
    assert expand_shards([f"{shards.folder}/train-*.tar"], lost_too=True)[2] == path
    warnings: list[str] = []
    loader = loader_of(there, spec, skip, warnings)
    assert loader.stream.describe_plan() == loader_of(small_build.open(), spec).stream.describe_plan()
    for _ in range(2):
        list(loader.epoch())
    loader.close()
    assert set(loader.faults.bad) <= set(rows)
    assert len(loader.faults) > len(rows) / 2
    (warning,) = warnings
    assert f"{path}: " in warning
    assert warning.endswith("; so are those of other frames there, with no more words")
    with pytest.raises(RunError, match="2 bad frames") as caught:
        list(loader_of(there, spec, replace(skip, max_bad_frames=1)).epoch())
    assert len(caught.value.problems) == 1
    assert caught.value.problems[0].endswith("(2 frames so far)")


def test_more_lost_frames_than_may_be_skipped_are_refused_at_the_start(shards: ShardSet) -> None:
    lost = [shards.folder / f"train-{number:03d}.tar" for number in (1, 2)]
    frames = int(np.isin(shards.shard_id, (1, 2)).sum())
    for path in lost:
        path.unlink()
    data = DataConfig(shards=str(shards.folder), loader=replace(SKIP, max_bad_frames=frames - 1))
    told: list[str] = []
    with pytest.raises(
        RunError, match=f"lost with {frames} frames, more than data.*={frames - 1} "
    ) as caught:
        open_sources(data, told.append)
    assert str(caught.value.remedy).endswith(f"set data.loader.max_bad_frames={frames}")
    assert all(str(path) in caught.value.problems[0] for path in lost)
    assert not told


def test_where_all_shards_are_lost_nothing_is_skipped(shards: ShardSet) -> None:
    for path in shards.folder.glob("train-*.tar"):
        path.unlink()
    with pytest.raises(RunError, match="4 of 4 shards are not what was built"):
        open_sources(DataConfig(shards=str(shards.folder), loader=SKIP), [].append)


def test_the_bad_frame_itself_is_grey_and_its_neighbours_are_seen(
    shards: ShardSet, plain_spec: SampleSpec
) -> None:
    flip(shards, ROW)
    loader = loader_of(shards, plain_spec)
    batch = next(b for b in loader.epoch() if (b.rows[:, 0] == ROW).any())
    window = int((batch.rows[:, 0] == ROW).nonzero()[0, 0])
    before, bad, after = batch.frames[window]
    assert (bad.permute(1, 2, 0) == torch.tensor(NOTHING_RGB)).all()
    np.testing.assert_array_equal(before.permute(1, 2, 0), ShardReader(shards).read(ROW - 1))
    np.testing.assert_array_equal(after.permute(1, 2, 0), ShardReader(shards).read(ROW + 1))


@pytest.mark.parametrize(("mode", "workers"), MODES)
def test_one_bad_frame_too_many_ends_the_run_at_the_same_step_in_every_mode(
    shards: ShardSet, spec: SampleSpec, mode: str, workers: int
) -> None:
    for row in (ROW, 2, 50):
        flip(shards, row)
    arrived: list[int] = []
    loader = loader_of(shards, spec, replace(SKIP, mode=mode, workers=workers, max_bad_frames=2))
    with pytest.raises(
        RunError, match=r"3 bad frames are more than data\.loader\.max_bad_frames=2"
    ) as caught:
        arrived.extend(batch.step for batch in loader.epoch())
    keys = [shards.table.keys[row] for row in (ROW, 2, 50)]
    assert all(any(key in problem for problem in caught.value.problems) for key in keys)
    # A build keeps shards of the right size: those with flipped bits go first, each named once.
    damaged = {shard_of(shards, row) for row in (ROW, 2, 50)}
    *mending, rest = str(caught.value.remedy).split("; ")
    assert sorted(mending) == sorted(f"delete {path} and run the build command again" for path in damaged)
    assert rest == "or raise data.loader.max_bad_frames"
    alone = loader_of(shards, spec, replace(SKIP, max_bad_frames=3, workers=0))
    first = {}
    for batch in alone.epoch():
        for fault in batch.faults:
            first.setdefault(fault.row, batch.step)
    assert arrived == list(range(max(first.values())))


def test_an_evaluation_leaves_out_what_cannot_be_seen(shards: ShardSet, plain_spec: SampleSpec) -> None:
    flip(shards, ROW)
    loader = StreamLoader(evaluation_stream(shards, plain_spec, batch_size=8), SKIP, warn=[].append)
    rows = torch.cat([batch.rows[batch.valid] for batch in loader.epoch()]).flatten().tolist()
    lost = [r for r in range(71) if (loader.stream.windows.rows(np.array([r])) == ROW).any()]
    assert rows == [row for row in range(71) if row not in lost]


def test_raising_is_the_default() -> None:
    assert LoaderConfig().on_bad_frame == "raise"


def test_a_log_counts_each_frame_once() -> None:
    log = FaultLog(most_bad=2)
    assert log.note(FrameFault("bad", 1, "one"))
    assert not log.note(FrameFault("bad", 1, "one"))
    assert log.note(FrameFault("slow", 1, "took 6 s"))
    assert log.note(FrameFault("bad", 2, "two"))
    assert len(log) == 2
    with pytest.raises(RunError, match="3 bad frames"):
        log.note(FrameFault("bad", 3, "three"))


def test_the_shard_to_blame_is_shown_before_many_single_frames() -> None:
    log = FaultLog(most_bad=43)
    for row in range(30):
        log.note(FrameFault("bad", row, f"key{row}: lost with its shard", "train-002.tar: missing"))
    with pytest.raises(RunError, match="44 bad frames") as caught:
        for row in range(30, 44):
            log.note(FrameFault("bad", row, f"key{row}: a bad sector"))
    first, *others, last = caught.value.problems
    assert first == "train-002.tar: missing (30 frames so far)"
    assert others == [f"key{row}: a bad sector" for row in range(30, 39)]
    assert last == "and 5 more"


# ---------------------------------------------------------------- while training


def cut(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


def overwrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(bytes(path.stat().st_size))


def replace_with_longer(path: Path) -> None:
    # In place, and never shorter than it was: a reader may look at any moment.
    content = path.read_bytes()[::-1] + b"more"
    with path.open("r+b") as file:
        file.write(content)


@pytest.mark.parametrize(("mode", "workers"), MODES)
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut, "the shard was cut"),
        (overwrite, "changed or replaced"),
        (replace_with_longer, "was replaced, it has"),
    ],
)
def test_a_shard_that_is_damaged_during_training_is_named(
    shards: ShardSet,
    spec: SampleSpec,
    mode: str,
    workers: int,
    damage: Callable[[Path], None],
    message: str,
) -> None:
    loader = loader_of(shards, spec, LoaderConfig(lanes=6, run_length=4, mode=mode, workers=workers))
    batches = loader.epoch()
    next(batches)
    for name in shards.shard_names:
        damage(shards.folder / name)
    with pytest.raises(RunError) as caught:
        list(batches)
    assert message in caught.value.what
    assert any(caught.value.what.startswith(f"{shards.folder / name}: ") for name in shards.shard_names)
    assert any(f": {key}: damaged" in caught.value.what for key in shards.table.keys)
    assert "run the build command again" in str(caught.value.remedy)


def test_damage_in_one_of_several_builds_is_named(small_build: SmallBuild, shards: ShardSet) -> None:
    mixed = join_shards([small_build.open(), shards])
    flip(shards, ROW)
    reader = ShardReader(mixed)
    reader.read(ROW)
    with pytest.raises(RunError) as caught:
        reader.read(len(shards) + ROW)
    assert caught.value.what.startswith(f"{shard_of(shards, ROW)}: {shards.table.keys[ROW]}: damaged")


def test_a_shard_that_is_built_anew_beside_the_open_one_does_no_harm(
    small_build: SmallBuild, shards: ShardSet, spec: SampleSpec
) -> None:
    """As the builder replaces shards: by renaming. Those that are open stay what they were."""
    reader = ShardReader(shards)
    before = reader.read(ROW)
    path = shard_of(shards, ROW)
    path.with_suffix(".new").write_bytes(bytes(path.stat().st_size))
    path.with_suffix(".new").rename(path)
    np.testing.assert_array_equal(reader.read(ROW), before)
    reader.close()
    with pytest.raises(RunError, match="changed or replaced"):
        reader.read(ROW)


def test_a_file_handle_that_the_network_forgot_is_opened_again(
    shards: ShardSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    reader, pread, stale = ShardReader(shards), os.pread, [True]

    def forgetful(file: int, size: int, offset: int) -> bytes:
        if stale.pop() if stale else False:
            raise OSError(errno.ESTALE, "Stale file handle")
        return pread(file, size, offset)

    monkeypatch.setattr(os, "pread", forgetful)
    assert reader.read(ROW).shape == (48, 96, 3)
    stale += [True, True]
    with pytest.raises(RunError, match=r"cannot be read: Stale file handle"):
        reader.read(ROW)


# ---------------------------------------------------------------- slow


class SlowSource(CountingSource):
    """One row takes its time."""

    def __init__(self, row: int, seconds: float) -> None:
        super().__init__()
        self._row = row
        self._seconds = seconds

    def read(self, row: int) -> Frame:
        if row == self._row:
            time.sleep(self._seconds)
        return super().read(row)

    def origin(self, row: int) -> str:
        return f"far/train-000.tar: row {row}"


@pytest.mark.parametrize(("mode", "workers"), MODES)
def test_a_slow_read_is_named_and_nothing_is_lost(spec: SampleSpec, mode: str, workers: int) -> None:
    warnings: list[str] = []
    config = LoaderConfig(mode=mode, workers=workers, slow_read_s=0.15)
    stream = fake_stream(spec, SlowSource(7, 0.2), [list(range(40))], batch_size=4, lanes=4, training=False)
    loader = StreamLoader(stream, config, warn=warnings.append)
    batches = list(loader.epoch())
    loader.close()
    assert all(batch.valid.all() for batch in batches)
    assert [fault.row for batch in batches for fault in batch.faults] in ([7], [7, 7])
    assert list(loader.faults.slow) == [7]
    assert len(loader.faults) == 0
    assert warnings == [loader.faults.slow[7]]
    assert warnings[0].startswith("far/train-000.tar: row 7: took 0.2 s to read")


@pytest.mark.parametrize(("mode", "workers"), MODES[1:])
def test_a_read_that_hangs_is_named_while_it_hangs(
    spec: SampleSpec, mode: str, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracknet.datasets.loader._LOOK_S", 0.05)
    told = threading.Event()
    warnings: list[tuple[float, str]] = []
    started = time.monotonic()

    def warn(text: str) -> None:
        warnings.append((time.monotonic() - started, text))
        told.set()

    config = LoaderConfig(mode=mode, workers=workers, slow_read_s=0.2)
    stream = fake_stream(spec, SlowSource(0, 1.5), [list(range(40))], batch_size=4, training=False)
    loader = StreamLoader(stream, config, warn=warn)
    batches: list[Batch] = list(loader.epoch())
    loader.close()
    assert len(batches) == 10
    at_s, text = warnings[0]
    assert text.startswith("far/train-000.tar: row 0: has been read for")
    assert at_s < 1.5


def test_the_watch_sees_what_is_read_and_for_how_long() -> None:
    state = np.zeros(2, np.int64)
    watch = ReadWatch(state, slow_s=0.02)
    assert stalled(state, 0.0) is None
    watch.begin(5)
    assert stalled(state, 10.0) is None
    assert (stalled(state, 0.0) or (0,))[0] == 5
    watch.end()
    assert stalled(state, 0.0) is None
    assert watch.slow == []
    watch.begin(6)
    time.sleep(0.03)
    watch.end()
    assert [row for row, _ in watch.slow] == [6]
