"""The shards that rows are trained and scored on: named by a person, or built where they are missing."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.ablation.commands import call
from benchmarks.ablation.request import Request
from benchmarks.ablation.sizes import size_of
from pipelines.plan import split_games
from tracknet.datasets.manifest import Manifest
from tracknet.utils.errors import RunError, UserError
from tracknet.utils.geometry import Size

# Settings under data that a build of shards knows nothing of.
_OF_READING = tuple(
    f"data.{name}" for name in ("shards", "sequence", "filter", "augment", "loader", "features", "cache")
)


@dataclass
class Shards:
    """Where the rows' shards come from.

    Attributes:
        given: a build; taken where it is of a row's size.
        root: of the raw data.
        work: folder to build in.
    """

    given: Path | None
    root: Path | None
    work: Path
    # What the builder was asked for -> why it failed, or `None` where it did not.
    _built: dict[tuple[str, ...], RunError | None] = field(default_factory=dict)

    def folder_of(self, request: Request) -> Path:
        """The shards of a row's size: those given, or a build in the work folder, made once.

        Raises:
            UserError: those given hold other games in some split than the row asks for; there are none of the size,
                and no raw data to build them from; or the build failed.
        """
        size = size_of(request.config())
        if self.given is not None:
            manifest = Manifest.read(self.given)
            if manifest.image_size == size:
                _check_games(request, self.given, manifest)
                return self.given
        if self.root is None:
            raise UserError(
                f"the row {request.row} needs shards of {size}",
                remedy="say where the raw data are with --root, or name shards of that size with --shards",
            )
        out = self._built_at(size)
        baked = dict(
            item.split("=", 1)
            for item in request.overrides
            if item.startswith("data.") and not item.startswith(_OF_READING)
        )
        data = [f"{key}={value}" for key, value in sorted(baked.items())]
        asked = ("--root", str(self.root), "--out", str(out), "--data", request.data, *data)
        if asked not in self._built:
            try:
                call("pipelines.build_shards", asked, None)
                self._built[asked] = None
            except RunError as error:
                self._built[asked] = error
                raise
        elif self._built[asked] is not None:
            raise UserError(f"its shards of {size} could not be built, as an earlier row was told")
        return out

    def build_at_hand(self, request: Request) -> tuple[Path, str] | None:
        """The shards of a row's size that are there already, and the id of their build."""
        size = size_of(request.config())
        for folder in (self.given, self._built_at(size)):
            if folder is None:
                continue
            try:
                manifest = Manifest.read(folder)
            except UserError:  # none there, or a damaged one, of which those are told who train on it
                continue
            if manifest.image_size == size:
                return folder, manifest.build_id
        return None

    def _built_at(self, size: Size) -> Path:
        return self.work / f"shards-{size}"


def _check_games(request: Request, folder: Path, manifest: Manifest) -> None:
    """Refuses shards whose games are split otherwise than the table will say."""
    data = request.config().data
    every = [game for games in manifest.games.values() for game in games]
    wanted = split_games(every, data.val_games, data.test_games)
    problems = [
        f"{split}: {', '.join(manifest.games.get(split, [])) or 'none'} where the row asks for "
        f"{', '.join(wanted.get(split, [])) or 'none'}"
        for split in ("train", "val", "test")
        if sorted(manifest.games.get(split, [])) != sorted(wanted.get(split, []))
    ]
    if problems:
        raise UserError(
            f"{folder} holds other games than the row {request.row} asks for",
            problems=problems,
            remedy="leave --shards away and name the raw data with --root, or build shards of these games",
        )


def rendered(work: Path) -> Path:
    """Three rendered games of 12 frames, for a rehearsal: their folder."""
    root = work / "rendered"
    small = ["--games", "3", "--frames", "12", "--size", "320x180", "--workers", "1"]
    call("pipelines.synthesize", ["--out", str(root), *small], None)
    return root
