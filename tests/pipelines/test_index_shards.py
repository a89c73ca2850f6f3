"""Tars made elsewhere get an index by one pass, train like our own, and are refused with every fault named."""

from __future__ import annotations

import io
import json
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from webdataset.writer import TarWriter

from pipelines import build_shards, index_shards
from tests.conftest import SMALL, draw_dot
from tracknet.datasets.contents import Contents
from tracknet.datasets.index import open_shards, open_split
from tracknet.datasets.reader import ShardReader
from tracknet.datasets.shard_names import expand_shards
from tracknet.datasets.verify import verify_build
from tracknet.scripts import inspect, train
from tracknet.utils.errors import EXIT_DONE, EXIT_FAILED, EXIT_WRONG_REQUEST, UserError, cli_main

Sample = dict[str, Any]


def sample(
    number: int, *, clip: str = "game1_Clip1", size: tuple[int, int] = (96, 48), suffix: str = "jpg"
) -> Sample:
    """A sample as somebody else's script would write it, with the least that a label needs."""
    rng = np.random.default_rng(number)
    picture = rng.integers(60, 90, (size[1], size[0], 3), dtype=np.uint8)
    xy = None if number == 3 else [12.5 + 4 * number, 20.0 + number]
    if xy:
        draw_dot(picture, *xy)
    encoded = cv2.imencode(f".{suffix}", picture)[1].tobytes()
    return {"__key__": f"{clip}_{number:04d}", suffix: encoded, "json": json.dumps({"xy_px": xy}).encode()}


def write(path: Path, samples: list[Sample], **options: Any) -> Path:
    path.parent.mkdir(exist_ok=True)
    with TarWriter(str(path), **options) as writer:
        for item in samples:
            writer.write(item)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """32 frames of game1 in two training tars, 16 of game2 in one for validation; made by WebDataset's own writer."""
    folder = tmp_path / "elsewhere"
    write(folder / "train-000.tar", [sample(n) for n in range(16)])
    write(folder / "train-001.tar", [sample(n, clip="game1_Clip2") for n in range(16)])
    write(folder / "val-000.tar", [sample(n, clip="game2_Clip1") for n in range(16)])
    return folder


def run(folder: Path, *options: str) -> int:
    return cli_main(index_shards.run, [str(folder), *options])


def refusal(folder: Path, capsys: pytest.CaptureFixture[str], *options: str, code: int = EXIT_FAILED) -> str:
    capsys.readouterr()
    assert run(folder, *options) == code
    message = capsys.readouterr().err
    assert "Traceback" not in message
    assert not (folder / "manifest.json").exists()
    return message


def test_one_pass_makes_a_build(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(UserError, match=r"python -m pipelines\.index_shards"):
        open_shards(expand_shards([str(folder / "train-{000..001}.tar")]))
    assert run(folder) == EXIT_DONE
    out = capsys.readouterr().out
    assert "48 frames of 96x48 in 3 tars" in out
    assert "train: 32 frames, 2 clips of game1" in out
    assert {name: (folder / name).read_bytes() for name in before} == before
    shards = open_shards(expand_shards([str(folder / "train-{000..001}.tar")]))
    table = shards.table
    assert (len(shards), table.clips) == (32, [("game1", "Clip1"), ("game1", "Clip2")])
    assert table.xy_px[5].tolist() == [32.5, 25.0]
    assert table.visibility.tolist() == ([1] * 3 + [0] + [1] * 12) * 2
    assert table.source_size[0].tolist() == [96, 48]
    reader = ShardReader(shards)
    for row in (0, 17, 31):
        with tarfile.open(folder / shards.shard_names[shards.shard_id[row]]) as tar:
            content = tar.extractfile(f"{table.keys[row]}.jpg")
            assert content is not None
            expected = cv2.imdecode(np.frombuffer(content.read(), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
        np.testing.assert_array_equal(reader.read(row), expected)
    assert verify_build(Contents.read(folder), decode=True).count == 0


def test_it_trains(folder: Path, tmp_path: Path) -> None:
    assert run(folder) == EXIT_DONE
    places = [f"data.shards={folder}", f"training.log_dir={tmp_path / 'runs'}"]
    arguments = ["--model", "vit_tiny", "--training", "cpu", *places, *SMALL]
    assert train.run([*arguments, "--dry-run"]) == EXIT_DONE


def test_the_same_tars_give_the_same_build(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(folder) == EXIT_DONE
    first = [(folder / name).read_bytes() for name in ("index.parquet", "manifest.json")]
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert run(folder) == EXIT_DONE
    assert [(folder / name).read_bytes() for name in ("index.parquet", "manifest.json")] == first


def test_other_pictures_names_and_orders(tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    write(folder / "a.tar", [sample(n, suffix="png") for n in range(4)])
    write(
        folder / "b.tar",
        [sample(n, clip="game2_Clip1", suffix="jpeg") for n in range(4)],
        format="GNU_FORMAT",
    )
    with tarfile.open(folder / "c.tar", "w") as tar:
        tar.add(folder, "./sub", filter=lambda info: info if info.isdir() else None, recursive=False)
        item = sample(0, clip="game3_Clip1")
        for suffix in ("json", "jpg"):
            info = tarfile.TarInfo(f"./sub/{item['__key__']}.{suffix}")
            info.size = len(item[suffix])
            tar.addfile(info, io.BytesIO(item[suffix]))
    assert run(folder, "--split", "test") == EXIT_DONE
    shards = open_split(folder, "test")
    assert len(shards) == 9
    assert [game for game, _ in shards.table.clips] == ["game1", "game2", "game3"]
    assert all(ShardReader(shards).read(row).shape == (48, 96, 3) for row in range(9))
    assert [str(fault) for fault in verify_build(Contents.read(folder)).faults] == []


def test_verify_takes_labels_before_pictures_as_the_pass_does(tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    samples = [sample(number) for number in range(4)]
    orders = [{"__key__": s["__key__"], "JSON": s["json"], "jpg": s["jpg"]} for s in samples]
    path = write(folder / "train-000.tar", orders)
    assert run(folder) == EXIT_DONE
    assert verify_build(Contents.read(folder)).count == 0
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b'{"xy_px": [16.5, 21.0]}', b'{"xy_px": [16.6, 21.0]}'))
    assert [fault.key for fault in verify_build(Contents.read(folder)).faults] == ["game1_Clip1_0001.json"]
    edited = dict(orders[2], __key__="game1_Clip1_0009")
    write(path, [*orders[:2], {k: edited[k] for k in ("__key__", "JSON")}, *orders[2:]])
    assert "train-000.tar: game1_Clip1_0009.JSON: has no picture beside it" in [
        str(fault) for fault in verify_build(Contents.read(folder)).faults
    ]


def test_verify_knows_tars_made_elsewhere(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folder) == EXIT_DONE
    path = folder / "train-001.tar"
    data = bytearray(path.read_bytes())
    shards = open_split(folder, "train")
    row = shards.table.keys.index("game1_Clip2_0004")
    data[int(shards.offset[row]) - 512] ^= 1
    path.write_bytes(data)
    assert inspect.run([str(folder), "--verify"]) == EXIT_FAILED
    out = capsys.readouterr().out
    assert "train-001.tar: game1_Clip2_0004.jpg: damaged tar header" in out
    assert "fetch these tars again" in out


def test_the_split_must_be_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "val-000.tar").rename(folder / "shard_000.tar")
    message = refusal(folder, capsys, code=EXIT_WRONG_REQUEST)
    assert "shard_000.tar: its name does not tell the split" in message
    assert "--split train" in message


def edit_first(folder: Path, edit: Callable[[list[Sample]], object]) -> None:
    samples = [sample(n) for n in range(16)]
    edit(samples)
    write(folder / "train-000.tar", samples)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda s: s[2].update(json=b"{}"), "train-000.tar: game1_Clip1_0002.json: xy_px is missing"),
        (lambda s: s[2].pop("json"), "train-000.tar: game1_Clip1_0002.jpg: has no .json beside it"),
        (lambda s: s[2].pop("jpg"), "train-000.tar: game1_Clip1_0002.json: has no picture beside it"),
        (lambda s: s[2].update(jpg=s[2]["jpg"][:-40]), "train-000.tar: game1_Clip1_0002.jpg: is cut short"),
        (lambda s: s[2].update(jpeg=s[2]["jpg"]), "game1_Clip1_0002.jpg: is the second picture of its key"),
        (
            lambda s: s[2].update(pyd=b"cos\nsystem\n"),
            "game1_Clip1_0002.pyd: is of a kind whose readers may run code",
        ),
        (
            lambda s: s[2].update(cls=b"1"),
            "game1_Clip1_0002.cls: is neither a .jpg, .jpeg or .png picture nor",
        ),
        (lambda s: s[2].update(__key__="../../game1_Clip1_0002"), "its name leads out of its folder"),
        (
            lambda s: s[2].update(__key__="game1_Clip1_0001"),
            "train-000.tar: 2 samples are key game1_Clip1_0001",
        ),
        (lambda s: s[2].update(__key__="game1_Clip2_0001"), "2 samples are key game1_Clip2_0001"),
        (lambda s: s[2].update(__key__="nothing"), "nothing.json: game is null"),
        (
            lambda s: s[2].update(sample(2, size=(64, 48))),
            "the pictures are of 2 sizes, and a model takes one: 47 of 96x48, 1 of 64x48; "
            "the first other one is train-000.tar: game1_Clip1_0002",
        ),
        (lambda s: s.clear(), "train-000.tar: holds no sample"),
    ],
)
def test_what_is_wrong_is_named(
    folder: Path, edit: Callable[[list[Sample]], object], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    edit_first(folder, edit)
    assert message in refusal(folder, capsys)


def test_damage_that_webdataset_reads_silently_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "train-000.tar"
    whole = path.read_bytes()
    path.write_bytes(whole[:10_240])
    assert "is cut" in refusal(folder, capsys) or "left in the file" in refusal(folder, capsys)
    path.write_bytes(whole[:5] + b"?" + whole[6:])
    assert "train-000.tar: at byte 0: damaged tar header" in refusal(folder, capsys)


def test_a_bomb_is_refused_undecoded(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def edit(samples: list[Sample]) -> None:
        data = bytearray(samples[2]["jpg"])
        at = data.index(b"\xff\xc0") + 5
        data[at : at + 4] = (65_500).to_bytes(2, "big") * 2
        samples[2]["jpg"] = bytes(data)

    edit_first(folder, edit)
    message = refusal(folder, capsys)
    assert "game1_Clip1_0002.jpg: states a size of 65500x65500, more than the 64,000,000 pixels" in message
    assert "more than the 1,000 pixels" in refusal(folder, capsys, "data.max_megapixels=0.001")


def test_a_picture_that_exif_turns_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    Image.new("RGB", (48, 96)).save(buffer, "JPEG", exif=exif)
    edit_first(folder, lambda samples: samples[2].update(jpg=buffer.getvalue()))
    assert "game1_Clip1_0002.jpg: is turned by its EXIF data" in refusal(folder, capsys)


def test_all_faults_of_all_tars_are_told_and_a_long_list_is_shortened(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit_first(folder, lambda samples: [item.update(json=b"{}") for item in samples])
    write(folder / "val-000.tar", [{**sample(n), "json": b"{}"} for n in range(16)])
    message = refusal(folder, capsys)
    assert "32 things are wrong" in message
    assert "and 12 more" in message


def test_a_build_of_our_own_is_not_overwritten(
    tmp_path: Path, make_dataset: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "shards"
    arguments = ["--root", str(make_dataset()), "--out", str(out), "--workers", "0", "data.resize=[64,36]"]
    assert build_shards.run(arguments) == EXIT_DONE
    before = (out / "manifest.json").read_bytes()
    for name in (None, "manifest.json"):
        if name:
            (out / name).unlink()  # as an interrupted build leaves it
        assert run(out) == EXIT_WRONG_REQUEST
        assert "is a build of pipelines.build_shards" in capsys.readouterr().err
    assert before
    assert not (out / "manifest.json").exists()
    # And the builder leaves tars made elsewhere alone.
    elsewhere = tmp_path / "elsewhere"
    write(elsewhere / "train-000.tar", [sample(n) for n in range(4)])
    assert run(elsewhere) == EXIT_DONE
    arguments[3] = str(elsewhere)
    assert cli_main(build_shards.run, arguments) == EXIT_WRONG_REQUEST


@pytest.mark.parametrize("where", ["nowhere", "empty"])
def test_no_folder_or_no_tars(where: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    assert run(tmp_path / where) == EXIT_WRONG_REQUEST
    assert "remedy" in capsys.readouterr().err


def test_names_that_cannot_be_shards(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "train-\n.tar").touch()
    assert "cannot be a shard" in refusal(folder, capsys, code=EXIT_WRONG_REQUEST)
