"""What a call's generator hears: windows out of 48 kHz sound that comes piece by piece."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from visavis.audio.feature import SoundFeature
from visavis.audio.window import SoundBuffer
from visavis.codec.sound import RATE_HZ as CODED_HZ
from visavis.codec.sound import Piece, Samples
from visavis.media.frame import Sound
from visavis.media.samples import Resampler

#: A hole up to this is silence; after a longer one all begins anew, since no frame hears across it.
_LONGEST_HOLE_S = 10


class Hearing:
    """Takes sound in order and gives what is heard of each frame; what is missing is silence.

    Args:
        feature: what the generator hears.
    """

    def __init__(self, feature: SoundFeature) -> None:
        self._feature, self._rate_hz = feature, feature.rate_hz
        self._resampler = Resampler(CODED_HZ, self._rate_hz)
        self._buffer = SoundBuffer(feature)
        self._follows = 0  # number of the sample at 48 kHz that follows
        self._reached = 0  # and at the feature's rate

    @property
    def wait(self) -> Fraction:
        """Seconds after a frame's time until all that it hears has been said."""
        return self._feature.after_s

    def push(self, piece: Piece) -> None:
        """Take 48 kHz mono samples that do not overlap the last ones."""
        if piece.first != self._follows:
            if piece.first - self._follows > _LONGEST_HOLE_S * CODED_HZ:
                self._buffer = SoundBuffer(self._feature)
            self._resampler = Resampler(CODED_HZ, self._rate_hz)
            self._reached = round(Fraction(piece.first * self._rate_hz, CODED_HZ))
        low: Samples = self._resampler.push(piece.samples)
        self._buffer.push(Sound(low, self._rate_hz, Fraction(self._reached, self._rate_hz)))
        self._reached += len(low)
        self._follows = piece.end

    def has(self, time: Fraction) -> bool:
        """Whether all sound around a frame is there."""
        return self._reached >= (time + self._feature.after_s) * self._rate_hz

    def at(self, time: Fraction) -> NDArray[np.float32]:
        """The feature around ``time``, of silence where there is no sound yet; times must not decrease."""
        return self._buffer.at(time)
