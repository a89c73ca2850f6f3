"""A build made to mislead is refused by name, by training and by verification, and leads nowhere."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import cv2
import google_crc32c
import pytest

from tests.datasets.conftest import SmallBuild
from tests.datasets.damage import SHARD, change, edit_index, edit_manifest, rows_of
from tracknet.datasets.contents import Contents
from tracknet.datasets.index import open_split
from tracknet.datasets.reader import ShardReader
from tracknet.datasets.verify import verify_build
from tracknet.utils.errors import RunError, UserError


@pytest.fixture
def folder(small_build: SmallBuild, tmp_path: Path) -> Path:
    """A copy of the build that may be changed."""
    return Path(shutil.copytree(small_build.folder, tmp_path / "shards"))


def faults(folder: Path) -> list[str]:
    return [str(fault) for fault in verify_build(Contents.read(folder)).faults]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"offset": 2**62}, "are no member of a tar of"),
        ({"offset": 2**63 - 1}, "are no member of a tar of"),
        ({"offset": -512}, "are no member of a tar of"),
        ({"offset": 0}, "are no member of a tar of"),
        ({"offset": 513}, "are no member of a tar of"),
        ({"size": 2**31 - 1}, "are no member of a tar of"),
        ({"size": -1}, "are no member of a tar of"),
        ({"size": 0}, "are no member of a tar of"),
        ("another", "belong to the member at"),
    ],
)
def test_rows_that_point_elsewhere_are_named_by_verify_and_refused_by_training(
    folder: Path, values: Any, message: str
) -> None:
    rows = rows_of(folder)
    wanted = {name: rows[4][name] for name in ("offset", "size", "crc32c")} if values == "another" else values
    edit_index(folder, lambda all_rows: all_rows[all_rows.index(rows[2])].update(wanted))
    assert any(rows[2]["key"] in f or rows[4]["key"] in f for f in faults(folder) if message in f)
    with pytest.raises(RunError, match="lie where no shard has one") as caught:
        open_split(folder, "train")
    assert SHARD in caught.value.problems[0]
    assert message in caught.value.problems[0]


def test_a_bomb_is_not_decoded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture that states 65,500 x 65,500 pixels, with every checksum as it should be."""
    row = rows_of(folder)[2]
    place = slice(row["offset"], row["offset"] + row["size"])
    content = bytearray((folder / SHARD).read_bytes()[place])
    at = content.index(b"\xff\xc0") + 5
    content[at : at + 4] = (65500).to_bytes(2, "big") * 2
    change(folder / SHARD, lambda data: data.__setitem__(place, content))
    crc = google_crc32c.value(bytes(content))
    edit_index(folder, lambda rows: rows[rows.index(row)].update(crc32c=crc))
    monkeypatch.setattr(cv2, "imdecode", lambda *args: pytest.fail("decoded"))
    assert f"{SHARD}: {row['key']}: its picture is 65500x65500, not 96x48" in faults(folder)
    shards = open_split(folder, "train")
    with pytest.raises(RunError, match=rf"{SHARD}: {row['key']}: is 65500x65500, not 96x48"):
        ShardReader(shards).read(shards.table.keys.index(row["key"]))


@pytest.mark.parametrize(
    "name",
    [
        "../train-000.tar",
        "/etc/passwd",
        "../../etc/passwd",
        "..",
        "a/b.tar",
        "a\\b.tar",
        ".hidden.tar",
        "x\n.tar",
        "",
    ],
)
def test_a_manifest_cannot_name_what_is_elsewhere(folder: Path, name: str, opened: list[str]) -> None:
    edit_manifest(folder, lambda body: body["shards"][1].update(name=name))
    opened.clear()
    with pytest.raises(UserError, match="lists 1 shards that no build has") as caught:
        Contents.read(folder)
    assert caught.value.problems == (f"{name!r}: is no plain name of a .tar file in this folder",)
    assert {Path(path).parent for path in opened} <= {folder}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("config", []),
        ("games", "x"),
        ("totals", None),
        ("build_id", 5),
        ("image_size", [0, 5]),
        ("image_size", [5]),
    ],
)
def test_a_manifest_of_other_types(folder: Path, field: str, value: Any) -> None:
    edit_manifest(folder, lambda body: body.update({field: value}))
    with pytest.raises(UserError, match="lacks or garbles a field"):
        Contents.read(folder)


def test_an_index_cannot_name_what_is_elsewhere(folder: Path, opened: list[str]) -> None:

    row = rows_of(folder)[0]
    edit_index(folder, lambda rows: rows[rows.index(row)].update(shard="../../../etc/passwd"))
    opened.clear()
    assert "index.parquet: 1 rows are of '../../../etc/passwd', no shard of this build" in faults(folder)
    with pytest.raises(RunError, match=r"has frames of '\.\./\.\./\.\./etc/passwd', which is no shard"):
        open_split(folder, "train")
    assert {Path(path).parent for path in opened} <= {folder}


@pytest.mark.parametrize(
    "label",
    [
        {"visibility": 1, "x_px": float("nan")},
        {"visibility": 2, "x_px": None, "y_px": None},
        {"visibility": 7},
        {"visibility": 0, "x_px": 3.0, "y_px": 4.0},
    ],
)
def test_a_label_that_contradicts_itself_is_not_trained_on(folder: Path, label: dict[str, Any]) -> None:
    row = next(row for row in rows_of(folder) if row["visibility"] == 1)
    edit_index(folder, lambda rows: rows[rows.index(row)].update(label))
    with pytest.raises(RunError, match="1 labels contradict themselves") as error:
        open_split(folder, "train")
    assert f"{row['key']}: visibility {label['visibility']}" in str(error.value)
