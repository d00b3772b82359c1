"""Dubbing: full frames of a video in which the mouth says something else, and all the rest is as it was."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from visavis.audio.window import SoundWindow
from visavis.core.closing import Closing
from visavis.core.errors import MediaError
from visavis.face.align import crop_for, whole
from visavis.face.lower import lower_face
from visavis.face.types import Face, Observation
from visavis.generators.base import Generator
from visavis.media.frame import Frame
from visavis.media.provenance import marks
from visavis.media.reader import SoundReader
from visavis.media.twice import TwiceReader
from visavis.media.writer import VIDEO_KINDS, VideoWriter, check_output
from visavis.motion.kind import Mesh
from visavis.nn.engine import Engine
from visavis.pipelines.analyse import Analyser, Seen
from visavis.pipelines.files import Progress, ReenactReport, expected_frames
from visavis.pipelines.load import load_generator
from visavis.pipelines.look_ahead import find_source, observe_sources
from visavis.pipelines.reenact import STAGES, Tally
from visavis.pipelines.render import Portrait, SoundAt, rendered
from visavis.pipelines.said import Said
from visavis.pipelines.seen import check_moving, seen_ahead
from visavis.pipelines.speaks import Speaks, check_speaks, load_speaker
from visavis.pipelines.stages import Stages
from visavis.weights.store import DEFAULT_MODEL

_LOOK_EVERY = 3


@dataclass(frozen=True)
class DubOptions:
    """How to dub.

    Attributes:
        model: name or path of weights.
        face: whose mouth, 0 for the largest face.
        seed: of what sound does not tell.
        engine: where and how to compute.
        force: replace an existing result.
    """

    model: str = DEFAULT_MODEL
    face: int = 0
    seed: int = 0
    engine: Engine = field(default_factory=Engine)
    force: bool = False


@dataclass(frozen=True)
class DubReport(ReenactReport):
    """What was made, and what it cost.

    Attributes:
        frames_without_face: frames without a face; they stay as they are.
        frames_of_speech: frames up to the end of the speech; after it the mouth rests.
    """

    frames_of_speech: int

    def as_json(self) -> dict[str, object]:
        """Plain values."""
        return asdict(self)


class Dubber(Closing):
    """Lays the lower face of what is said over the frames of a video.

    Args:
        generator: who renders.
        stills: frames of the person with their faces, the best first.
        known: faces of the video's beginning, in pixels of the frame.
        said: what is said.
        face: which face of the frames, 0 for the largest.
        sound_at: the speech as the generator hears it.

    Attributes:
        tally: frames, those without a face, and milliseconds by stage.
    """

    def __init__(
        self,
        generator: Generator,
        stills: Sequence[Seen],
        known: Sequence[Face],
        said: Said,
        *,
        face: int = 0,
        sound_at: SoundAt | None = None,
    ) -> None:
        self._generator, self._said = generator, said
        self._beside, observed = observe_sources(stills, generator, crop=True)
        self._face = stills[0].face
        self._portrait = Portrait(generator, observed, sound_at)
        height, width = stills[0].frame.pixels.shape[:2]
        square = crop_for(known, height, width, crop=True)
        said.by([square.to_crop(one.mesh) for one in known])
        self._whole = whole(height, width)
        self._follower = Analyser((), face=face)
        self._observer = Analyser(generator.needs_of_driver, video=False)
        self.tally = Tally()

    def close(self) -> None:
        """Free MediaPipe's graphs."""
        self._follower.close()
        self._observer.close()

    def stream(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """Yield one frame per frame, at its time; those without a face as they are."""
        return (make() for make in map(self.see, frames))

    def see(self, frame: Frame) -> Callable[[], Frame]:
        """Look at the next frame; return what lays over it what is said, at any time and in any thread."""
        self.tally.frames += 1
        clock = time.perf_counter()
        found = self._follower.find(frame)
        if found is None:
            self.tally.frames_without_face += 1
            self._said.expression(frame.time)
            return lambda: frame
        # Smoothed in the frame, before a square goes along with the face.
        smoothed = self._follower.smooth(frame, found, self._whole)
        half = self._whole.side / 2
        corner = np.array([self._whole.left + half, self._whole.top + half, 0], np.float32)
        face = Face((smoothed * half + corner).astype(np.float32))
        crop = self._beside.carried(self._face, face)
        seen = self._observer.observe(frame, face, crop, self._generator.size)
        clock = self.tally.spent("analyse", clock)
        assert seen.mesh is not None
        mesh = self._said(seen.mesh, frame.time)
        motion = self._generator.kind.of_mesh(mesh, self._generator.analyse(seen))
        rendering = self._portrait.rendering(motion, frame.time)
        self.tally.spent("motion", clock)
        part = self._part(seen, mesh)
        return partial(rendered, lambda: crop.paste(frame.pixels, rendering(), part), frame.time, self.tally.spent)

    def _part(self, seen: Observation, mesh: Mesh) -> NDArray[np.float32]:
        assert seen.mesh is not None
        return lower_face((seen.mesh, mesh), self._said.lips.share, self._generator.size)


def dub_file(
    video: Path,
    speech: Path,
    output: Path,
    options: DubOptions,
    progress: Progress | None = None,
    *,
    speaker: Speaks | None = None,
) -> DubReport:
    """Let the person in a video say something else, and write the full frames with that sound.

    The result is as long as the video: longer speech is cut, and after shorter speech the mouth rests in silence.

    Args:
        video: of a talking head.
        speech: any file with sound.
        output: video to write.
        options: see :class:`DubOptions`.
        progress: called with frames done and the expected total, or None when unknown.
        speaker: another one than the packaged.

    Raises:
        VisavisError: bad input, no face, no sound, weights or output that cannot be used; nothing is left at
            ``output``.
    """
    check_output(output, [video, speech], force=options.force, kinds=VIDEO_KINDS)
    check_moving(video)
    with ExitStack() as stack:
        reader = stack.enter_context(TwiceReader(video))
        if not stack.enter_context(SoundReader(speech)).has_sound:
            raise MediaError(f"{speech}: has no sound in it")
        generator = load_generator(options.model, options.engine.for_throughput())
        check_speaks(generator)
        stills = find_source(video, options.face, generator.references.most)
        with Analyser((), face=options.face) as analyser:
            known = [seen.face for seen in seen_ahead(reader, analyser, which=options.face, every=_LOOK_EVERY)]
        said = stack.enter_context(Said(speech, speaker or load_speaker(options.engine), options.seed))
        dubber = stack.enter_context(
            Dubber(generator, stills, known, said, face=options.face, sound_at=_sound_at(speech, generator, stack))
        )
        began = time.perf_counter()
        info = reader.info
        writer = stack.enter_context(
            VideoWriter(
                output,
                size=(info.height, info.width),
                fps=info.fps,
                sound=speech,
                metadata=marks(options.model),
                replace=options.force,
            )
        )
        spoken, times = length_of(speech), 0
        stages = stack.enter_context(Stages(generator.engine.streams))
        frames = stages.ahead((stages.begin(dubber.see(frame)) for frame in stages.ahead(reader, "read")), "render")
        for written, frame in enumerate((promise() for promise in frames), 1):
            writer.write(frame)
            times += frame.time < spoken
            if progress is not None:
                progress(written, expected_frames(info))
        writer.close()
        total_ms = 1000 * (time.perf_counter() - began)
        damaged = reader.damaged
    tally = dubber.tally
    return DubReport.of(
        generator,
        writer,
        model=options.model,
        fps=info.fps,
        frames=tally.frames,
        ms={**{name: tally.ms[name] for name in STAGES}, "total": total_ms},
        frames_without_face=tally.frames_without_face,
        damaged=damaged,
        frames_of_speech=times,
    )


def length_of(speech: Path) -> Fraction:
    """Seconds at which a file's sound ends."""
    with SoundReader(speech, None) as sound:
        end = 0
        for chunk in sound:
            end = round(chunk.time * chunk.rate_hz) + len(chunk.samples)
        return Fraction(end, sound.rate_hz)


def _sound_at(speech: Path, generator: Generator, stack: ExitStack) -> SoundAt | None:
    if generator.hears is None:
        return None
    chunks = stack.enter_context(SoundReader(speech, generator.hears.rate_hz))
    return SoundWindow(chunks, generator.hears).at
