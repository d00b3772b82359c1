"""Sound of a call: Opus through PyAV, in packets of 60 ms.

Opus looks 312 samples (6.5 ms) ahead; the decoder drops as many at the start, so that sound keeps the pictures' time.
A packet that is missing leaves a hole of its own length.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import av
import av.error
import numpy as np
from numpy.typing import NDArray

from visavis.codec.bitstream import SoundBundle
from visavis.core.errors import CodecError, ConfigError

Samples = NDArray[np.float32]

RATE_HZ = 48_000
FRAMES_20MS = 3
PACKET_SAMPLES = FRAMES_20MS * RATE_HZ // 50
LOOK_AHEAD = 312
LEAST_KBPS, MOST_KBPS = 6, 24
#: Opus packets that travel together.
BUNDLE = 2
_MOST_HELD = 3


class SoundEncoder:
    """Turns samples into bundles of Opus packets.

    Args:
        kbps: 6 to 24.
    """

    def __init__(self, kbps: int = 12) -> None:
        if not LEAST_KBPS <= kbps <= MOST_KBPS:
            raise ConfigError(f"sound of {kbps} kbit/s; choose {LEAST_KBPS} to {MOST_KBPS}")
        coder = av.CodecContext.create("libopus", "w")
        assert isinstance(coder, av.AudioCodecContext)
        coder.sample_rate, coder.format, coder.bit_rate = RATE_HZ, "flt", 1000 * kbps  # type: ignore[assignment]
        coder.layout = "mono"  # type: ignore[assignment]
        coder.options = {"application": "voip", "frame_duration": str(20 * FRAMES_20MS), "vbr": "constrained"}
        self._coder = coder
        self._waiting = np.zeros(0, np.float32)
        self._given = 0  # samples handed to the coder
        self._packets: list[bytes] = []
        self._sent = 0  # packets sent

    def push(self, samples: Samples) -> list[bytes]:
        """Take 48 kHz mono samples that follow the last ones; return the bundles that are complete."""
        self._waiting = np.concatenate([self._waiting, samples])
        while len(self._waiting) >= PACKET_SAMPLES:
            self._code(self._waiting[:PACKET_SAMPLES])
            self._waiting = self._waiting[PACKET_SAMPLES:]
        return list(self._bundles(BUNDLE))

    def finish(self) -> list[bytes]:
        """Return what is left, filled up with silence."""
        if len(self._waiting):
            self._code(np.pad(self._waiting, (0, PACKET_SAMPLES - len(self._waiting))))
            self._waiting = self._waiting[:0]
        self._packets += [bytes(packet) for packet in self._coder.encode(None)]
        return [*self._bundles(BUNDLE), *self._bundles(1)]

    def _code(self, samples: Samples) -> None:
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[None]), format="flt", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE_HZ, self._given, Fraction(1, RATE_HZ)
        self._given += len(samples)
        self._packets += [bytes(packet) for packet in self._coder.encode(frame)]

    def _bundles(self, least: int) -> Iterator[bytes]:
        while len(self._packets) >= least and self._packets:
            bundle, self._packets = self._packets[:BUNDLE], self._packets[BUNDLE:]
            yield SoundBundle(self._sent, FRAMES_20MS, tuple(bundle)).to_bytes()
            self._sent += len(bundle)


@dataclass(frozen=True)
class Piece:
    """A run of sound.

    Attributes:
        first: number of its first sample from the call's start. Where that is not the end of the piece before,
            something is missing between.
        samples: ``float32 [N]``, 48 kHz mono in [-1, 1].
    """

    first: int
    samples: Samples

    @property
    def end(self) -> int:
        """Number of the sample after the last one."""
        return self.first + len(self.samples)


class SoundDecoder:
    """Turns bundles back into pieces of sound, in order.

    What is missing is left out, and whoever takes the pieces decides how much silence to put there: so that what a
    few bytes claim costs nothing. All bundles must be of the duration of the first one.
    """

    def __init__(self) -> None:
        self._coder = _opus_reader()
        self._held: dict[int, SoundBundle] = {}
        self._next = 0  # number of the packet that comes next
        self._frames_20ms: int | None = None
        self.missing = 0

    @property
    def position_s(self) -> float:
        """Seconds from the call's start to the packet that comes next."""
        return self._next * (self._frames_20ms or FRAMES_20MS) / 50

    def push(self, bundle: SoundBundle) -> Iterator[Piece]:
        """Take a bundle; give the pieces that follow the last ones, one a packet.

        A bundle that is ahead waits for those before it until three wait; the nearest of them is then the next.

        Raises:
            CodecError: it is not of the duration of those before it.
        """
        if self._frames_20ms not in (None, bundle.frames_20ms):
            raise CodecError(f"damaged sound: packets of {20 * bundle.frames_20ms} ms among others")
        self._frames_20ms = bundle.frames_20ms
        if bundle.first + len(bundle.packets) <= self._next:
            return
        self._held[bundle.first] = bundle
        while self._held and (min(self._held) <= self._next or len(self._held) >= _MOST_HELD):
            yield from self._play(self._held.pop(min(self._held)))

    def finish(self) -> Iterator[Piece]:
        """Give the pieces of the bundles that still wait for one before them."""
        for first in sorted(self._held):
            yield from self._play(self._held.pop(first))

    def _play(self, bundle: SoundBundle) -> Iterator[Piece]:
        length = bundle.frames_20ms * RATE_HZ // 50
        self.missing += max(bundle.first - self._next, 0)
        for number in range(max(self._next, bundle.first), bundle.first + len(bundle.packets)):
            self._next = number + 1
            samples = self._decode(bundle.packets[number - bundle.first], length)
            first = number * length - LOOK_AHEAD
            if samples is None:
                self.missing += 1
            else:
                yield Piece(max(first, 0), samples[max(-first, 0) :])

    def _decode(self, packet: bytes, length: int) -> Samples | None:
        """Exactly ``length`` samples of one Opus packet; None if it is empty or damaged."""
        if not packet:
            return None
        try:
            frames = self._coder.decode(av.Packet(packet))
        except (av.error.FFmpegError, ValueError):
            self._coder = _opus_reader()
            return None
        out = np.zeros(length, np.float32)
        if frames:
            samples = np.concatenate([frame.to_ndarray()[0] for frame in frames])
            if samples.dtype == np.int16:
                samples = samples.astype(np.float32) / 32768
            count = min(length, len(samples))
            out[:count] = np.nan_to_num(samples[:count])
        return np.clip(out, -1, 1)


def _opus_reader() -> av.AudioCodecContext:
    try:
        coder = av.CodecContext.create("libopus", "r")
    except av.error.FFmpegError as error:
        raise CodecError("this PyAV cannot decode Opus; install its usual wheel") from error
    assert isinstance(coder, av.AudioCodecContext)
    coder.sample_rate = RATE_HZ
    coder.layout = "mono"  # type: ignore[assignment]
    return coder
