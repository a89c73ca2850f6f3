"""Local shards that a training does without: told of at the start, or refused there where they are too many."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tracknet.utils.errors import RunError
from tracknet.utils.settings import LoaderConfig


@dataclass
class LostFrames:
    """What shards are lost of a set that is being opened; `open_shards` tells it as its `on_lost`.

    Attributes:
        most_bad: so many bad frames are let pass (`data.loader.max_bad_frames`).
        lost: which shards, in words, how many frames they hold, and what brings them back, for each folder that lost
            some.
    """

    most_bad: int
    lost: list[tuple[str, int, str]] = field(default_factory=list)

    @classmethod
    def of(cls, config: LoaderConfig) -> LostFrames | None:
        """For a loader that skips bad frames; `None` for one that does not."""
        return cls(config.max_bad_frames) if config.on_bad_frame == "skip" else None

    def __call__(self, lost: str, frames: int, remedy: str) -> None:
        """Some shards of a folder are lost, with so many frames; the remedy brings them back."""
        self.lost.append((lost, frames, remedy))

    @property
    def frames(self) -> int:
        """That all lost shards hold."""
        return sum(frames for _, frames, _ in self.lost)

    def tell(self, say: Callable[[str], None]) -> None:
        """Says a line of each folder that lost some, which begins with "warning: ".

        Raises:
            RunError: they hold more frames than may be skipped, so that the run would end in mid-epoch.
        """
        if self.frames > self.most_bad:
            raise RunError(
                f"shards are lost with {self.frames:,} frames, more than data.loader.max_bad_frames={self.most_bad} "
                "allows",
                problems=[lost for lost, _, _ in self.lost],
                remedy="; ".join(dict.fromkeys(remedy for _, _, remedy in self.lost))
                + f"; or do without them: set data.loader.max_bad_frames={self.frames}",
            )
        for lost, frames, remedy in self.lost:
            say(f"warning: {lost}; their frames ({frames:,} at most) are skipped; to have them, {remedy}")
