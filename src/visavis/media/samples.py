"""A file's sound as one unbroken run of samples on the file's own clock."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import av
import av.error
import numpy as np
from av.container import InputContainer
from numpy.typing import NDArray

from visavis.media.container import sound_stream, start_of
from visavis.media.timeline import joined

#: ``float32 [channels, N]``.
Planes = NDArray[np.float32]

CHANNELS = {"mono": 1, "stereo": 2, "5.1": 6}
#: A stamp this far from where the samples end is a real gap or overlap; less is rounding of stamps.
_TOLERANCE = Fraction(1, 50)
#: A stamp further ahead than this is damage, not silence.
_LONGEST_SILENCE = Fraction(6 * 3600)


def unbroken(container: InputContainer, layout: str, rate_hz: int) -> Iterator[tuple[int, Planes]]:
    """Decode, resample, fill gaps with silence and drop overlaps.

    Memory does not grow: silence comes in pieces of at most a second. Packets that cannot be decoded become silence
    by the stamp of the next one that can.

    Args:
        container: an open file with a sound stream.
        layout: a key of :data:`CHANNELS`.
        rate_hz: rate of the result.

    Yields:
        The number of the piece's first sample, counted from the file's start (negative before it), and the piece.
        Each piece begins where the one before ended.
    """
    channels = CHANNELS[layout]
    origin = start_of(container)
    shape: tuple[object, ...] = ()
    resampler: av.AudioResampler | None = None
    expected: Fraction | None = None  # seconds at which the sound decoded so far ends
    reached = skip = 0
    for frame in _frames(container):
        time = _time(frame, origin, expected)
        known = (frame.format.name, frame.layout.name, frame.sample_rate)
        jump = Fraction(0) if expected is None else time - expected
        if resampler is None or known != shape or jump:
            for samples in _planes(resampler, None):
                samples, skip = samples[:, skip:], max(skip - samples.shape[1], 0)
                yield reached, samples
                reached += samples.shape[1]
            resampler, shape = av.AudioResampler("fltp", layout, rate_hz), known
            start = round(time * rate_hz)
            reached = start if expected is None else reached
            while reached < start:
                silence = np.zeros((channels, min(rate_hz, start - reached)), np.float32)
                yield reached, silence
                reached += silence.shape[1]
            skip = reached - start
        expected = time + Fraction(frame.samples, frame.sample_rate)
        for samples in _planes(resampler, frame):
            samples, skip = samples[:, skip:], max(skip - samples.shape[1], 0)
            if samples.shape[1]:
                yield reached, samples
            reached += samples.shape[1]
    for samples in _planes(resampler, None):
        samples, skip = samples[:, skip:], max(skip - samples.shape[1], 0)
        yield reached, samples
        reached += samples.shape[1]


class Resampler:
    """Changes the rate of mono samples as they come; the first sample out is the first one in.

    Args:
        from_hz, to_hz: rates.
    """

    def __init__(self, from_hz: int, to_hz: int) -> None:
        self._from_hz = from_hz
        self._resampler = av.AudioResampler("fltp", "mono", to_hz)
        self._given = 0

    def push(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take ``float32 [N]``; return what can be told of the result by now (a fraction of a millisecond less)."""
        if not len(samples):
            return np.zeros(0, np.float32)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[None], np.float32), "fltp", "mono")
        frame.sample_rate, frame.pts, frame.time_base = self._from_hz, self._given, Fraction(1, self._from_hz)
        self._given += len(samples)
        return np.concatenate([np.zeros(0, np.float32), *(plane[0] for plane in _planes(self._resampler, frame))])


def _planes(resampler: av.AudioResampler | None, frame: av.AudioFrame | None) -> Iterator[Planes]:
    for piece in [] if resampler is None else resampler.resample(frame):
        yield np.asarray(piece.to_ndarray(), np.float32)


def _time(frame: av.AudioFrame, origin: Fraction, expected: Fraction | None) -> Fraction:
    """Seconds at which a frame starts: as stamped, or where the last one ended if the stamp says nothing new."""
    follows = Fraction(0) if expected is None else expected
    if frame.pts is None or frame.time_base is None:
        return follows
    stamped = Fraction(frame.pts * frame.time_base) - origin
    if stamped - follows > _LONGEST_SILENCE:
        return follows
    return follows if expected is not None and abs(stamped - follows) < _TOLERANCE else stamped


def _frames(container: InputContainer) -> Iterator[av.AudioFrame]:
    stream = sound_stream(container)
    packets = iter(()) if stream is None else joined(container, stream)
    while True:
        try:
            packet = next(packets, None)
            if packet is None:
                return
            for frame in packet.decode():
                if isinstance(frame, av.AudioFrame) and frame.samples:
                    yield frame
        except av.error.EOFError:
            return
        except (av.error.FFmpegError, ValueError):
            continue  # the next packet may be whole; a broken container ends the packets
