"""A call's sound out of a file, and into one."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import ClassVar

import av
import numpy as np

from visavis.codec.bitstream import SoundBundle, parse
from visavis.codec.container import CallReader
from visavis.codec.sound import RATE_HZ, Piece, Samples, SoundDecoder
from visavis.core.errors import CodecError
from visavis.media.frame import Sound

_CHUNK = 1024  # samples of a block of AAC
_LONGEST_HOLE_S = 10


class SoundTrack:
    """Cuts a file's sound into what belongs to each frame.

    Args:
        chunks: 48 kHz mono sound, each chunk beginning where the one before ended.
    """

    RATE_HZ: ClassVar[int] = RATE_HZ

    def __init__(self, chunks: Iterable[Sound]) -> None:
        self._chunks = iter(chunks)
        self._chunk: Sound | None = None  # that is not given in full
        self._given = 0

    def until(self, time: Fraction) -> Samples:
        """Samples from where the last call ended up to ``time``, silence where the file has none."""
        begin, self._given = self._given, round(time * RATE_HZ)
        out = np.zeros(self._given - begin, np.float32)
        while (chunk := self._chunk or next(self._chunks, None)) is not None:
            first = round(chunk.time * RATE_HZ)
            end = first + len(chunk.samples)
            here, there = max(first, begin), min(end, self._given)
            if there > here:
                out[here - begin : there - begin] = chunk.samples[here - first : there - first]
            self._chunk = chunk if end > self._given else None
            if self._chunk is not None:
                break
        return out


class CallSound:
    """A call's sound for a file, decoded as it is asked for, so that it is never ahead of the pictures.

    Nothing is held but one piece, and no more silence is made than there are pictures to go with it: a hole of more
    than ten seconds stays one, and what follows it keeps its time.

    Args:
        call: a .vsv.
    """

    rate_hz: ClassVar[int] = RATE_HZ
    layout: ClassVar[str] = "mono"

    def __init__(self, call: Path) -> None:
        self._pieces = _pieces(call)
        self._piece: Piece | None = None
        self._given = 0  # samples from the call's start

    def close(self) -> None:
        """Close the file."""
        self._pieces.close()

    def until(self, time: Fraction, end: Fraction | None) -> Iterator[av.AudioFrame]:
        """Yield frames up to ``time``, each as soon as it is whole; with ``end``, the last one is cut there."""
        goal = int(time * RATE_HZ)
        last = goal if end is not None else goal - _CHUNK
        while self._given < last and (piece := self._next()) is not None:
            hole = piece.first - self._given
            if hole > _LONGEST_HOLE_S * RATE_HZ:
                if piece.first >= goal:
                    return
                self._given, hole = piece.first, 0
            count = min(_CHUNK, goal - self._given)
            silence = np.zeros(max(min(count, hole), 0), np.float32)
            yield self._frame(silence if hole > 0 else piece.samples[-hole:][:count])

    def _next(self) -> Piece | None:
        """The piece that is not given in full."""
        while self._piece is None or self._piece.end <= self._given:
            self._piece = next(self._pieces, None)
            if self._piece is None:
                return None
        return self._piece

    def _frame(self, samples: Samples) -> av.AudioFrame:
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[None]), format="fltp", layout=self.layout)
        frame.sample_rate, frame.pts, frame.time_base = RATE_HZ, self._given, Fraction(1, RATE_HZ)
        self._given += len(samples)
        return frame


def _pieces(call: Path) -> Generator[Piece, None, None]:
    decoder = SoundDecoder()
    for data in CallReader(call):
        with suppress(CodecError):
            packet = parse(data)
            if isinstance(packet, SoundBundle):
                yield from decoder.push(packet)
    yield from decoder.finish()
