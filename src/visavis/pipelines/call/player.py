"""From motion that is known to pictures: each with its sound, and those between that were not sent."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from math import ceil

from visavis.codec.bitstream import Header
from visavis.media.frame import Frame, Pixels
from visavis.motion.history import on_the_way
from visavis.motion.layout import Motion
from visavis.pipelines.call.between import Begin, Between, Gap
from visavis.pipelines.call.hearing import Hearing
from visavis.pipelines.call.painter import Likeness, Painter
from visavis.pipelines.render import Cue, Cues
from visavis.pipelines.stages import Promise

#: Seconds of sound that a packet of it brings.
_BUNDLE_S = Fraction(12, 100)


@dataclass
class Known:
    """A frame whose motion is known.

    Attributes:
        index: among the frames that are sent, from the call's start.
        likeness: the pivot to move.
        motion: its own.
        concealed: whether it was made up.
        picture: that is being painted.
    """

    index: int
    likeness: Likeness
    motion: Motion
    concealed: bool
    picture: Promise[Pixels] | None = None


@dataclass(frozen=True)
class Played:
    """A picture that is being painted, its time, and whether it was made up in place of a lost one."""

    picture: Promise[Pixels]
    time: Fraction
    concealed: bool

    def frame(self) -> Frame:
        """Wait for it."""
        return Frame(self.picture(), self.time)


class Player:
    """Paints frames in order, once the sound around them is there or they have waited long enough.

    Args:
        header: of the call.
        painter: of its pivots.
        cues: of its frames.
        hearing: sound for the generator; None where it hears none.
        between: makes the frames that were not sent.
        begin: begins to paint a picture.
        every: paint one of so many frames where all were sent, and leave out the others.

    Attributes:
        end: number of the call's frames, once it is told: no picture is made beyond.
    """

    def __init__(
        self,
        header: Header,
        painter: Painter,
        cues: Cues,
        hearing: Hearing | None,
        between: Between,
        begin: Begin,
        every: int = 1,
    ) -> None:
        self._header, self._painter, self._cues = header, painter, cues
        self._hearing, self._between, self._begin = hearing, between, begin
        reach = Fraction(0) if hearing is None else (hearing.wait + _BUNDLE_S) * header.fps / self._apart
        self._most_waiting = max(2 * header.group, header.group + ceil(reach))
        self._every = 1 if header.interpolated else every
        self._queue: deque[Known] = deque()
        self._last: Known | None = None
        self._follows = 0  # index of the frame that follows
        self.end: int | None = None

    def push(self, known: Known) -> None:
        """Take the next frame that was sent."""
        self._queue.append(known)

    def ready(self, *, wait: bool) -> Iterator[Played]:
        """Begin to paint what need not wait any longer; everything if ``wait`` is False."""
        while self._queue:
            late = len(self._queue) > self._most_waiting
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
        """Begin a frame, and give before it those between it and the last one."""
        number, last = known.index * self._apart, self._last
        # Cues are given away in order, so that all are had before the first picture is begun.
        betweens: list[tuple[int, float, Cue]] = []
        if last is not None and last.index == known.index - 1:
            for n in range(number - self._apart + 1, number):
                share = n / self._apart - last.index
                cue = self._cues(on_the_way(last.motion, known.motion, share), n / self._header.fps)
                betweens.append((n, share, cue))
        elif last is not None and self._follows != known.index:
            self._cues.begin_anew()
        self._follows = known.index + 1
        if number % self._every:
            self._cues.skip(known.motion)
            return
        cue = self._cues(known.motion, number / self._header.fps)
        known.picture = self._begin(partial(self._painter.paint, known.likeness, cue))
        for n, share, between in betweens:
            assert last is not None
            yield Played(self._paint_between(last, known, share, between), n / self._header.fps, known.concealed)
        self._last = known
        yield Played(known.picture, number / self._header.fps, known.concealed)

    def _paint_between(self, before: Known, after: Known, share: float, cue: Cue) -> Promise[Pixels]:
        nearer = before if share < 0.5 else after
        paint = partial(self._painter.paint, nearer.likeness, cue)
        return self._between(partial(_gap, before, after, share), paint, self._begin)


def _gap(before: Known, after: Known, share: float) -> Gap:
    assert before.picture is not None and after.picture is not None
    return Gap(before.picture(), after.picture(), before.motion, after.motion, share)
