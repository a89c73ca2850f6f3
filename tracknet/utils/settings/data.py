"""The settings under `data`: what is built into shards, and what a training reads out of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from tracknet.utils.bounds import bounded
from tracknet.utils.geometry import Size
from tracknet.utils.settings.augment import AugmentConfig


@dataclass(frozen=True)
class SequenceConfig:
    """Which frames make a window."""

    length: int = bounded(3, 1, 64)
    """Frames per window, T. 1 means single images."""
    stride: int = bounded(1, 1, 64)
    """Distance between a window's frames."""
    anchor: Literal["middle", "last"] = "middle"
    """Which of the window's frames it stands for: `middle` sees both neighbours, `last` is causal."""

    @property
    def anchor_index(self) -> int:
        """The position of the anchor frame in its window."""
        return self.length - 1 if self.anchor == "last" else self.length // 2

    def map_frames(self, maps: Literal["one", "all"]) -> tuple[int, ...]:
        """The positions in a window that a model's maps are about, by its `head.maps`: the anchor alone, or all."""
        return tuple(range(self.length)) if maps == "all" else (self.anchor_index,)


@dataclass(frozen=True)
class LoaderConfig:
    """How the stream is served. Of a sound data set `lanes` and `run_length` alone change what a training sees."""

    workers: int = bounded(2, 0, 256)
    mode: Literal["auto", "threads", "processes"] = "auto"
    """What the workers are; `auto` takes threads for a few and processes for many."""
    prefetch: int = bounded(2, 1, 64)
    """Batches each worker keeps ready."""
    memory_gb: float = bounded(4.0, above=0.0)
    """Most memory for decoded frames and batches, of all workers together (10^9 bytes)."""
    on_bad_frame: Literal["raise", "skip"] = "raise"
    """A damaged or unreadable frame ends the run, or its windows are masked and counted."""
    max_bad_frames: int = bounded(10, 0)
    """So many are skipped; one more ends the run."""
    slow_read_s: float = bounded(5.0, above=0.0)
    """A frame that takes longer to read is named in a warning."""
    lanes: int | None = bounded(None, 1, 4096)
    """Interleaved parts of the shuffled sequence; more mixes better, fewer decodes less. null: 24, or 16 where the
    data are few for the batch size."""
    run_length: int | None = bounded(None, 1, 4096)
    """Consecutive windows that stay together in the shuffle; null: 48 times the frames that neighbours share."""


@dataclass(frozen=True)
class CacheConfig:
    """Local copies of shards that lie behind URLs; without effect on local shards."""

    dir: str | None = None
    """null: ~/.cache/tracknet/shards, or in $XDG_CACHE_HOME."""
    max_gb: float = bounded(50.0, above=0.0)
    """Most disk for them (10^9 bytes). Training shards that are more are streamed in blocks, in another order."""
    timeout_s: float = bounded(30.0, above=0.0)
    """A connection that is silent for so long is given up, and tried again."""
    attempts: int = bounded(6, 1, 1000)
    """In a row without a byte gained, before the run ends."""


@dataclass(frozen=True)
class FilterConfig:
    """Which windows a training sees; it needs no other shards. Validation sees every frame."""

    visible_only: bool = False
    """Leave out windows none of whose targets has a ball; their frames still serve as neighbours of others."""
    games: tuple[str, ...] | None = None
    """Only these games, by name or number; null takes all."""
    exclude_games: tuple[str, ...] = ()
    every: int = bounded(1, 1, 10_000)
    """Every n-th window of a clip; its frames stay as close together as they are."""

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yields (key, message) where no game is named."""
        if self.games == ():
            yield "games", "is empty: name a game, or null for all"


@dataclass(frozen=True)
class SourceConfig:
    """One of several sets of shards that a training mixes."""

    shards: tuple[str, ...] = ()
    """A folder of built shards, or files, globs or brace patterns of one build; also behind a URL."""
    weight: float | None = bounded(None, above=0.0)
    """Its share of the windows is this over the sum of all; null (in every source) goes by size."""

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yields (key, message) where no shards are named."""
        if not self.shards:
            yield "shards", "is missing: name a folder of built shards"


@dataclass(frozen=True)
class DataConfig:
    """Raw material, the shards built from it, and what is read out of them."""

    root: str = "data/tracknet"
    shards: str = "shards"
    """Folder of the built shards: the builder writes there, training reads there (from a URL too)."""
    files: tuple[str, ...] | None = None
    """Training shards to read, as files, globs or brace patterns; null takes all of the folder."""
    sources: tuple[SourceConfig, ...] | None = None
    """Several sets of shards to mix, in place of `shards` and `files`: [{shards: FOLDER, weight: 0.7}, ...]."""
    resize: Size | None = Size(512, 288)
    """Size at which frames are stored and which the model sees; null takes the checkpoint's own."""
    decode: Literal["full", "scaled"] = "full"
    """`scaled` lets the JPEG decoder halve large frames: builds 1.8 times as fast, with a ball 11 % paler."""
    jpeg_quality: int = bounded(95, 50, 100)
    max_megapixels: float = bounded(64.0, above=0.0, high=2000.0)
    """Pictures in tars made elsewhere that state more are refused before they are decoded."""
    num_shards: int = bounded(32, 1, 1000)
    """Training shards; fewer when there is too little data."""
    segment_frames: int = bounded(64, 1, 100_000)
    """Consecutive frames that go into one shard together."""
    val_games: tuple[str, ...] | None = None
    """Games held out for validation, by name or number; null takes the last fifth of those not tested."""
    test_games: tuple[str, ...] = ()
    """Games kept for the test, by name or number: neither trained nor validated on."""
    split_seed: int = bounded(0, 0)
    """Deals the segments to the shards."""
    layout: str = "auto"
    """Of the raw data: `auto`, `tracknet`, `video`, or another that `pipelines.sources` knows."""
    coordinates: Literal["auto", "pixel", "normalised"] = "auto"
    """Of the labels of videos; those of images are in pixels."""
    on_bad_label: Literal["error", "drop", "clip"] = "error"
    sequence: SequenceConfig = field(default_factory=SequenceConfig)
    cache: CacheConfig = field(default_factory=CacheConfig)
    filter: FilterConfig = field(default_factory=FilterConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    loader: LoaderConfig = field(default_factory=LoaderConfig)
    features: str | None = None
    """Folder or URL of the tokens of a frozen backbone (`pipelines.build_features`), which is then not run."""

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yields (key, message) for each setting that contradicts another: features with augmentation, and sources
        with features, with `files` or with sources that have no weight.
        """
        if self.features is not None and self.augment.enabled:
            yield (
                "augment.enabled",
                "goes without data.features, which are of the frames as they are: set it to false",
            )
        if self.sources is None:
            return
        if self.features is not None:
            yield "features", "goes without data.sources: build shards and features of all sources together"
        if not self.sources:
            yield "sources", "is empty: name at least one, or null to read data.shards"
        if self.files:
            yield "sources", "goes without data.files: a source names its own shards"
        weighted = [source.weight is not None for source in self.sources]
        if any(weighted) and not all(weighted):
            missing = ", ".join(f"[{n}]" for n, has in enumerate(weighted) if not has)
            yield "sources", f"give every source a weight, or none: {missing} has none"
