"""What a call's generator hears: mel windows out of 48 kHz sound that comes piece by piece."""

from __future__ import annotations

from fractions import Fraction

from visavis.audio.mel import RATE_HZ
from visavis.audio.window import REACH_S, SoundBuffer
from visavis.codec.sound import RATE_HZ as CODED_HZ
from visavis.codec.sound import Piece, Samples
from visavis.media.frame import Sound
from visavis.media.samples import Resampler

#: A hole up to this is silence; after a longer one all begins anew, since no frame hears across it.
_LONGEST_HOLE_S = 10


class Hearing:
    """Takes sound in order and gives the window of each frame; what is missing is silence."""

    def __init__(self) -> None:
        self._resampler = Resampler(CODED_HZ, RATE_HZ)
        self._buffer = SoundBuffer()
        self._follows = 0  # number of the sample at 48 kHz that follows
        self._reached = 0  # and at 16 kHz

    def push(self, piece: Piece) -> None:
        """Take 48 kHz mono samples that do not overlap the last ones."""
        if piece.first != self._follows:
            if piece.first - self._follows > _LONGEST_HOLE_S * CODED_HZ:
                self._buffer = SoundBuffer()
            self._resampler = Resampler(CODED_HZ, RATE_HZ)
            self._reached = round(Fraction(piece.first * RATE_HZ, CODED_HZ))
        low: Samples = self._resampler.push(piece.samples)
        self._buffer.push(Sound(low, RATE_HZ, Fraction(self._reached, RATE_HZ)))
        self._reached += len(low)
        self._follows = piece.end

    def has(self, time: Fraction) -> bool:
        """Whether all sound around a frame is there."""
        return self._reached >= (time + REACH_S) * RATE_HZ

    def at(self, time: Fraction) -> Samples:
        """``float32 [80, 20]`` around ``time``, silence where there is no sound yet; times must not decrease."""
        return self._buffer.at(time)
