"""Reenactment of files: a portrait and a driving video in, a video with sound out."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

from typing_extensions import Self

from visavis.audio.window import SoundWindow
from visavis.core.allocator import trim_memory
from visavis.core.errors import MediaError
from visavis.face.align import Pasting
from visavis.face.types import Observation
from visavis.generators.base import Generator
from visavis.media.frame import Frame, Pixels
from visavis.media.provenance import marks
from visavis.media.reader import MediaInfo, SoundReader
from visavis.media.twice import TwiceReader
from visavis.media.writer import VIDEO_KINDS, VideoWriter, check_output
from visavis.motion.amounts import UNCHANGED, UNEDITED, Amounts, Edits
from visavis.motion.kind import Mode
from visavis.nn.engine import Engine
from visavis.nn.graph import Step
from visavis.pipelines.analyse import Analyser
from visavis.pipelines.load import load_generator
from visavis.pipelines.look_ahead import find_source, look_ahead, observe_sources
from visavis.pipelines.reenact import STAGES, Reenactor
from visavis.pipelines.render import Portrait, SoundAt
from visavis.pipelines.said import Said
from visavis.pipelines.seen import check_moving
from visavis.pipelines.speaks import Speaks, check_speaks, load_speaker
from visavis.pipelines.stages import Stages
from visavis.weights.store import DEFAULT_MODEL

Progress = Callable[[int, int | None], None]


@dataclass(frozen=True)
class ReenactOptions:
    """How to reenact.

    Attributes:
        model: name or path of weights.
        audio: sound file in place of the driving video's, which the lips follow too; all else follows the video.
        motion: relative or absolute.
        amounts: how much of the driver's movement counts, region by region.
        edits: changes by hand of every frame.
        paste_back: put the result back into the full source frame.
        crop: True, False, or None to crop unless the picture is a crop already.
        source_face, driver_face: which face of the source and of the driving video, 0 for the largest.
        engine: where and how to compute.
        force: replace an existing result.
    """

    model: str = DEFAULT_MODEL
    audio: Path | None = None
    motion: Mode = Mode.RELATIVE
    amounts: Amounts = UNCHANGED
    edits: Edits = UNEDITED
    paste_back: bool = False
    crop: bool | None = None
    source_face: int = 0
    driver_face: int = 0
    engine: Engine = field(default_factory=Engine)
    force: bool = False


@dataclass(frozen=True)
class ReenactReport:
    """What was made, and what it cost.

    Attributes:
        frames, fps, seconds: of the result.
        width, height: of the result in pixels.
        model, device, engine, precision: what made it.
        ms_per_frame: mean milliseconds in ``analyse``, ``motion``, ``render`` and ``total`` (writing included), less
            than their sum, since stages work at the same time.
        peak_rss_mb: the process's peak memory.
        frames_without_face: driving frames without a face; they hold the last motion.
        damaged: driving frames that could not be decoded and are missing.
    """

    frames: int
    fps: float
    seconds: float
    width: int
    height: int
    model: str
    device: str
    engine: str
    precision: str
    ms_per_frame: dict[str, float]
    peak_rss_mb: float
    frames_without_face: int
    damaged: int

    @classmethod
    def of(
        cls,
        generator: Generator,
        writer: VideoWriter,
        *,
        model: str,
        fps: Fraction,
        frames: int,
        ms: Mapping[str, float],
        frames_without_face: int = 0,
        damaged: int = 0,
        **more: Any,
    ) -> Self:
        """The report of a video that is written.

        Args:
            generator: who made its frames.
            writer: who wrote it, closed.
            model, fps, frames, frames_without_face, damaged: as they are reported.
            ms: milliseconds by stage, over all frames.
            more: what a report has beside.
        """
        return cls(
            frames=frames,
            fps=round(float(fps), 6),
            seconds=round(float(writer.seconds), 6),
            width=writer.width,
            height=writer.height,
            model=model,
            device=generator.engine.device,
            engine=generator.engine.name,
            precision=generator.engine.precision,
            ms_per_frame={name: round(taken / frames, 2) for name, taken in ms.items()},
            peak_rss_mb=round(peak_rss_mb(), 1),
            frames_without_face=frames_without_face,
            damaged=damaged,
            **more,
        )

    def as_json(self) -> dict[str, object]:
        """Plain values."""
        return asdict(self)


def peak_rss_mb() -> float:
    """Peak resident memory of this process in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)


def reenact_file(
    source: Path,
    driving: Path,
    output: Path,
    options: ReenactOptions,
    progress: Progress | None = None,
    *,
    speaker: Speaks | None = None,
) -> ReenactReport:
    """Animate the face of ``source`` by the video ``driving`` and write the result with its sound.

    Args:
        source: picture, or video of which the frame that can be animated best is taken.
        driving: video of a talking head.
        output: video to write, of one of the kinds that :data:`visavis.media.forms.FORMS` lists.
        options: see :class:`ReenactOptions`.
        progress: called with frames done and the expected total, or None when unknown.
        speaker: who moves lips by another sound than the driving video's; None takes the packaged one.

    Raises:
        VisavisError: bad input, no face, weights or output that cannot be used; nothing is left at ``output``.
    """
    inputs = [source, driving] + ([options.audio] if options.audio else [])
    check_output(output, inputs, force=options.force, kinds=VIDEO_KINDS)
    check_moving(driving)
    with ExitStack() as stack:
        reader = stack.enter_context(TwiceReader(driving))
        generator = load_generator(options.model, options.engine.for_throughput())
        generator.expect({Step.ANALYSE, Step.PREPARE})
        sound, sound_at = _sound(driving, options, generator, stack)
        said: Said | None = None
        if options.audio is not None:
            check_speaks(generator)
            said = stack.enter_context(Said(options.audio, speaker or load_speaker(options.engine)))
        stills = find_source(source, options.source_face, generator.references.most)
        still = stills[0]
        source_crop, (observed, *others) = observe_sources(stills, generator, options.crop)
        needs = generator.needs_of_driver
        with Stages(generator.engine.streams) as beside:
            portrait = beside.begin(partial(_portrait, generator, [observed, *others]))
            ahead = look_ahead(
                reader, still.face.mesh, needs, generator.size, face=options.driver_face, crop=options.crop
            )
            sitting = portrait()
        if said is not None:
            said.by(ahead.meshes)
        reenactor = Reenactor(
            generator,
            observed,
            portrait=sitting,
            start=ahead.start,
            ahead=ahead.meshes,
            mode=options.motion,
            amounts=options.amounts,
            edits=options.edits,
            lips=said,
        )
        analyser = stack.enter_context(Analyser(needs, face=options.driver_face))
        frame_size = _size(still.frame.pixels) if options.paste_back else (generator.size, generator.size)
        pasting = Pasting(source_crop, still.frame.pixels, generator.size) if options.paste_back else None
        began = time.perf_counter()
        last: Frame | None = None
        writer = stack.enter_context(
            VideoWriter(
                output,
                size=frame_size,
                fps=reader.info.fps,
                sound=sound,
                metadata=marks(options.model),
                replace=options.force,
            )
        )
        expected = expected_frames(reader.info)
        stages = stack.enter_context(Stages(generator.engine.streams))
        frames = reenactor.stream(stages.ahead(reader, "read"), analyser, ahead.crop, sound_at, stages)
        for written, frame in enumerate(frames, 1):
            writer.write(frame if pasting is None else Frame(pasting.over(frame.pixels), frame.time))
            last = frame
            if written == 1:
                trim_memory()
            if progress is not None:
                progress(written, expected)
        writer.close()
        total_ms = 1000 * (time.perf_counter() - began)
        damaged = reader.damaged
    tally = reenactor.tally
    assert last is not None
    return ReenactReport.of(
        generator,
        writer,
        model=options.model,
        fps=reader.info.fps,
        frames=tally.frames,
        ms={**{name: tally.ms[name] for name in STAGES}, "total": total_ms},
        frames_without_face=tally.frames_without_face,
        damaged=damaged,
    )


def _portrait(generator: Generator, references: Sequence[Observation]) -> Portrait:
    """Prepare a person, and make ready for rendering in the place that this has taken."""
    portrait = Portrait(generator, references)
    generator.keep_for({Step.ANALYSE, Step.RENDER})
    generator.expect({Step.RENDER})
    return portrait


def _size(pixels: Pixels) -> tuple[int, int]:
    return pixels.shape[0], pixels.shape[1]


def expected_frames(info: MediaInfo) -> int | None:
    """How many frames a file will have, as far as it says."""
    if info.frames:
        return info.frames
    return round(info.duration * info.fps) if info.duration else None


def _sound(
    driving: Path, options: ReenactOptions, generator: Generator, stack: ExitStack
) -> tuple[Path | None, SoundAt | None]:
    """The file whose sound goes along, and that sound as the generator hears it; None where there is none."""
    path, hears = options.audio or driving, generator.hears
    chunks = stack.enter_context(SoundReader(path) if hears is None else SoundReader(path, hears.rate_hz))
    if chunks.has_sound:
        return path, None if hears is None else SoundWindow(chunks, hears).at
    if options.audio is not None:
        raise MediaError(f"{options.audio}: has no sound in it")
    return None, None
