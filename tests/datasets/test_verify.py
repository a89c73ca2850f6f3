"""Verification finds what WebDataset reads silently, names all of it, and is quiet about a whole build."""

from __future__ import annotations

import hashlib
import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import webdataset as wds
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines import build_shards
from tests.conftest import MakeDataset
from tests.datasets.conftest import SmallBuild
from tests.datasets.damage import SHARD, change, edit_index, edit_manifest, flip, rewrite_tar, rows_of
from tracknet.datasets.contents import Contents
from tracknet.datasets.index import open_split
from tracknet.datasets.verify import Verification, verify_build
from tracknet.utils.errors import RunError


@pytest.fixture
def folder(small_build: SmallBuild, tmp_path: Path) -> Path:
    """A copy of the build that may be damaged."""
    return Path(shutil.copytree(small_build.folder, tmp_path / "shards"))


def check(folder: Path, **options: Any) -> Verification:
    return verify_build(Contents.read(folder), **options)


def faults(folder: Path, **options: Any) -> list[str]:
    return [str(fault) for fault in check(folder, **options).faults]


def keys_read_by_webdataset(path: Path) -> list[str]:
    samples = wds.WebDataset(str(path), shardshuffle=False).decode("rgb8")
    return [sample["__key__"] for sample in samples]


def test_a_whole_build_is_whole(small_build: SmallBuild) -> None:
    seen: list[int] = []
    result = check(small_build.folder, on_bytes=seen.append)
    assert (result.count, result.faults, result.notes) == (0, [], [])
    assert (result.shards, result.frames) == (5, 93)
    on_disk = sum(path.stat().st_size for path in small_build.folder.glob("*.tar"))
    assert result.bytes == sum(seen) == on_disk
    assert check(small_build.folder, decode=True).count == 0


def test_a_flipped_bit_in_a_picture_which_webdataset_reads(folder: Path) -> None:
    row = rows_of(folder)[3]
    keys = keys_read_by_webdataset(folder / SHARD)
    flip(folder / SHARD, row["offset"] + row["size"] // 2)
    assert keys_read_by_webdataset(folder / SHARD) == keys
    assert faults(folder) == [
        f"{SHARD}: {row['key']}: its picture is damaged: it has not the checksum {row['crc32c']:08x} of index.parquet"
    ]


def test_a_damaged_tar_header_at_which_webdataset_ends_silently(folder: Path) -> None:
    row = rows_of(folder)[3]
    keys = keys_read_by_webdataset(folder / SHARD)
    flip(folder / SHARD, row["offset"] - 512)
    assert keys_read_by_webdataset(folder / SHARD) == keys[:3]
    result = check(folder)
    assert [str(fault) for fault in result.faults] == [
        f"{SHARD}: {row['key']}.jpg: damaged tar header: its checksum does not fit"
    ]
    # The picture behind it is whole, and so is all that follows.
    assert result.frames == 93


def test_a_cut_between_members_which_webdataset_takes_for_the_end(folder: Path) -> None:
    rows = rows_of(folder)
    keys = keys_read_by_webdataset(folder / SHARD)
    change(folder / SHARD, lambda data: data.__delitem__(slice(rows[3]["offset"] - 512, None)))
    assert keys_read_by_webdataset(folder / SHARD) == keys[:3]
    # A manifest that agrees, as it would if it was made of the cut file.
    size = (folder / SHARD).stat().st_size
    edit_manifest(folder, lambda body: [e.update(bytes=size) for e in body["shards"] if e["name"] == SHARD])
    found = faults(folder)
    assert f"{SHARD}: at byte {size:,}: ends without the end-of-archive blocks: it is cut" in found
    for row in rows[3:]:
        assert sum(row["key"] in fault for fault in found) == 1


def test_several_faults_in_several_shards_are_all_named(folder: Path) -> None:
    rows, others = rows_of(folder), rows_of(folder, "train-002.tar")
    flip(folder / SHARD, rows[0]["offset"] + 100)
    flip(folder / SHARD, rows[2]["offset"] - 512 + 130)
    flip(folder / SHARD, rows[2]["offset"] + 200)
    padding = rows[4]["offset"] + rows[4]["size"]
    assert padding % 512
    flip(folder / SHARD, padding)
    flip(folder / "train-002.tar", others[1]["offset"] + 5)
    (folder / "val-000.tar").unlink()
    found = faults(folder)
    names = [":".join(fault.split(":")[:2]) for fault in found]
    assert names == [
        f"{SHARD}: {rows[0]['key']}",
        f"{SHARD}: {rows[2]['key']}.jpg",
        f"{SHARD}: {rows[2]['key']}",
        f"{SHARD}: {rows[4]['key']}.jpg",
        f"train-002.tar: {others[1]['key']}",
        "val-000.tar: is missing",
    ]


@given(st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_bit_of_a_shard_can_flip_unseen(folder: Path, data: st.DataObject) -> None:
    path = folder / SHARD
    whole = path.read_bytes()
    bit = data.draw(st.integers(0, len(whole) * 8 - 1))
    try:
        flip(path, bit // 8, bit % 8)
        found = check(folder)
        assert found.count > 0
        assert all(fault.file == SHARD for fault in found.faults)
    finally:
        path.write_bytes(whole)


def test_a_sector_of_zeros_over_a_header_hides_nothing(folder: Path) -> None:
    row = rows_of(folder)[3]
    place = slice(row["offset"] - 512, row["offset"])
    change(folder / SHARD, lambda data: data.__setitem__(place, bytes(512)))
    result = check(folder)
    assert [str(fault) for fault in result.faults] == [
        f"{SHARD}: {row['key']}.jpg: damaged tar header: its checksum does not fit"
    ]
    assert result.frames == 93


def test_a_hole_of_many_sectors_names_what_it_took(folder: Path) -> None:
    rows = rows_of(folder)
    place = slice(rows[2]["offset"] + 512, rows[4]["offset"] + 512)
    change(folder / SHARD, lambda data: data.__setitem__(place, bytes(place.stop - place.start)))
    found = faults(folder)
    for row in rows[2:5]:
        assert any(row["key"] in fault for fault in found), row["key"]
    assert not any(row["key"] in fault for fault in found for row in rows[:2] + rows[5:])


def test_a_changed_time_is_told_by_the_hash_alone(folder: Path) -> None:
    rewrite_tar(folder / SHARD, lambda members: setattr(members[4][0], "mtime", 5))
    assert faults(folder) == [
        f"{SHARD}: its bytes are not those that were built (sha256), though every member is as the index says: "
        "its headers or labels were changed"
    ]


def test_a_changed_label_is_named_with_both_values(folder: Path) -> None:
    row = rows_of(folder)[2]
    label = {"clip": row["clip"], "game": row["game"], "frame": row["frame"], "source_size": [160, 90]}
    changed = json.dumps({**label, "status": 0, "visibility": 1, "xy_px": [1, 2.5]}).encode()
    rewrite_tar(folder / SHARD, lambda members: members.__setitem__(5, (members[5][0], changed)))
    found = [fault for fault in faults(folder) if f"{row['key']}.json" in fault]
    assert len(found) == 1
    assert f"xy_px (1.0, 2.5) there, ({row['x_px']}, {row['y_px']}) in index.parquet" in found[0]


def test_a_corrected_index_must_be_declared(folder: Path) -> None:
    def correct(rows: list[dict[str, Any]]) -> None:
        row = next(row for row in rows if row["x_px"] is not None)
        row["x_px"] += 1.5

    edit_index(folder, correct)
    (fault,) = faults(folder)
    assert "does not agree with the index: xy_px" in fault


def test_labels_that_labels_only_replaced_are_no_damage(make_dataset: MakeDataset, tmp_path: Path) -> None:
    root, out = make_dataset(games=2, clips=1, frames=8), tmp_path / "shards"
    arguments = ["--root", str(root), "--out", str(out), "--workers", "0", "data.resize=[64,36]"]
    assert build_shards.run(arguments) == 0
    csv = root / "game1" / "Clip1" / "Label.csv"
    lines = csv.read_text().splitlines()
    lines[2] = "0001.jpg,2,20,30,1"
    lines[3] = "0002.jpg,0,,,"
    csv.write_text("\n".join(lines) + "\n")
    assert build_shards.run([*arguments, "--labels-only"]) == 0
    result = check(out)
    assert result.faults == []
    assert result.notes == [
        "2 labels are newer in index.parquet, which has authority, than in the tars' KEY.json"
    ]
    shard = "train-000.tar"
    edit_manifest(out, lambda body: body["labels"]["frames"].update({shard: 3}))
    assert faults(out) == [f"{shard}: 2 labels differ from the index, manifest.json says 3"]


def test_index_and_content_both_ways(folder: Path) -> None:
    row = rows_of(folder)[1]
    edit_index(folder, lambda rows: rows.remove(row))
    found = faults(folder)
    frames = len(rows_of(folder)) + 1
    assert "manifest.json: totals: frames is 93, the index has 92" in found
    assert f"{SHARD}: has {frames - 1} rows in index.parquet, manifest.json says {frames}" in found
    assert f"{SHARD}: {row['key']}.jpg: has no row in index.parquet that points to it" in found


def test_a_member_that_is_gone_and_one_too_many(folder: Path) -> None:
    rows = rows_of(folder)

    def edit(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        del members[-2:]
        members.append((tarfile.TarInfo("notes.txt"), b"hello"))
        members.append((tarfile.TarInfo("extra_1_0001.jpg"), b"hello"))

    rewrite_tar(folder / SHARD, edit)
    found = faults(folder)
    assert f"{SHARD}: notes.txt: is neither a picture nor a label" in found
    assert f"{SHARD}: extra_1_0001.jpg: has no row in index.parquet that points to it" in found
    assert f"{SHARD}: extra_1_0001: its picture has no .json right behind it" in found
    place = f"index.parquet places it at byte {rows[-1]['offset']:,}, where no member is found"
    assert f"{SHARD}: {rows[-1]['key']}: {place}" in found


def test_labels_must_follow_their_pictures(folder: Path) -> None:
    rows = rows_of(folder)
    rewrite_tar(folder / SHARD, lambda members: members.append(members.pop(1)))
    found = faults(folder)
    assert f"{SHARD}: {rows[0]['key']}: its picture has no .json right behind it" in found
    assert f"{SHARD}: {rows[0]['key']}.json: does not follow the picture of its key" in found


def test_an_exchanged_index_or_a_strange_tar(folder: Path) -> None:
    pq.write_table(pq.read_table(folder / "index.parquet"), folder / "index.parquet", compression="none")
    shutil.copy(folder / SHARD, folder / "train-099.tar")
    assert faults(folder) == [
        "index.parquet: is not the index that manifest.json was written with (sha256)",
        "train-099.tar: is no shard of this build: manifest.json does not list it",
    ]


def test_two_frames_of_one_name_and_totals(folder: Path) -> None:
    first, second = rows_of(folder)[:2]

    def edit(rows: list[dict[str, Any]]) -> None:
        row = rows[rows.index(second)]
        row.update({name: first[name] for name in ("key", "game", "clip", "frame")})

    edit_index(folder, edit)
    edit_manifest(folder, lambda body: body["totals"]["splits"]["val"].update(clips=7))
    found = faults(folder)
    assert f"index.parquet: has 2 rows of key {first['key']}" in found
    assert f"index.parquet: has 2 rows of frame {first['game']}/{first['clip']} {first['frame']}" in found
    assert "manifest.json: totals: val clips is 7, the index has 2" in found
    assert f"{SHARD}: {second['key']}.jpg: index.parquet calls the picture here {first['key']}" in found


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"no parquet", "is damaged"), (b"", "is damaged")],
)
def test_an_index_that_is_none(folder: Path, content: bytes, message: str) -> None:
    (folder / "index.parquet").write_bytes(content)
    with pytest.raises(RunError, match=message):
        Contents.read(folder)


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("offset", None, "is damaged"),
        ("offset", pa.array(["x"] * 93), "column offset is of type string, not int64"),
        ("size", pa.array([2**40] * 93), "column size is of type int64, not int32"),
        ("visibility", pa.array([None] * 93, pa.int8()), "93 rows have no visibility"),
    ],
)
def test_an_index_of_other_columns_or_types(folder: Path, column: str, values: Any, message: str) -> None:
    """Refused alike by verification and by training, though the manifest states its hash."""
    table = pq.read_table(folder / "index.parquet")
    place = table.schema.get_field_index(column)
    other = table.drop_columns([column]) if values is None else table.set_column(place, column, values)
    pq.write_table(other, folder / "index.parquet")
    digest = hashlib.sha256((folder / "index.parquet").read_bytes()).hexdigest()
    edit_manifest(folder, lambda body: body.update(index_sha256=digest))
    for read in (Contents.read, lambda folder: open_split(folder, "train")):
        with pytest.raises(
            RunError, match=rf"index\.parquet is damaged: .*{message}|index\.parquet {message}"
        ):
            read(folder)


def test_columns_are_as_the_index_has_them(small_build: SmallBuild) -> None:
    contents = Contents.read(small_build.folder)
    rows = pq.read_table(small_build.folder / "index.parquet").to_pylist()
    assert len(contents) == len(rows) == 93
    assert contents["key"].tolist() == [row["key"] for row in rows]
    assert contents["offset"].tolist() == [row["offset"] for row in rows]
    missing = np.array([row["x_px"] is None for row in rows])
    np.testing.assert_array_equal(np.isnan(contents["x_px"]), missing)
    np.testing.assert_array_equal(contents["status"] == -1, missing)
    assert len(set(contents.clip_ids.tolist())) == 14


def test_a_flipped_bit_in_the_name_of_a_field_is_named_by_its_key(folder: Path) -> None:
    row = rows_of(folder)[1]
    content = (folder / SHARD).read_bytes()
    start = content.index(b'"clip"', row["offset"] + row["size"])
    flip(folder / SHARD, start + 2)
    assert any(row["key"] in fault and ".json" in fault for fault in faults(folder))
