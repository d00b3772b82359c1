"""A call in a file, .vsv, to a video."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from visavis.codec.bitstream import Header, Kind
from visavis.codec.container import CallReader
from visavis.core.allocator import trim_memory
from visavis.core.errors import CodecError
from visavis.media.frame import Frame
from visavis.media.provenance import marks
from visavis.media.writer import VIDEO_KINDS, VideoWriter, check_output
from visavis.nn.engine import Engine
from visavis.nn.graph import Step
from visavis.pipelines.call.between import BetweenChoice, maker
from visavis.pipelines.call.between import chosen as between_chosen
from visavis.pipelines.call.decoder import CallDecoder, filled
from visavis.pipelines.call.enlarge import EnlargeChoice
from visavis.pipelines.call.enlarge import chosen as enlarge_chosen
from visavis.pipelines.call.sound_files import CallSound
from visavis.pipelines.call.weights import WeightsId, weights_for
from visavis.pipelines.files import Progress
from visavis.pipelines.load import load_generator
from visavis.pipelines.stages import Stages


@dataclass(frozen=True)
class DecodeReport:
    """What was decoded.

    Attributes:
        frames, fps, seconds, width, height: of the video.
        concealed: frames made up in place of lost ones.
        damaged: packets that could not be used.
        between: who made the frames that were not sent: ``network`` or ``motion``; None if all were.
        ms_per_frame: mean milliseconds in ``decode``, ``prepare``, ``render`` and ``total`` (writing included).
    """

    frames: int
    fps: float
    seconds: float
    width: int
    height: int
    concealed: int
    damaged: int
    between: BetweenChoice | None
    ms_per_frame: dict[str, float]

    def as_json(self) -> dict[str, object]:
        """Plain values."""
        return asdict(self)


def decode_file(
    call: Path,
    output: Path,
    *,
    model: str | None = None,
    size: int | None = None,
    engine: Engine | None = None,
    force: bool = False,
    between: BetweenChoice = "network",
    enlarge: EnlargeChoice = "network",
    progress: Progress | None = None,
) -> DecodeReport:
    """Decode a call into a video with its sound.

    Args:
        call: a .vsv.
        output: video to write, of one of the kinds that :data:`visavis.media.forms.FORMS` lists.
        model: weights, where the header's name does not find them here.
        size: side of the pictures; None for the generator's own.
        engine: where and how to compute; None chooses for this machine.
        force: replace an existing result.
        between: whether the packaged network makes the frames that were not sent, or the generator; it does, too,
            where motion has no keypoints.
        enlarge: whether the packaged network doubles pictures, or plain interpolation.
        progress: called with frames done and the expected total, or None when unknown.

    Raises:
        VisavisError: the call or the output cannot be used; nothing is left at ``output``.
    """
    check_output(output, [call], force=force, kinds=VIDEO_KINDS)
    header = read_header(call)
    named = weights_for(header, model)
    weights = WeightsId.of(named)
    weights.check(header)
    generator = load_generator(named, (engine or Engine()).for_throughput())
    generator.expect(frozenset(Step))
    side = size or header.size
    frames_between = between_chosen(between, header.interpolated, generator.kind, generator.engine)
    enlarged = enlarge_chosen(enlarge, header.size, side, engine=generator.engine)
    with ExitStack() as stack:
        sound = CallSound(call) if header.has_sound else None
        stages = Stages(generator.engine.streams)
        decoder = stack.enter_context(
            CallDecoder(generator, weights, between=frames_between, begin=stages.begin, whole=True)
        )
        began = time.perf_counter()
        writer = stack.enter_context(
            VideoWriter(
                output, size=(side, side), fps=header.fps, sound=sound, metadata=marks(header.model), replace=force
            )
        )
        written = 0
        begun = stack.enter_context(stages).ahead(decoder.begun(CallReader(call)), "render")
        frames: Iterator[Frame] = (played.frame() for played in begun)
        if side != header.size:
            frames = stages.ahead((Frame(enlarged(one.pixels, side), one.time) for one in frames), "enlarge")
        for written, frame in enumerate(filled(frames, decoder, header.fps), 1):
            writer.write(frame)
            if written == 1:
                trim_memory()
            if progress is not None:
                progress(written, decoder.total)
        if not written:
            raise CodecError(f"{call}: there is no picture in it")
        writer.close()
        total_ms = 1000 * (time.perf_counter() - began)
    spent = {**decoder.tally.spent.ms, "total": total_ms}
    return DecodeReport(
        frames=written,
        fps=round(float(header.fps), 6),
        seconds=round(float(writer.seconds), 6),
        width=writer.width,
        height=writer.height,
        concealed=decoder.tally.concealed + written - decoder.tally.frames,
        damaged=decoder.tally.damaged,
        between=maker(between, header.interpolated, generator.kind),
        ms_per_frame={name: round(ms / written, 2) for name, ms in spent.items()},
    )


def read_header(call: Path) -> Header:
    """The header of a file.

    Raises:
        CodecError: it is no call, or of another version, or its header is damaged.
    """
    first = next(iter(CallReader(call)), b"")
    if not first or first[0] >> 5 != Kind.HEADER:
        raise CodecError(f"{call}: does not begin with a call's header")
    try:
        return Header.parse(first)
    except CodecError as error:
        raise CodecError(f"{call}: {error}") from error
