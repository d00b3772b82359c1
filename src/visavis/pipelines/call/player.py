"""From motion that is known to pictures: each with its sound, and those between that were not sent."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from visavis.codec.bitstream import Header
from visavis.media.frame import Frame, Pixels
from visavis.pipelines.call.between import Between, Gap
from visavis.pipelines.call.hearing import Hearing
from visavis.pipelines.call.painter import Array, Likeness, Painter


@dataclass
class Known:
    """A frame whose motion is known.

    Attributes:
        index: among the frames that are sent, from the call's start.
        likeness: the pivot to move.
        vector: its motion ``float32 [D]``.
        concealed: whether it was made up.
        picture: once it is painted.
    """

    index: int
    likeness: Likeness
    vector: Array
    concealed: bool
    picture: Pixels | None = None


@dataclass(frozen=True)
class Played:
    """A picture, and whether it was made up in place of a lost one."""

    frame: Frame
    concealed: bool


class Player:
    """Paints frames in order, once the sound around them is there or they have waited long enough.

    Args:
        header: of the call.
        painter: of its pivots.
        hearing: sound for the generator; None where it hears none.
        between: makes the frames that were not sent.
        every: paint one of so many frames where all were sent, and leave out the others.

    Attributes:
        end: number of the call's frames, once it is told: no picture is made beyond.
    """

    def __init__(
        self, header: Header, painter: Painter, hearing: Hearing | None, between: Between, every: int = 1
    ) -> None:
        self._header, self._painter = header, painter
        self._hearing, self._between = hearing, between
        self._every = 1 if header.interpolated else every
        self._queue: deque[Known] = deque()
        self._last: Known | None = None
        self.end: int | None = None

    def push(self, known: Known) -> None:
        """Take the next frame that was sent."""
        self._queue.append(known)

    def ready(self, *, wait: bool) -> Iterator[Played]:
        """Paint what need not wait any longer; everything if ``wait`` is False."""
        while self._queue:
            late = len(self._queue) > 2 * self._header.group
            if wait and not late and self._hearing is not None and not self._hearing.has(self._time(self._queue[0])):
                return
            known = self._queue.popleft()
            # A group is filled up at the end of a call.
            if self.end is None or (known.index - 1) * self._apart + 1 < self.end:
                yield from self._paint(known)

    def _time(self, known: Known) -> Fraction:
        return known.index * self._apart / self._header.fps

    @property
    def _apart(self) -> int:
        return self._header.interpolated + 1

    def _paint(self, known: Known) -> Iterator[Played]:
        """Paint a frame, and before it those between it and the last one."""
        number, last = known.index * self._apart, self._last
        numbers = [number]
        if last is not None and last.index == known.index - 1:
            numbers = [*range(number - self._apart + 1, number), number]
        # Sound is given away in order, so that all windows are cut before the first picture is painted.
        mels = [None if self._hearing is None else self._hearing.at(n / self._header.fps) for n in numbers]
        if number % self._every:
            return
        known.picture = self._painter.paint(known.likeness, known.vector, mels[-1])
        for n, mel in zip(numbers[:-1], mels, strict=False):
            assert last is not None
            picture = self._paint_between(last, known, n / self._apart - last.index, mel)
            yield Played(Frame(picture, n / self._header.fps), known.concealed)
        self._last = known
        yield Played(Frame(known.picture, number / self._header.fps), known.concealed)

    def _paint_between(self, before: Known, after: Known, share: float, mel: Array | None) -> Pixels:
        assert before.picture is not None and after.picture is not None
        nearer = before if share < 0.5 else after
        gap = Gap(before.picture, after.picture, before.vector, after.vector, share)
        return self._between(gap, lambda vector: self._painter.paint(nearer.likeness, vector, mel))
