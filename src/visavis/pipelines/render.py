"""The one way from a person, motions and sound to pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from time import perf_counter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from visavis.face.types import Observation
from visavis.generators.base import Generator, Person
from visavis.media.frame import Frame, Pixels
from visavis.motion.history import History
from visavis.motion.layout import Motion
from visavis.pipelines.spent import Spent

#: The sound around a time, as the generator hears it; times must not decrease.
SoundAt = Callable[[Fraction], NDArray[np.float32] | None]


class Cue(NamedTuple):
    """What one picture is made of, beside the person.

    Attributes:
        motions: the frame's and those before it, as :meth:`visavis.generators.base.Person.render` takes them.
        sound: of the frame, or None.
    """

    motions: tuple[Motion, ...]
    sound: NDArray[np.float32] | None = None


class Cues:
    """Gives each frame of a stream its cue. Every frame has to be told of in order of time, shown or skipped.

    Args:
        generator: whose memory counts.
        sound_at: sound of a time; None for a stream without sound.
    """

    def __init__(self, generator: Generator, sound_at: SoundAt | None = None) -> None:
        self._history, self._sound_at = History(generator.memory), sound_at

    def __call__(self, motion: Motion, time: Fraction) -> Cue:
        """The cue of the next frame."""
        return Cue(self._history.push(motion), None if self._sound_at is None else self._sound_at(time))

    def skip(self, motion: Motion) -> None:
        """Let a frame pass that nobody looks at."""
        self._history.push(motion)

    def begin_anew(self) -> None:
        """What comes next does not follow what was."""
        self._history.begin_anew()


class Portrait:
    """One person, moved frame by frame.

    Args:
        generator: who renders.
        references: observations of the person, the source first.
        sound_at: sound of a time; None for a stream without sound.
    """

    def __init__(
        self, generator: Generator, references: Sequence[Observation], sound_at: SoundAt | None = None
    ) -> None:
        self._person = prepared(generator, references)
        self._generator = generator
        self._cues = Cues(generator, sound_at)

    def hear(self, sound_at: SoundAt | None) -> None:
        """Begin a new stream, with this sound."""
        self._cues = Cues(self._generator, sound_at)

    def picture(self, motion: Motion, time: Fraction) -> Pixels:
        """The picture ``uint8 [S, S, 3]`` of the next frame."""
        return self.rendering(motion, time)()

    def rendering(self, motion: Motion, time: Fraction) -> Callable[[], Pixels]:
        """What makes the picture of the next frame, at any time and in any thread."""
        cue = self._cues(motion, time)
        return lambda: self._person.render(*cue)

    def skip(self, motion: Motion) -> None:
        """Let a frame pass that nobody looks at."""
        self._cues.skip(motion)

    def stream(self, motions: Iterable[tuple[Fraction, Motion]]) -> Iterator[Frame]:
        """Yield a frame for each time and motion, as it is asked for."""
        for time, motion in motions:
            yield Frame(self.picture(motion, time), time)


def rendered(rendering: Callable[[], Pixels], time: Fraction, spent: Spent) -> Frame:
    """Make a frame of the picture that :meth:`Portrait.rendering` told how to make, and count the time."""
    clock = perf_counter()
    frame = Frame(rendering(), time)
    spent("render", clock)
    return frame


def prepared(generator: Generator, references: Sequence[Observation]) -> Person:
    """Prepare a person of as many references as there are: the first is repeated for what lacks, the last left out.

    Args:
        generator: who renders.
        references: at least one.
    """
    least, most = generator.references
    shown = [*references, *[references[0]] * (least - len(references))]
    return generator.prepare(shown[:most])
