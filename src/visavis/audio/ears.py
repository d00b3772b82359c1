"""Sound as it comes, of any rate and any number of channels, heard by several listeners at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visavis.audio.feature import SoundFeature, window_samples
from visavis.audio.window import SoundBuffer
from visavis.core.errors import MediaError
from visavis.media.frame import Samples, Sound
from visavis.media.samples import Resampler

RATES_HZ = (1_000, 384_000)
#: How much of each channel a mono listener gets of six: front left and right, centre, low, and the two behind.
_OF_SIX = np.array([0.7071, 0.7071, 1.0, 0.0, 0.5, 0.5]) / 2
#: Resampling gives the last fraction of a millisecond when more comes.
_RESAMPLING_S = Fraction(2, 1000)


class Ears:
    """Gives several listeners the sound around each moment, as soon as it is there.

    Args:
        features: what each listener makes of it; None for one who is deaf.
    """

    def __init__(self, features: Sequence[SoundFeature | None]) -> None:
        self._features = features
        self._buffers = [None if feature is None else SoundBuffer(feature) for feature in features]
        self._rate_hz = 0
        self._ways: list[_Way] = []
        self.seconds = Fraction(0)  # of sound that came

    @property
    def latency_s(self) -> Fraction:
        """How much sound after a moment must have come before all listeners have heard that moment."""
        after = [Fraction(window_samples(one)[1], one.rate_hz) for one in self._features if one is not None]
        return max(after, default=Fraction(0)) + _RESAMPLING_S

    def push(self, samples: Samples, rate_hz: int) -> None:
        """Take mono sound that follows what came before; the rate may change. At most half a minute at once."""
        if rate_hz != self._rate_hz:
            self._rate_hz = rate_hz
            self._ways = [_Way(rate_hz, one, self.seconds) for one in self._buffers if one is not None]
        for way in self._ways:
            way.push(samples)
        self.seconds += Fraction(len(samples), rate_hz)

    def ready(self, time: Fraction) -> bool:
        """Whether all that is heard around a time has come."""
        return all(one is None or one.end >= one.last_for(time) for one in self._buffers)

    def at(self, time: Fraction) -> list[NDArray[np.float32] | None]:
        """What each listener hears around a time; times must not decrease. What has not come is silence."""
        return [None if one is None else one.at(time) for one in self._buffers]


class _Way:
    """From the rate that sound comes in to that of one listener."""

    def __init__(self, rate_hz: int, buffer: SoundBuffer, since: Fraction) -> None:
        self._buffer, self._rate_hz = buffer, buffer.rate_hz
        self._resampler = None if rate_hz == self._rate_hz else Resampler(rate_hz, self._rate_hz)
        self._given = round(since * self._rate_hz)

    def push(self, samples: Samples) -> None:
        own = samples if self._resampler is None else self._resampler.push(samples)
        if len(own):
            self._buffer.push(Sound(own, self._rate_hz, Fraction(self._given, self._rate_hz)))
            self._given += len(own)


def as_mono(sound: NDArray[Any]) -> Samples:
    """Samples ``[N]`` or ``[N, channels]``, floats in [-1, 1] or integers of their type's range, as mono.

    Two channels are averaged; six are those of 5.1, of which the centre counts most.

    Raises:
        MediaError: another shape, or more than eight channels.
    """
    if sound.ndim not in (1, 2) or (sound.ndim == 2 and not 1 <= sound.shape[1] <= 8):
        raise MediaError(f"sound must be [samples] or [samples, 1 to 8 channels], not {list(sound.shape)}")
    values = np.asarray(sound, np.float32)
    if np.issubdtype(sound.dtype, np.integer):
        values = values / np.float32(np.iinfo(sound.dtype).max)
    values = np.nan_to_num(values, nan=0.0, posinf=1.0, neginf=-1.0)
    if values.ndim == 2:
        shares = _OF_SIX if values.shape[1] == 6 else np.full(values.shape[1], 1 / values.shape[1])
        values = values @ shares.astype(np.float32)
    return np.asarray(values.clip(-1, 1), np.float32)


def pieces(samples: Samples, rate_hz: int) -> Iterator[Samples]:
    """The same sound in pieces of at most a second.

    Raises:
        MediaError: a rate that no sound has.
    """
    if not RATES_HZ[0] <= rate_hz <= RATES_HZ[1]:
        raise MediaError(f"sound of {rate_hz} samples a second: choose {RATES_HZ[0]} to {RATES_HZ[1]}")
    for start in range(0, len(samples), rate_hz):
        yield samples[start : start + rate_hz]
