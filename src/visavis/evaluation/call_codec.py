"""Our own call as one of the codecs that are compared, and what its parts bring (thesis, tables 3.2 to 3.4)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from pathlib import Path

from visavis.codec.bitstream import Kind
from visavis.codec.sound import RATE_HZ
from visavis.evaluation.coded import Coded
from visavis.face.align import whole
from visavis.generators.base import Generator
from visavis.media.clock import at_constant_rate
from visavis.media.frame import Pixels
from visavis.media.reader import SoundReader, VideoReader
from visavis.nn.engine import Engine
from visavis.pipelines.call.between import chosen as between_chosen
from visavis.pipelines.call.decoder import CallDecoder, filled
from visavis.pipelines.call.encoder import CallEncoder
from visavis.pipelines.call.enlarge import PATCH, EnlargeChoice
from visavis.pipelines.call.enlarge import chosen as enlarge_chosen
from visavis.pipelines.call.opening import FILE_LOOK_S
from visavis.pipelines.call.settings import MOST_INTERPOLATED, CallSettings
from visavis.pipelines.call.sound_files import SoundTrack
from visavis.pipelines.call.weights import WeightsId
from visavis.pipelines.load import load_generator
from visavis.weights.store import DEFAULT_MODEL


@dataclass(frozen=True)
class CallPoint:
    """One operating point.

    Attributes:
        settings: of the sender.
        enlarge: who makes pictures that are larger than the generator's.
        patch: side of the patches in which a network does.
    """

    settings: CallSettings = field(default_factory=CallSettings)
    enlarge: EnlargeChoice = "network"
    patch: int = PATCH


@dataclass(frozen=True)
class CallCodec:
    """Motion and pivots instead of pictures.

    The whole picture is taken as the crop; pictures of another size than the generator's are enlarged. The receiver
    hears the clip's sound, whose bytes do not count, as they do not for the other codecs.

    Attributes:
        name: as ``visavis rate --codec`` knows it.
        named: its operating points, by their names for people.
        model: name or path of weights.
    """

    name: str
    named: Mapping[str, CallPoint]
    model: str = DEFAULT_MODEL

    @property
    def points(self) -> tuple[str, ...]:
        """Names of its operating points, for people."""
        return tuple(self.named)

    def missing(self) -> str | None:
        """Why it cannot be run here: it always can."""
        return None

    def run(self, clip: Path, point: str, every: int = 1) -> Coded:
        """Code and decode one clip at one operating point; pictures that nobody looks at are not painted."""
        with VideoReader(clip) as reader:
            side, fps = reader.info.height, reader.info.fps.limit_denominator(1001)
        chosen = self.named[point]
        packets = list(self._encode(clip, side, fps, chosen.settings))
        sizes = [len(packet) for packet in packets if packet[0] >> 5 != Kind.SOUND]
        return Coded(sizes, self._decode(packets, side, fps, chosen, every))

    def _encode(self, clip: Path, side: int, fps: Fraction, settings: CallSettings) -> Iterator[bytes]:
        generator, weights = _loaded(self.model)
        with VideoReader(clip) as reader, SoundReader(clip, RATE_HZ) as sound:
            track = SoundTrack(sound) if sound.has_sound else None
            crop = whole(side, reader.info.width)
            with CallEncoder(
                generator,
                weights,
                fps=fps,
                settings=settings,
                crop=crop,
                has_sound=track is not None,
                look_s=FILE_LOOK_S,
            ) as encoder:
                for number, frame in enumerate(at_constant_rate(iter(reader), fps), 1):
                    yield from encoder.push(frame, None if track is None else track.until(number / fps))
                yield from encoder.finish()

    def _decode(self, packets: list[bytes], side: int, fps: Fraction, point: CallPoint, every: int) -> Iterator[Pixels]:
        generator, weights = _loaded(self.model)
        enlarge = enlarge_chosen(point.enlarge, generator.size, side, point.patch)
        between = between_chosen("network", point.settings.interpolate, generator.kind)
        with CallDecoder(generator, weights, between=between, every=every) as decoder:
            last: Pixels | None = None
            for frame in filled(decoder.play(packets), decoder, fps):
                if frame.pixels is not last:  # repeats are not enlarged again
                    last, large = frame.pixels, enlarge(frame.pixels, side)
                yield large


@cache
def _loaded(model: str) -> tuple[Generator, WeightsId]:
    return load_generator(model, Engine(precision="fp32", name="torch")), WeightsId.of(model)


def _pivots(angles: tuple[float, float, float] | None, drop_db: float) -> CallPoint:
    """A rule for new pivots alone: at 50 kbit/s the budget never keeps one back."""
    return CallPoint(CallSettings(kbps=50, angles=angles or (360, 360, 360), quality_drop_db=drop_db))


_KBPS = (1.5, 2.5, 5.0, 10.0)
_PATCHES = (32, 64, 128, 256)
CALLS = {
    codec.name: codec
    for codec in (
        CallCodec(
            "visavis",
            {
                "adaptive": CallPoint(),
                **{f"adaptive {kbps:g} kbps": CallPoint(CallSettings(kbps=kbps)) for kbps in _KBPS},
            },
        ),
        CallCodec("paper80", {"80 bytes a frame": CallPoint(CallSettings(mode="paper80"))}),
        CallCodec(
            "visavis-between",
            {f"{n} frames between": CallPoint(CallSettings(interpolate=n)) for n in range(MOST_INTERPOLATED + 1)},
        ),
        CallCodec(
            "visavis-patches",
            {
                "bicubic": CallPoint(enlarge="bicubic"),
                **{f"patches of {side}": CallPoint(patch=side) for side in _PATCHES},
            },
        ),
        CallCodec(
            "visavis-pivots",
            {
                "the first alone": _pivots(None, math.inf),
                "beyond 24, 20, 20 degrees": _pivots((24, 20, 20), math.inf),
                "beyond 12, 10, 10 degrees": _pivots((12, 10, 10), math.inf),
                "beyond 6, 5, 5 degrees": _pivots((6, 5, 5), math.inf),
                "after a fall of 5 dB": _pivots(None, 5),
                "after a fall of 1 dB": _pivots(None, 1),
                "beyond 12, 10, 10 degrees or after 1 dB": _pivots((12, 10, 10), 1),
            },
        ),
    )
}
