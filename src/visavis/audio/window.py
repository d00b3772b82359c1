"""The sound of a frame: 200 ms centred on its time (AVFR-GAN section 3, figure 3)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from visavis.audio.mel import MEL_BANDS, MEL_FRAMES, RATE_HZ, WINDOW_SAMPLES, log_mel
from visavis.media.frame import Sound

#: Half a window: sound of so many seconds after a frame belongs to it.
REACH_S = Fraction(WINDOW_SAMPLES, 2 * RATE_HZ)
_MOST_HELD_SAMPLES = 30 * RATE_HZ


class SoundBuffer:
    """Holds the newest sound and cuts the mel windows of frames out of it.

    Keeps only as much as the next window can need, and never more than half a minute. Before the first and after
    the last sample there is silence.
    """

    def __init__(self) -> None:
        self._samples = np.zeros(0, np.float32)
        self._start = 0  # index of the first kept sample, from time zero

    @property
    def end(self) -> int:
        """Index of the sample after the last one, from time zero."""
        return self._start + len(self._samples)

    def push(self, chunk: Sound) -> None:
        """Take 16 kHz mono sound, in order of time; a gap becomes silence, what is known already is left out."""
        if chunk.rate_hz != RATE_HZ:
            raise ValueError(f"sound must come at {RATE_HZ} Hz, got {chunk.rate_hz}")
        at = round(chunk.time * RATE_HZ)
        if not len(self._samples):
            self._start = at
            self._samples = chunk.samples
            return
        gap = at - self.end
        silence = np.zeros(max(gap, 0), np.float32)
        # A chunk that starts a little early repeats what is already known.
        fresh = chunk.samples[max(-gap, 0) :]
        self._samples = np.concatenate([self._samples, silence, fresh])
        self._forget(self.end - _MOST_HELD_SAMPLES)

    def at(self, time: Fraction) -> NDArray[np.float32]:
        """Return ``float32 [80, 20]`` around ``time`` in seconds. Times must not decrease from call to call."""
        first = round(time * RATE_HZ) - WINDOW_SAMPLES // 2
        last = first + WINDOW_SAMPLES
        self._forget(first)
        window = np.zeros(WINDOW_SAMPLES, np.float32)
        begin = max(first, self._start)
        end = min(last, self.end)
        if end > begin:
            window[begin - first : end - first] = self._samples[begin - self._start : end - self._start]
        mel = log_mel(window)
        assert mel.shape == (MEL_BANDS, MEL_FRAMES)
        return mel

    def _forget(self, before: int) -> None:
        drop = min(max(before - self._start, 0), len(self._samples))
        self._samples = self._samples[drop:]
        self._start += drop


class SoundWindow:
    """Cuts the mel window of each frame out of a stream of sound, which it reads as far as it needs.

    Args:
        chunks: 16 kHz mono :class:`Sound` in order of time.
    """

    def __init__(self, chunks: Iterable[Sound]) -> None:
        self._chunks: Iterator[Sound] = iter(chunks)
        self._buffer = SoundBuffer()
        self._ended = False

    def at(self, time: Fraction) -> NDArray[np.float32]:
        """Return ``float32 [80, 20]`` around ``time`` in seconds. Times must not decrease from call to call."""
        last = round(time * RATE_HZ) + WINDOW_SAMPLES - WINDOW_SAMPLES // 2
        while not self._ended and self._buffer.end < last:
            chunk = next(self._chunks, None)
            if chunk is None:
                self._ended = True
            else:
                self._buffer.push(chunk)
        return self._buffer.at(time)
