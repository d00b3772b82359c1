"""A video of a talking head to a call in a file, .vsv."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path

from visavis.codec.census import Census
from visavis.codec.container import CallWriter
from visavis.core.errors import MediaError, OutputError
from visavis.face.align import Crop, crop_for
from visavis.media.clock import at_constant_rate
from visavis.media.reader import SoundReader
from visavis.media.still import is_picture
from visavis.media.twice import TwiceReader
from visavis.media.writer import VIDEO_KINDS, check_output
from visavis.nn.engine import Engine
from visavis.nn.graph import Step
from visavis.pipelines.analyse import Analyser
from visavis.pipelines.call.encoder import CallEncoder
from visavis.pipelines.call.looker import Sighting
from visavis.pipelines.call.opening import FILE_LOOK_S
from visavis.pipelines.call.settings import CallSettings
from visavis.pipelines.call.sound_files import SoundTrack
from visavis.pipelines.call.weights import WeightsId
from visavis.pipelines.files import Progress
from visavis.pipelines.load import load_generator
from visavis.pipelines.seen import seen_ahead
from visavis.pipelines.stages import Stages
from visavis.weights.store import DEFAULT_MODEL

_LEAST_FPS, _MOST_FPS = Fraction(1), Fraction(120)
#: A rate that is exceeded by no more than this is kept.
_OVER = 1.1


@dataclass(frozen=True)
class EncodeOptions:
    """How to encode a file.

    Attributes:
        model: name or path of weights.
        settings: of the call.
        audio: whether sound goes along, where the video has any.
        face: which face, 0 for the largest.
        engine: where and how to compute.
        force: replace an existing result.
    """

    model: str = DEFAULT_MODEL
    settings: CallSettings = field(default_factory=CallSettings)
    audio: bool = True
    face: int = 0
    engine: Engine = field(default_factory=Engine)
    force: bool = False


@dataclass(frozen=True)
class EncodeReport:
    """What was encoded, and what it costs.

    Attributes:
        frames, fps, seconds: of the call.
        pivots: pictures that were sent.
        interpolated: frames that the receiver makes up.
        bytes: payloads of ``pivots`` and ``motion``, sound packets (``audio``), ``header`` for all else, and ``total``.
        video_kbps, audio_kbps: of all but sound, and of sound.
        bpp: bits of ``video_kbps`` a pixel.
        frames_without_face: they hold the last motion.
        note: one line on what could not be kept to, or None.
        latency_ms: that a frame waits for its group.
        ms_per_frame: mean milliseconds in ``analyse``, ``motion``, ``code`` and ``total``.
    """

    frames: int
    fps: float
    seconds: float
    pivots: int
    interpolated: int
    bytes: dict[str, int]
    video_kbps: float | None
    audio_kbps: float | None
    bpp: float | None
    frames_without_face: int
    note: str | None
    latency_ms: float
    ms_per_frame: dict[str, float]

    def as_json(self) -> dict[str, object]:
        """Plain values."""
        return asdict(self)


def encode_file(video: Path, output: Path, options: EncodeOptions, progress: Progress | None = None) -> EncodeReport:
    """Encode a video of a talking head as a call.

    Frames come at the video's average rate, of 1 to 120 a second; a variable rate is made constant.

    Raises:
        VisavisError: bad input, no face, weights or output that cannot be used; nothing is left at ``output``.
    """
    check_output(output, [video], force=options.force)
    if output.suffix.lower() in VIDEO_KINDS:
        raise OutputError(f"{output}: is the name of a video, and a call is none; let it end in .vsv")
    if is_picture(video):
        raise MediaError(f"{video}: is a still picture; a call is made from a video")
    with ExitStack() as stack:
        reader = stack.enter_context(TwiceReader(video))
        sound = stack.enter_context(SoundReader(video, SoundTrack.RATE_HZ))
        track = SoundTrack(sound) if options.audio and sound.has_sound else None
        fps = min(max(reader.info.fps, _LEAST_FPS), _MOST_FPS).limit_denominator(1001)
        generator = load_generator(options.model, options.engine)
        generator.expect({Step.ANALYSE})
        encoder = stack.enter_context(
            CallEncoder(
                generator,
                WeightsId.of(options.model),
                fps=fps,
                settings=options.settings,
                crop=_crop_of(reader, options.face),
                face=options.face,
                has_sound=track is not None,
                look_s=FILE_LOOK_S,
                sound_waits=True,
                lean=True,
            )
        )
        writer = stack.enter_context(CallWriter(output, replace=options.force))
        census = Census()
        began = time.perf_counter()
        expected = reader.info.frames or None
        stages = stack.enter_context(Stages())
        frames = stages.ahead(at_constant_rate(iter(reader), fps), "read")
        for packet in _packets(encoder, stages.ahead(map(encoder.see, frames), "analyse"), track, progress, expected):
            writer.write(packet)
            census.count(packet)
        total_ms = 1000 * (time.perf_counter() - began)
    tally = encoder.tally
    spent = {**tally.ms, "total": total_ms}
    rates = census.rates()
    return EncodeReport(
        frames=tally.frames,
        fps=round(float(fps), 6),
        seconds=round(float(tally.frames / fps), 6),
        pivots=encoder.pivots,
        interpolated=tally.frames - -(-tally.frames // (options.settings.interpolate + 1)),
        bytes=census.bytes,
        video_kbps=rates["video_kbps"],
        audio_kbps=rates["audio_kbps"],
        bpp=rates["bpp"],
        frames_without_face=tally.frames_without_face,
        note=_over(options.settings, census),
        latency_ms=round(encoder.latency_ms, 1),
        ms_per_frame={name: round(ms / tally.frames, 2) for name, ms in spent.items()},
    )


def _packets(
    encoder: CallEncoder,
    sightings: Iterable[Sighting],
    track: SoundTrack | None,
    progress: Progress | None,
    expected: int | None,
) -> Iterator[bytes]:
    for number, sighting in enumerate(sightings, 1):
        samples = None if track is None else track.until(number / encoder.header.fps)
        yield from encoder.push_seen(sighting, samples)
        if progress is not None:
            progress(number, expected)
    yield from encoder.finish()


def _crop_of(reader: TwiceReader, which: int) -> Crop:
    """The crop that suits the first ten seconds in which a face is seen."""
    with Analyser((), face=which) as analyser:
        faces = [seen.face for seen in seen_ahead(reader, analyser, which=which)]
        return crop_for(faces, reader.info.height, reader.info.width)


def _over(settings: CallSettings, census: Census) -> str | None:
    """A line for a call that costs clearly more than was asked for."""
    spent = census.rates()["video_kbps"]
    if settings.kbps is None or spent is None or census.header is None or spent <= _OVER * settings.kbps:
        return None
    seconds = census.frames / census.header.fps
    first = 8 * census.bytes["pivots"] / max(census.pivots, 1) / 1000
    return (
        f"pictures take {spent:.2f} kbit/s where {settings.kbps:g} were asked for: the first picture alone has "
        f"{first:.0f} kbit, too much for {float(seconds):.1f} s"
    )
