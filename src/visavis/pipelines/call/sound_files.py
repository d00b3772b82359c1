"""A call's sound out of a file, and into one."""

from __future__ import annotations

import wave
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

import numpy as np

from visavis.codec.bitstream import SoundBundle, parse
from visavis.codec.container import CallReader
from visavis.codec.sound import RATE_HZ, Samples, SoundDecoder
from visavis.core.errors import CodecError
from visavis.media.frame import Sound


class SoundTrack:
    """Cuts a file's sound into what belongs to each frame.

    Args:
        chunks: 48 kHz mono sound, each chunk beginning where the one before ended.
    """

    RATE_HZ: ClassVar[int] = RATE_HZ

    def __init__(self, chunks: Iterable[Sound]) -> None:
        self._chunks = iter(chunks)
        self._waiting = np.zeros(0, np.float32)
        self._given = 0

    def until(self, time: Fraction) -> Samples:
        """Samples from where the last call ended up to ``time``, silence where the file has none."""
        end = round(time * RATE_HZ)
        count = end - self._given
        while len(self._waiting) < count and (chunk := next(self._chunks, None)) is not None:
            gap = round(chunk.time * RATE_HZ) - self._given - len(self._waiting)
            silence = np.zeros(max(gap, 0), np.float32)
            self._waiting = np.concatenate([self._waiting, silence, chunk.samples[max(-gap, 0) :]])
        samples = self._waiting[:count]
        self._waiting = self._waiting[count:]
        self._given = end
        return np.pad(samples, (0, count - len(samples)))


@contextmanager
def write_sound(call: Path) -> Iterator[Path]:
    """A wave file of a call's sound, as long as the ``with`` block lasts."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "sound.wav"
        decoder = SoundDecoder()
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE_HZ)
            for samples in _sound(decoder, call):
                file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
        yield path


def _sound(decoder: SoundDecoder, call: Path) -> Iterator[Samples]:
    for data in CallReader(call):
        try:
            packet = parse(data)
        except CodecError:
            continue
        if isinstance(packet, SoundBundle):
            yield from decoder.push(packet)
    yield from decoder.finish()
