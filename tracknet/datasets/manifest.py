"""`manifest.json`, which says what a build of shards is: read, checked and written.

It is written last and atomically: a folder without one holds no finished build. Imports neither torch nor pyarrow,
because the builder's `--help` reads this file too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tracknet.datasets.schema import FORMAT, FORMAT_VERSION, MANIFEST_NAME, NOTES_NAME, SPLITS
from tracknet.utils.errors import UserError
from tracknet.utils.geometry import Size

THE_BUILD_COMMAND = "the build command"
"""What makes a build whole, in messages that cannot name it."""


@dataclass(frozen=True, slots=True)
class ShardEntry:
    """One shard as the manifest knows it."""

    name: str
    split: str
    frames: int
    bytes: int
    sha256: str

    def problem(self) -> str | None:
        """Why no build has such a shard: a name that leads out of the folder, a split or a count that cannot be."""
        if not is_shard_name(self.name):
            return f"{self.name!r}: is no plain name of a .tar file in this folder"
        if self.split not in SPLITS:
            return f"{self.name}: split {self.split!r} is none of {', '.join(SPLITS)}"
        if self.frames < 1 or self.bytes < 1:
            return f"{self.name}: {self.frames} frames in {self.bytes} bytes"
        return None


def is_shard_name(name: str) -> bool:
    """Whether a name is that of a tar in the build's own folder, whatever manifest or index say."""
    return re.fullmatch(r"[^./\\\x00-\x1f][^/\\\x00-\x1f]*\.tar", name) is not None


# Fields of a manifest that are written only where there is something to say, and those with a form of their own.
_ONLY_WHERE_SAID = ("labels", "features")
_OWN_FORM = ("image_size", *_ONLY_WHERE_SAID)


class NoBuild(UserError):
    """There is no finished build where one was named; the remedy is that of a build of frames."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """`manifest.json`: what a build is. Written last and atomically; without it there is no dataset.

    Attributes:
        build_id: hash of the configuration, the sources' content and the labels: 64 hex digits.
        image_size: the size at which the frames are stored.
        config: what the build was asked for, as plain values.
        games: split -> its games, in natural order.
        shards: every shard of every split, in order of name.
        index_sha256: hash of `index.parquet`'s bytes.
        totals: counts for people: frames, clips, bytes, per split and visibility.
        labels: empty where the index says of every frame what its `KEY.json` says. Otherwise the labels were
            rewritten in the index alone: `tar_json_from` is the build id that the JSON members belong to,
            `frames` counts, per shard, those that the index overrules.
        features: empty where the shards hold frames; else whose tokens of which frames they hold, as
            `feature_format.FeatureInfo` reads it.
    """

    build_id: str
    image_size: Size
    config: dict[str, Any]
    games: dict[str, list[str]]
    shards: tuple[ShardEntry, ...]
    index_sha256: str
    totals: dict[str, Any] = field(default_factory=dict)
    labels: dict[str, Any] = field(default_factory=dict)
    features: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """Readable, sorted JSON with the format's name and version."""
        body = {
            "format": FORMAT,
            "version": FORMAT_VERSION,
            **{key: value for key, value in asdict(self).items() if key not in _OWN_FORM},
            "image_size": list(self.image_size),
            **{key: value for key in _ONLY_WHERE_SAID if (value := getattr(self, key))},
        }
        return json.dumps(body, indent=2, sort_keys=True) + "\n"

    @classmethod
    def read(cls, folder: Path, build_command: str = THE_BUILD_COMMAND) -> Manifest:
        """The manifest of a folder of shards.

        Args:
            folder: of the build.
            build_command: what a person is told to run where it is damaged.

        Raises:
            NoBuild: there is none (never built, or the build was interrupted).
            UserError: it is damaged, or was written by another version of the format.
        """
        path = folder / MANIFEST_NAME
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            remedy = (
                f"run `python -m pipelines.build_shards --root YOUR_DATA --out {folder}`; "
                "an interrupted build goes on where it stopped"
            )
            if not (folder / NOTES_NAME).exists() and any(folder.glob("*.tar")):
                remedy = (
                    "its tars were made elsewhere: index them with "
                    f"`python -m pipelines.index_shards {folder}` (see shards/README.md)"
                )
            raise NoBuild(
                f"{folder} has no {MANIFEST_NAME}: it holds no finished build", remedy=remedy
            ) from None
        return cls.parse(
            content,
            str(path),
            remedy=f"delete it and run {build_command} again; whole shards are reused",
        )

    @classmethod
    def parse(cls, content: bytes, path: str, *, remedy: str) -> Manifest:
        """The manifest in the bytes of its file. Raises UserError as `read` does.

        Args:
            content: of the file.
            path: what messages call it.
            remedy: against damage, which depends on where the file lies.
        """
        try:
            body = json.loads(content.decode())
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise UserError(
                f"{path} is damaged: {error}",
                remedy=remedy,
            ) from None
        found = (body.get("format"), body.get("version")) if isinstance(body, dict) else (None, None)
        if found != (FORMAT, FORMAT_VERSION):
            raise UserError(
                f"{path} has format {found[0]!r} version {found[1]!r}; "
                f"this software reads {FORMAT!r} version {FORMAT_VERSION}",
                remedy="build the shards again with this version, into another folder",
            )
        try:
            for name, kind in (("build_id", str), ("config", dict), ("games", dict), ("totals", dict)):
                if not isinstance(body[name], kind):
                    raise ValueError(f"{name} is no {kind.__name__}")
            if not all(isinstance(length, int) and 0 < length < 2**16 for length in body["image_size"]):
                raise ValueError(f"image_size is {body['image_size']!r}")
            manifest = cls(
                build_id=body["build_id"],
                image_size=Size(*body["image_size"]),
                config=body["config"],
                games=body["games"],
                shards=tuple(
                    ShardEntry(
                        name=str(entry["name"]),
                        split=str(entry["split"]),
                        frames=int(entry["frames"]),
                        bytes=int(entry["bytes"]),
                        sha256=str(entry["sha256"]),
                    )
                    for entry in body["shards"]
                ),
                index_sha256=body["index_sha256"],
                totals=body["totals"],
                labels=dict(body.get("labels", {})),
                features=dict(body.get("features", {})),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"{path} lacks or garbles a field: {error}",
                remedy=remedy,
            ) from None
        problems = [problem for entry in manifest.shards if (problem := entry.problem())]
        if problems:
            raise UserError(
                f"{path} lists {len(problems)} shards that no build has",
                problems=problems,
                remedy="do not use this folder: its manifest was damaged, or made to mislead",
            )
        return manifest

    def shards_of(self, split: str) -> Iterator[ShardEntry]:
        """The shards of one split, in order of name."""
        return (entry for entry in self.shards if entry.split == split)
