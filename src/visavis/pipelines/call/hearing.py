"""What a call's generator hears: mel windows out of 48 kHz sound that comes bit by bit."""

from __future__ import annotations

from fractions import Fraction

from visavis.audio.mel import RATE_HZ
from visavis.audio.window import REACH_S, SoundBuffer
from visavis.codec.sound import RATE_HZ as CODED_HZ
from visavis.codec.sound import Samples
from visavis.media.frame import Sound
from visavis.media.samples import Resampler


class Hearing:
    """Takes sound in order and gives the window of each frame."""

    def __init__(self) -> None:
        self._resampler = Resampler(CODED_HZ, RATE_HZ)
        self._buffer = SoundBuffer()
        self._reached = 0

    def push(self, samples: Samples) -> None:
        """Take 48 kHz mono samples that follow the last ones."""
        low = self._resampler.push(samples)
        self._buffer.push(Sound(low, RATE_HZ, Fraction(self._reached, RATE_HZ)))
        self._reached += len(low)

    def has(self, time: Fraction) -> bool:
        """Whether all sound around a frame is there."""
        return self._reached >= (time + REACH_S) * RATE_HZ

    def at(self, time: Fraction) -> Samples:
        """``float32 [80, 20]`` around ``time``, silence where there is no sound yet; times must not decrease."""
        return self._buffer.at(time)
