"""The sound of a frame: 200 ms centred on its time (AVFR-GAN section 3, figure 3)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from visavis.audio.mel import MEL_BANDS, MEL_FRAMES, RATE_HZ, WINDOW_SAMPLES, log_mel
from visavis.media.frame import Sound


class SoundWindow:
    """Cuts the mel window of each frame out of a stream of sound.

    Keeps only as much sound as the next window can need, so memory does not grow. Before the first and after the
    last sample there is silence.

    Args:
        chunks: 16 kHz mono :class:`Sound` in order of time.
    """

    def __init__(self, chunks: Iterable[Sound]) -> None:
        self._chunks: Iterator[Sound] = iter(chunks)
        self._samples = np.zeros(0, np.float32)
        self._start = 0  # index of the first kept sample, from time zero
        self._ended = False

    def at(self, time: Fraction) -> NDArray[np.float32]:
        """Return ``float32 [80, 20]`` around ``time`` in seconds. Times must not decrease from call to call."""
        first = round(time * RATE_HZ) - WINDOW_SAMPLES // 2
        last = first + WINDOW_SAMPLES
        while not self._ended and self._start + len(self._samples) < last:
            self._read()
        self._forget(first)
        window = np.zeros(WINDOW_SAMPLES, np.float32)
        begin = max(first, self._start)
        end = min(last, self._start + len(self._samples))
        if end > begin:
            window[begin - first : end - first] = self._samples[begin - self._start : end - self._start]
        mel = log_mel(window)
        assert mel.shape == (MEL_BANDS, MEL_FRAMES)
        return mel

    def _read(self) -> None:
        chunk = next(self._chunks, None)
        if chunk is None:
            self._ended = True
            return
        if chunk.rate_hz != RATE_HZ:
            raise ValueError(f"sound must come at {RATE_HZ} Hz, got {chunk.rate_hz}")
        at = round(chunk.time * RATE_HZ)
        if not len(self._samples):
            self._start = at
            self._samples = chunk.samples
            return
        gap = at - (self._start + len(self._samples))
        silence = np.zeros(max(gap, 0), np.float32)
        # A chunk that starts a little early repeats what is already known.
        fresh = chunk.samples[max(-gap, 0) :]
        self._samples = np.concatenate([self._samples, silence, fresh])

    def _forget(self, before: int) -> None:
        drop = min(max(before - self._start, 0), len(self._samples))
        self._samples = self._samples[drop:]
        self._start += drop
