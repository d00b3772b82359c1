"""A person who talks: sound in as it comes, pictures out, 25 a second."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from visavis.audio.ears import Ears, pieces
from visavis.face.types import Observation
from visavis.generators.base import Generator
from visavis.media.frame import Frame, Samples
from visavis.motion.amounts import UNCHANGED, Amounts
from visavis.motion.kind import Mesh, mesh_carrier
from visavis.motion.speech.spoken import Spoken
from visavis.motion.spoken_face import RESTING_FRAMES, Sitter, SpokenFace, reposed
from visavis.pipelines.actor import STEP, camera_of
from visavis.pipelines.reenact import STAGES
from visavis.pipelines.render import Portrait, rendered
from visavis.pipelines.speaks import Rhythmic, Speaks
from visavis.pipelines.spent import Spent

Array = NDArray[np.float32]
#: Sound whose root mean square in 40 ms is less counts as silence (-60 dB).
_SILENT = 1e-3


class Played(Protocol):
    """Somebody whose head or face is played; :class:`visavis.pipelines.actor.Actor` is one."""

    def endless(self) -> Iterator[Mesh]:
        """Meshes every 40 ms, without an end; to be taken once."""

    def heads(self) -> Iterator[Array]:
        """Cameras of a head that rests at first and moves as this one does; to be taken once."""

    def resting_meshes(self) -> Sequence[Mesh]:
        """Some of the meshes, with heads that rest."""


class Performance:
    """The meshes that drive: by default all of the speech; head, expression or both may be a video's.

    Args:
        speaker: makes sound into motion.
        sitter: the person.
        rhythm: of the person's head; None leaves it to the seed.
        seed: of all that sound does not tell.
        head: whose head moves; None the speech's.
        still: whether the head rests.
        expression: whose face moves; None the speech's.
    """

    def __init__(
        self,
        speaker: Speaks,
        sitter: Sitter,
        *,
        rhythm: Rhythmic = None,
        seed: int = 0,
        head: Played | None = None,
        still: bool = False,
        expression: Played | None = None,
    ) -> None:
        self._face = SpokenFace(sitter)
        moves = head is None and not still
        self._voice = speaker.speaking(sitter.identity, rhythm=rhythm, seed=seed, head=moves)
        self._heads = None if head is None else head.heads()
        self._faces = None if expression is None else expression.endless()
        self._known = None if expression is None else expression.resting_meshes()

    @property
    def resting(self) -> Mesh:
        """The mesh from which on the head moves."""
        return self._face.resting

    @property
    def ahead(self) -> Sequence[Mesh]:
        """What is known beforehand of how it looks at rest, so that nothing has to settle."""
        return [self._face.resting] * RESTING_FRAMES if self._known is None else self._known

    def next(self, heard: Array | None) -> Mesh:
        """The mesh ``float32 [478, 3]`` of the next 40 ms."""
        spoken: Spoken = self._voice.next(heard)
        if self._heads is not None:
            spoken = replace(spoken, camera=next(self._heads))
        if self._faces is None:
            return self._face(spoken)
        mesh = next(self._faces)
        return reposed(mesh, camera_of(mesh), spoken.camera)


class TalkingPerson:
    """Pictures of one person for sound that comes piece by piece.

    Args:
        generator: who renders.
        references: observations of the person, the source first.
        performance: what drives.
        hears: what the speaker hears.
        amounts: how much of the movement counts.

    Attributes:
        frames: made so far.
        frames_of_speech: of these, during how many there was sound.
        spent: counts what each stage takes.

    Raises:
        ConfigError: a generator whose motion has no mesh, or amounts of parts that it does not have.
    """

    def __init__(
        self,
        generator: Generator,
        references: Sequence[Observation],
        performance: Performance,
        speaker: Speaks,
        amounts: Amounts = UNCHANGED,
    ) -> None:
        self._performance = performance
        source = generator.analyse(references[0])
        resting = performance.resting
        self._carry = mesh_carrier(generator.kind, source, resting, ahead=performance.ahead, amounts=amounts)
        self._ears = Ears([speaker.hears, generator.hears])
        self._heard: Array | None = None
        self._portrait = Portrait(generator, references, lambda at: self._heard)
        self._loud = _Loudness()
        self.frames = self.frames_of_speech = 0
        self.spent = Spent(STAGES)

    @property
    def latency_s(self) -> Fraction:
        """How much sound after a frame's time must have come before the frame does."""
        return self._ears.latency_s

    @property
    def seconds(self) -> Fraction:
        """Of sound that came so far."""
        return self._ears.seconds

    def push(self, samples: Samples, rate_hz: int) -> Iterator[Frame]:
        """Take mono sound; yield the frames that can be made by now, as they are asked for."""
        return (make() for make in self.hear(samples, rate_hz))

    def finish(self) -> Iterator[Frame]:
        """The sound has ended: yield the frames up to its end."""
        return (make() for make in self.end())

    def hear(self, samples: Samples, rate_hz: int) -> Iterator[Callable[[], Frame]]:
        """Take mono sound; yield what makes the frames that can be made by now, at any time and in any thread."""
        for piece in pieces(samples, rate_hz):
            self._loud.push(piece, rate_hz)
            self._ears.push(piece, rate_hz)
            while self._ears.ready(self.frames * STEP):
                yield self._next()

    def end(self) -> Iterator[Callable[[], Frame]]:
        """The sound has ended: yield what makes the frames up to its end."""
        while self.frames * STEP < self._ears.seconds:
            yield self._next()

    def _next(self) -> Callable[[], Frame]:
        at = self.frames * STEP
        clock = time.perf_counter()
        told, self._heard = self._ears.at(at)
        clock = self.spent("analyse", clock)
        rendering = self._portrait.rendering(self._carry(self._performance.next(told)), at)
        self.spent("motion", clock)
        self.frames += 1
        self.frames_of_speech += self._loud.at(at)
        return partial(rendered, rendering, at, self.spent)


class _Loudness:
    """Which stretches of 40 ms are not silent, forgotten once asked for."""

    def __init__(self) -> None:
        self._loud: list[bool] = []
        self._first = 0
        self._rest = np.zeros(0, np.float32)
        self._rate_hz = 0

    def push(self, samples: Samples, rate_hz: int) -> None:
        rest = self._rest if rate_hz == self._rate_hz else np.zeros(0, np.float32)
        self._rate_hz, waiting = rate_hz, np.concatenate([rest, samples])
        step = max(round(rate_hz * STEP), 1)
        whole = len(waiting) // step * step
        for part in waiting[:whole].reshape(-1, step):
            self._loud.append(_loud(part))
        self._rest = waiting[whole:]

    def at(self, time: Fraction) -> bool:
        number = int(time / STEP)
        while self._loud and self._first < number:
            self._first += 1
            self._loud.pop(0)
        return self._loud[0] if self._loud else bool(len(self._rest)) and _loud(self._rest)


def _loud(samples: Samples) -> bool:
    return bool(np.sqrt(np.mean(np.square(samples, dtype=np.float64))) > _SILENT)
