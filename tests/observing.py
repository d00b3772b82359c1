"""What is seen in pictures of drawn people, for tests that begin after that."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from fractions import Fraction

from visavis.drawn.synthetic import TalkingFace
from visavis.face.align import whole
from visavis.face.types import Observation
from visavis.generators.base import Generator, Prior
from visavis.media.frame import Frame, Pixels
from visavis.pipelines.analyse import Analyser


def observed(pictures: Sequence[Pixels], needs: Collection[Prior] = tuple(Prior)) -> list[Observation]:
    """Observations of square pictures, each alone, at 25 a second."""
    found = []
    with Analyser(needs, video=False) as analyser:
        for number, picture in enumerate(pictures):
            frame = Frame(picture, Fraction(number, 25))
            face = analyser.find(frame)
            assert face is not None, "the drawn face must be found"
            size = picture.shape[0]
            found.append(analyser.observe(frame, face, whole(size, size), size))
    return found


def talking(generator: Generator, count: int) -> list[Observation]:
    """A drawn face as it talks, every eighth frame, with what a generator needs."""
    frames = list(TalkingFace(3, generator.size).frames(8 * count))[::8]
    return observed([frame.pixels for frame in frames], generator.needs)
