"""What a talking head asks of a speaker; :class:`visavis.motion.speech.speaker.Speaker` is one."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from visavis.audio.feature import SoundFeature
from visavis.generators.base import Generator, Prior
from visavis.motion.kind import refuse_meshes
from visavis.motion.speech.spoken import Rhythm, Spoken

Array = NDArray[np.float32]
#: How a person moves in speaking, from :meth:`Speaks.rhythm_of`; None where nothing tells it.
Rhythmic = Rhythm | None


class Voice(Protocol):
    """One person who speaks, frame by frame of 40 ms."""

    def next(self, heard: Array | None) -> Spoken:
        """How the face moves in the next frame; None is silence."""


class Speaks(Protocol):
    """Makes sound into how a face moves."""

    @property
    def hears(self) -> SoundFeature:
        """What it takes of the sound around each frame."""

    def rhythm_of(self, cameras: Array, heard: Array, opened: Array | None = None) -> Rhythmic:
        """The rhythm of a reference clip.

        Args:
            cameras: ``float32 [T, 6]``.
            heard: ``float32 [T, *hears.shape]``.
            opened: ``float32 [T]``, how wide the mouth is open; None where nobody looked.
        """

    def speaking(self, identity: Array, *, rhythm: Rhythmic = None, seed: int = 0, head: bool = True) -> Voice:
        """Begin to speak as a person of that identity ``float32 [n_id]``."""


def check_speaks(generator: Generator) -> None:
    """Refuse a generator whose motion has no mesh that speech could move.

    Raises:
        ConfigError: it has none.
    """
    if Prior.MESH not in generator.needs:
        raise refuse_meshes("speech moves faces by one, and its motion has none")


def load_speaker() -> Speaks:
    """The packaged speaker.

    Raises:
        WeightsError: its weights are missing or damaged.
    """
    from visavis.motion.speech.speaker import Speaker

    return Speaker.load()
