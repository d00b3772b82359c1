"""The sound that goes along with the pictures into a new file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Protocol

import av
import numpy as np

from visavis.media.animation import is_animation
from visavis.media.container import open_input, sound_stream
from visavis.media.samples import CHANNELS, Planes, unbroken

_CHUNK = 1024


class SoundBeside(Protocol):
    """Sound that goes into a file beside its pictures, asked for as they are written.

    Attributes:
        rate_hz: of its samples.
        layout: a key of :data:`CHANNELS`.
    """

    @property
    def rate_hz(self) -> int: ...

    @property
    def layout(self) -> str: ...

    def until(self, time: Fraction, end: Fraction | None) -> Iterator[av.AudioFrame]:
        """Yield frames of float samples up to ``time``; with ``end``, the last one is cut there."""

    def close(self) -> None:
        """Free what it holds."""


class CarriedSound:
    """A file's sound from time zero on, decoded as it is asked for.

    Args:
        path: the file.
        rates_hz: rates that may be used: the first that the sound's divides, or else the last.
    """

    def __init__(self, path: Path, rates_hz: Sequence[int]) -> None:
        self._container = open_input(path)
        stream = sound_stream(self._container)
        self.heard = stream is not None
        rate = stream.codec_context.sample_rate if stream is not None else 0
        channels = stream.codec_context.channels if stream is not None else 0
        self.rate_hz = next((known for known in rates_hz if rate and known % rate == 0), rates_hz[-1])
        self.layout = {1: "mono", 6: "5.1"}.get(channels, "stereo")
        self._pieces: Iterator[tuple[int, Planes]] = unbroken(self._container, self.layout, self.rate_hz)
        self._waiting = np.zeros((CHANNELS[self.layout], 0), np.float32)
        self._given = 0  # samples handed out so far
        self._ended = False

    @classmethod
    def open(cls, path: Path, rates_hz: Sequence[int]) -> CarriedSound | None:
        """Open a file's sound; None when it has no sound stream that can be decoded."""
        if is_animation(path):
            return None
        sound = cls(path, rates_hz)
        if sound.heard:
            return sound
        sound.close()
        return None

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def until(self, time: Fraction, end: Fraction | None) -> Iterator[av.AudioFrame]:
        """Yield frames up to ``time``; with ``end``, the last one is cut there."""
        goal = int(time * self.rate_hz)
        last = goal if end is not None else goal - goal % _CHUNK
        while self._given < last:
            self._await(_CHUNK)
            count = min(_CHUNK, last - self._given, self._waiting.shape[1])
            if not count:
                return
            yield self._frame(self._waiting[:, :count])
            self._waiting = self._waiting[:, count:]
            self._given += count

    def _await(self, count: int) -> None:
        """Decode until ``count`` samples wait, or the sound ends."""
        while not self._ended and self._waiting.shape[1] < count:
            piece = next(self._pieces, None)
            if piece is None:
                self._ended = True
                return
            first, samples = piece
            have = self._given + self._waiting.shape[1]
            if have < first:
                # The sound begins after the file does: silence up to there, a second at a time.
                self._pieces = chain(_silence(have, first, len(samples), self.rate_hz), [piece], self._pieces)
                continue
            self._waiting = np.concatenate([self._waiting, samples[:, max(have - first, 0) :]], 1)

    def _frame(self, samples: Planes) -> av.AudioFrame:
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="fltp", layout=self.layout)
        frame.sample_rate = self.rate_hz
        frame.pts, frame.time_base = self._given, Fraction(1, self.rate_hz)
        return frame


def _silence(first: int, end: int, channels: int, most: int) -> Iterator[tuple[int, Planes]]:
    for start in range(first, end, most):
        yield start, np.zeros((channels, min(most, end - start)), np.float32)
