"""A speaker: sound in, frame by frame, and out how a speaking face moves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from visavis.audio.feature import SoundFeature
from visavis.motion.speech.spoken import Spoken

Array = NDArray[np.float32]
PACKAGED_NAME = "speaker-25"


@dataclass(frozen=True, eq=False)
class Rhythm:
    """How a head moves with its speech, as :meth:`Speaker.rhythm_of` reads it off a reference clip."""


class Speaker:
    """Makes speech into motion.

    Attributes:
        hears: what it wants of the sound around each frame.
    """

    hears: SoundFeature

    @classmethod
    def load(cls, name: str = PACKAGED_NAME) -> Speaker:
        """Load a speaker by path or name; the packaged one by default."""
        raise NotImplementedError

    def rhythm_of(self, cameras: Array, heard: Array) -> Rhythm:
        """The rhythm of a reference clip.

        Args:
            cameras: ``float32 [T, 6]`` at 25 fps, as :func:`visavis.face.fitting.fit_clip` gives them; 64 frames are looked at, fewer
                are padded.
            heard: ``float32 [T, *hears.shape]``.
        """
        raise NotImplementedError

    def speaking(self, identity: Array, *, rhythm: Rhythm | None = None, seed: int = 0, head: bool = True) -> Speaking:
        """Begin to speak.

        Args:
            identity: ``float32 [n_id]``.
            rhythm: of a reference clip; without one, of the learned ones that the seed picks.
            seed: of blinks, gaze and whatever else the sound does not tell.
            head: whether the head moves.
        """
        raise NotImplementedError


class Speaking:
    """One person who speaks; its state is bounded, so that a stream may be endless."""

    def next(self, heard: Array | None) -> Spoken:
        """The next frame of 40 ms for what is heard around it, ``float32 [*hears.shape]``; None is silence."""
        raise NotImplementedError
