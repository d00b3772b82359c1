"""A clip drives every model at once, as ``visavis reenact`` would: tracked through time, smoothed, looked ahead at."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path

from visavis.audio.window import SoundWindow
from visavis.evaluation.clip import SIZE
from visavis.evaluation.models import BuiltIn, ModelName, Network, Rendering
from visavis.face.align import whole
from visavis.face.types import Observation
from visavis.generators.base import Generator, Prior
from visavis.media.frame import Pixels
from visavis.media.reader import SoundReader
from visavis.media.twice import TwiceReader
from visavis.motion.kind import Mode
from visavis.pipelines.analyse import Analyser
from visavis.pipelines.look_ahead import look_ahead
from visavis.pipelines.render import SoundAt

#: Pictures by the time of their frame.
Pictures = dict[Fraction, Pixels]


def driven(
    clip: Path,
    source: Observation,
    models: Mapping[ModelName, Generator | None],
    times: Collection[Fraction],
    mode: Mode | None,
) -> dict[ModelName, Pictures]:
    """Animate one source by one clip with every model.

    The clip is decoded and its face followed once for all models, from its first frame on; the crop is the whole
    picture, as a data set has it, and stays.

    Args:
        clip: the driving video.
        source: the person, with all priors.
        models: their generators; None for those that are built in.
        times: of the frames that are wanted.
        mode: relative motion, or None where the driver is the source in the same crop.

    Raises:
        FaceError: no frame of the clip shows a face.
    """
    assert source.mesh is not None
    made: dict[ModelName, Pictures] = {model: {} for model in models}
    with ExitStack() as stack:
        reader = stack.enter_context(TwiceReader(clip))
        needs = {Prior.MESH}.union(*(one.needs_of_driver for one in models.values() if one is not None))
        ahead = look_ahead(reader, source.mesh, needs, SIZE, crop=False)
        analyser = stack.enter_context(Analyser(needs))
        renderings: dict[ModelName, Rendering] = {}
        for model, generator in models.items():
            if generator is None:
                renderings[model] = BuiltIn(model.name, source)
            else:
                renderings[model] = Network(generator, source, ahead, mode, _sound_at(clip, generator, stack))
        last = max(times, default=Fraction(-1))
        for frame in reader:
            if frame.time > last:
                break
            shown = frame.time in times
            face = analyser.find(frame)
            crop = whole(*frame.pixels.shape[:2])
            seen: Observation | None = None
            if face is not None and (shown or any(one.follows for one in renderings.values())):
                seen = analyser.observe(frame, face, crop, SIZE)
            elif face is not None:
                analyser.smooth(frame, face, crop)
            for model, rendering in renderings.items():
                if shown:
                    made[model][frame.time] = rendering.picture(seen, frame.time)
                else:
                    rendering.skip(seen)
    return made


def _sound_at(clip: Path, generator: Generator, stack: ExitStack) -> SoundAt | None:
    """The clip's sound, as a generator hears it; None for a silent clip or a deaf generator."""
    if generator.hears is None:
        return None
    chunks = stack.enter_context(SoundReader(clip, generator.hears.rate_hz))
    return SoundWindow(chunks, generator.hears).at if chunks.has_sound else None
