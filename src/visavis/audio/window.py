"""The sound of a frame: the window around its time that a feature asks for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from visavis.audio.feature import SoundFeature, window_samples
from visavis.media.frame import Sound

_MOST_HELD_S = 30


class SoundBuffer:
    """Holds the newest sound and cuts the windows of frames out of it.

    Keeps only as much as the next window can need, and never more than half a minute. Before the first and after
    the last sample there is silence.

    Args:
        feature: what is made of a window.
    """

    def __init__(self, feature: SoundFeature) -> None:
        self._feature = feature
        self._before, self._after = window_samples(feature)
        self._samples = np.zeros(0, np.float32)
        self._start = 0  # index of the first kept sample, from time zero

    @property
    def rate_hz(self) -> int:
        """Rate of the sound that it takes."""
        return self._feature.rate_hz

    @property
    def end(self) -> int:
        """Index of the sample after the last one, from time zero."""
        return self._start + len(self._samples)

    def last_for(self, time: Fraction) -> int:
        """Index of the sample after the last that a frame at ``time`` hears."""
        return round(time * self._feature.rate_hz) + self._after

    def push(self, chunk: Sound) -> None:
        """Take mono sound of the feature's rate, in order of time; a gap becomes silence, what is known is left out."""
        rate = self._feature.rate_hz
        if chunk.rate_hz != rate:
            raise ValueError(f"sound must come at {rate} Hz, got {chunk.rate_hz}")
        at = round(chunk.time * rate)
        if not len(self._samples):
            self._start = at
            self._samples = chunk.samples
            return
        gap = at - self.end
        silence = np.zeros(max(gap, 0), np.float32)
        # A chunk that starts a little early repeats what is already known.
        fresh = chunk.samples[max(-gap, 0) :]
        self._samples = np.concatenate([self._samples, silence, fresh])
        self._forget(self.end - _MOST_HELD_S * rate)

    def at(self, time: Fraction) -> NDArray[np.float32]:
        """The feature of a frame at ``time`` in seconds. Times must not decrease from call to call."""
        last = self.last_for(time)
        first = last - self._after - self._before
        self._forget(first)
        window = np.zeros(last - first, np.float32)
        begin = max(first, self._start)
        end = min(last, self.end)
        if end > begin:
            window[begin - first : end - first] = self._samples[begin - self._start : end - self._start]
        made = self._feature.compute(window)
        assert made.shape == self._feature.shape
        return made

    def _forget(self, before: int) -> None:
        drop = min(max(before - self._start, 0), len(self._samples))
        self._samples = self._samples[drop:]
        self._start += drop


class SoundWindow:
    """Cuts the window of each frame out of a stream of sound, which it reads as far as it needs.

    Args:
        chunks: mono :class:`Sound` of the feature's rate, in order of time.
        feature: what is made of a window.
    """

    def __init__(self, chunks: Iterable[Sound], feature: SoundFeature) -> None:
        self._chunks: Iterator[Sound] = iter(chunks)
        self._buffer = SoundBuffer(feature)
        self._ended = False

    def at(self, time: Fraction) -> NDArray[np.float32]:
        """The feature of a frame at ``time`` in seconds. Times must not decrease from call to call."""
        last = self._buffer.last_for(time)
        while not self._ended and self._buffer.end < last:
            chunk = next(self._chunks, None)
            if chunk is None:
                self._ended = True
            else:
                self._buffer.push(chunk)
        return self._buffer.at(time)
