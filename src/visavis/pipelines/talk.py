"""A portrait and speech in, a video out in which that person says it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from itertools import chain
from pathlib import Path

import numpy as np

from visavis.core.errors import MediaError
from visavis.face.align import Pasting
from visavis.media.frame import Frame, Samples
from visavis.media.provenance import marks
from visavis.media.reader import SoundReader
from visavis.media.still import is_picture
from visavis.media.writer import VIDEO_KINDS, VideoWriter, check_output
from visavis.motion.amounts import UNCHANGED, Amounts
from visavis.motion.spoken_face import Sitter
from visavis.nn.engine import Engine
from visavis.pipelines.actor import Actor, Beginning
from visavis.pipelines.files import Progress, ReenactReport
from visavis.pipelines.load import load_generator
from visavis.pipelines.look_ahead import find_source, observe_sources
from visavis.pipelines.speaks import Rhythmic, Speaks, check_speaks, load_speaker
from visavis.pipelines.stages import Stages
from visavis.pipelines.talking import Performance, TalkingPerson
from visavis.weights.store import TALKING_MODEL

FPS = Fraction(25)


@dataclass(frozen=True)
class TalkOptions:
    """How to talk.

    Attributes:
        model: name or path of weights.
        reference: clip whose first three seconds say how the head moves and how wide the mouth opens; None takes the
            portrait's own where it is a clip, and a learned rhythm that the seed picks where it is a picture.
        head: whose head moves, as a video; None the speech's.
        still: whether the head rests.
        expression: whose face moves, as a video; None the speech's.
        amounts: how much of the movement counts, region by region.
        seed: of blinks, gaze, and the rhythm where no clip tells it.
        paste_back: put the result back into the full picture.
        crop: True, False, or None to crop unless the picture is a crop already.
        face: which face of the portrait, 0 for the largest.
        engine: where and how to compute.
        force: replace an existing result.
    """

    model: str = TALKING_MODEL
    reference: Path | None = None
    head: Path | None = None
    still: bool = False
    expression: Path | None = None
    amounts: Amounts = UNCHANGED
    seed: int = 0
    paste_back: bool = False
    crop: bool | None = None
    face: int = 0
    engine: Engine = field(default_factory=Engine)
    force: bool = False

    @property
    def inputs(self) -> list[Path]:
        """Files beside portrait and speech."""
        return [path for path in (self.reference, self.head, self.expression) if path is not None]


@dataclass(frozen=True)
class TalkReport(ReenactReport):
    """What was made, and what it cost.

    Attributes:
        frames_of_speech: frames during which there is sound, whatever it is; the others are of silence.
        latency_ms: how much sound after a frame's time is listened to before it is made.
    """

    frames_of_speech: int
    latency_ms: float

    def as_json(self) -> dict[str, object]:
        """Plain values."""
        return asdict(self)


def talk_file(
    portrait: Path,
    speech: Path,
    output: Path,
    options: TalkOptions,
    progress: Progress | None = None,
    *,
    speaker: Speaks | None = None,
) -> TalkReport:
    """Let the person of ``portrait`` say what is said in ``speech``, and write the result with its sound.

    Args:
        portrait: picture, or clip of which the frame that can be animated best is taken.
        speech: any file with sound.
        output: video to write, of 25 frames a second and as long as the speech.
        options: see :class:`TalkOptions`.
        progress: called with frames done and the expected total, or None when unknown.
        speaker: another one than the packaged.

    Raises:
        VisavisError: bad input, no face, no sound, weights or output that cannot be used; nothing is left at
            ``output``.
    """
    check_output(output, [portrait, speech, *options.inputs], force=options.force, kinds=VIDEO_KINDS)
    with ExitStack() as stack:
        sound = stack.enter_context(SoundReader(speech, None))
        if not sound.has_sound:
            raise MediaError(f"{speech}: has no sound in it")
        generator = load_generator(options.model, options.engine.for_throughput())
        check_speaks(generator)
        stills = find_source(portrait, options.face, generator.references.most)
        crop, observed = observe_sources(stills, generator, options.crop)
        own = None if is_picture(portrait) else Beginning(portrait, options.face)
        sitter = Sitter([crop.to_crop(stills[0].face.mesh)], () if own is None else own.meshes)
        head, expression = (
            None if path is None else stack.enter_context(Actor(path)) for path in (options.head, options.expression)
        )
        speaker = speaker or load_speaker(options.engine)
        performance = Performance(
            speaker,
            sitter,
            rhythm=_rhythm(own, speaker, options),
            seed=options.seed,
            head=head,
            still=options.still,
            expression=expression,
        )
        person = TalkingPerson(generator, observed, performance, speaker, options.amounts)
        full = stills[0].frame.pixels
        size = (full.shape[0], full.shape[1]) if options.paste_back else (generator.size, generator.size)
        pasting = Pasting(crop, full, generator.size) if options.paste_back else None
        expected = None if sound.duration is None else math.ceil(sound.duration * FPS)
        began = time.perf_counter()
        writer = stack.enter_context(
            VideoWriter(output, size=size, fps=FPS, sound=speech, metadata=marks(options.model), replace=options.force)
        )
        heard = (make for samples in from_zero(sound) for make in person.hear(samples, sound.rate_hz))
        stages = stack.enter_context(Stages(generator.engine.streams))
        frames = stages.ahead(map(stages.begin, chain(heard, _rest(person, speech))), "motion")
        for written, frame in enumerate((promise() for promise in frames), 1):
            writer.write(frame if pasting is None else Frame(pasting.over(frame.pixels), frame.time))
            if progress is not None:
                progress(written, expected)
        writer.close()
        total_ms = 1000 * (time.perf_counter() - began)
    return TalkReport.of(
        generator,
        writer,
        model=options.model,
        fps=FPS,
        frames=person.frames,
        ms={**person.spent.ms, "total": total_ms},
        frames_of_speech=person.frames_of_speech,
        latency_ms=latency_ms(person.latency_s),
    )


def latency_ms(seconds: Fraction) -> float:
    """Milliseconds for a report."""
    return round(float(1000 * seconds), 1)


def _rest(person: TalkingPerson, speech: Path) -> Iterator[Callable[[], Frame]]:
    if not person.seconds:
        raise MediaError(f"{speech}: its sound stream holds no sound that can be decoded")
    yield from person.end()


def _rhythm(own: Beginning | None, speaker: Speaks, options: TalkOptions) -> Rhythmic:
    """Of the reference, or of the portrait where it is a clip; None where nothing tells it, or neither is asked for."""
    if options.expression is not None and (options.still or options.head is not None):
        return None
    told = own if options.reference is None else Beginning(options.reference)
    return None if told is None else told.rhythm(speaker)


def from_zero(sound: SoundReader) -> Iterator[Samples]:
    """A file's samples from time zero on: what is before is left out, and silence where it begins later."""
    reached = 0
    for chunk in sound:
        first = round(chunk.time * chunk.rate_hz)
        while first > reached:
            silence = np.zeros(min(first - reached, chunk.rate_hz), np.float32)
            reached += len(silence)
            yield silence
        fresh = chunk.samples[reached - first :]
        reached += len(fresh)
        yield fresh
