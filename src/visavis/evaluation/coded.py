"""What the comparison of codecs asks of a codec, be it of pixels or of motion."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from visavis.media.frame import Pixels


@dataclass(frozen=True)
class Coded:
    """A clip that went through a codec.

    Attributes:
        sizes_bytes: of everything that is sent for the pictures, headers included, as the units that are sent.
        frames: the receiver's pictures ``uint8 [H, W, 3]``, one for each of the clip's, made as they are asked for.
    """

    sizes_bytes: Sequence[int]
    frames: Iterator[Pixels]


class Codec(Protocol):
    """A codec at several operating points."""

    @property
    def name(self) -> str:
        """As ``visavis rate --codec`` knows it."""

    @property
    def points(self) -> Sequence[str]:
        """Names of its operating points, for people."""

    def missing(self) -> str | None:
        """Why it cannot be run here, or None."""

    def run(self, clip: Path, point: str, every: int = 1) -> Coded:
        """Code and decode one clip at one operating point.

        Args:
            clip: the video.
            point: one of :attr:`points`.
            every: only one of so many of the receiver's pictures is looked at; the others may be repeats.
        """
