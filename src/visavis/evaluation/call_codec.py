"""Our own call as one of the codecs that are compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
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
from visavis.pipelines.call.decoder import CallDecoder, filled
from visavis.pipelines.call.encoder import CallEncoder
from visavis.pipelines.call.enlarge import by_bicubic
from visavis.pipelines.call.settings import CallSettings
from visavis.pipelines.call.sound_files import SoundTrack
from visavis.pipelines.call.weights import WeightsId
from visavis.pipelines.load import load_generator
from visavis.weights.store import DEFAULT_MODEL


@dataclass(frozen=True)
class CallCodec:
    """Motion and pivots instead of pictures.

    The whole picture is taken as the crop; pictures of another size than the generator's are enlarged. The receiver
    hears the clip's sound, whose bytes do not count, as they do not for the other codecs.

    Attributes:
        name: as ``visavis rate --codec`` knows it.
        settings: by name of the operating point.
        model: name or path of weights.
    """

    name: str
    settings: Mapping[str, CallSettings]
    model: str = DEFAULT_MODEL

    @property
    def points(self) -> tuple[str, ...]:
        """Names of its operating points, for people."""
        return tuple(self.settings)

    def missing(self) -> str | None:
        """Why it cannot be run here: it always can."""
        return None

    def run(self, clip: Path, point: str) -> Coded:
        """Code and decode one clip at one operating point."""
        with VideoReader(clip) as reader:
            side, fps = reader.info.height, reader.info.fps.limit_denominator(1001)
        packets = list(self._encode(clip, side, fps, self.settings[point]))
        sizes = [len(packet) for packet in packets if packet[0] >> 5 != Kind.SOUND]
        return Coded(sizes, self._decode(packets, side, fps))

    def _encode(self, clip: Path, side: int, fps: Fraction, settings: CallSettings) -> Iterator[bytes]:
        generator, weights = _loaded(self.model)
        with VideoReader(clip) as reader, SoundReader(clip, RATE_HZ) as sound:
            track = SoundTrack(sound) if sound.has_sound else None
            crop = whole(side, reader.info.width)
            with CallEncoder(
                generator, weights, fps=fps, settings=settings, crop=crop, has_sound=track is not None
            ) as encoder:
                for number, frame in enumerate(at_constant_rate(iter(reader), fps), 1):
                    yield from encoder.push(frame, None if track is None else track.until(number / fps))
                yield from encoder.finish()

    def _decode(self, packets: list[bytes], side: int, fps: Fraction) -> Iterator[Pixels]:
        generator, weights = _loaded(self.model)
        with CallDecoder(generator, weights) as decoder:
            for frame in filled(decoder.play(packets), decoder, fps):
                yield by_bicubic(frame.pixels, side)


@cache
def _loaded(model: str) -> tuple[Generator, WeightsId]:
    return load_generator(model), WeightsId.of(model)


_KBPS = (1.5, 2.5, 5.0, 10.0)
CALLS: dict[str, CallCodec] = {
    "visavis": CallCodec(
        "visavis",
        {
            "adaptive": CallSettings(),
            **{f"adaptive {kbps:g} kbps": CallSettings(kbps=kbps) for kbps in _KBPS},
            "adaptive, every other frame": CallSettings(interpolate=1),
        },
    ),
    "paper80": CallCodec("paper80", {"80 bytes a frame": CallSettings(mode="paper80")}),
}
