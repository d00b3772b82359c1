"""Video-driven reenactment, one frame at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from functools import partial

import numpy as np
from numpy.typing import NDArray

from visavis.core.errors import FaceError
from visavis.face.align import Crop
from visavis.face.types import Observation
from visavis.generators.base import Generator
from visavis.media.frame import Frame, Pixels
from visavis.motion.amounts import UNCHANGED, UNEDITED, Amounts, Edits
from visavis.motion.kind import Carrier, Mode
from visavis.motion.layout import Motion
from visavis.pipelines.analyse import Analyser
from visavis.pipelines.render import Portrait, SoundAt, rendered
from visavis.pipelines.spent import Spent
from visavis.pipelines.stages import Stages

#: A driving mesh at a time, with another mouth.
LipsAt = Callable[[NDArray[np.float32], Fraction], NDArray[np.float32]]
STAGES = ("analyse", "motion", "render")


class Tally:
    """What a stream counts as it goes.

    Attributes:
        frames: frames made.
        frames_without_face: driving frames in which no face was found; they hold the last motion.
        spent: counts what each stage takes.
    """

    def __init__(self) -> None:
        self.frames = self.frames_without_face = 0
        self.spent = Spent(STAGES)

    @property
    def ms(self) -> dict[str, float]:
        """Milliseconds spent in each stage, over all frames."""
        return self.spent.ms


class Reenactor:
    """Animates one person by a stream of driving frames.

    Args:
        generator: any generator of the contract.
        source: observation of the person.
        portrait: of the source, where it is made already.
        start: observation of the driving frame whose pose is nearest the source's; None takes the first
            driving frame with a face.
        ahead: driving meshes ``[478, 3]`` that are known beforehand, in [-1, 1] over the crop: by them the driver's
            resting face and range of movement are known from the first frame on. A camera has none.
        mode: relative or absolute motion; None where the driver is the source, in the same crop: its motion is
            rendered as it is.
        amounts: how much of the driver's movement counts.
        edits: changes by hand of every frame.
        lips: gives a driving mesh ``[478, 3]`` at a time the mouth of something else that is said; None leaves the
            driver's.

    Raises:
        ConfigError: amounts or edits of parts that the generator's motion does not have.
    """

    def __init__(
        self,
        generator: Generator,
        source: Observation,
        *,
        portrait: Portrait | None = None,
        start: Observation | None = None,
        ahead: Sequence[NDArray[np.float32]] = (),
        mode: Mode | None = Mode.RELATIVE,
        amounts: Amounts = UNCHANGED,
        edits: Edits = UNEDITED,
        lips: LipsAt | None = None,
    ) -> None:
        self._generator, self._edits, self._mode, self._lips = generator, edits, mode, lips
        self._portrait = portrait or Portrait(generator, [source])
        self._source = generator.analyse(source)
        self._motion = generator.kind.edited(self._source, edits, self._source) if edits else self._source
        self._carry: Carrier | None = None
        if mode is not None:
            first = None if start is None else generator.analyse(start)
            self._carry = generator.kind.carrier(self._source, first, mode, ahead=ahead, amounts=amounts)
        self.tally = Tally()

    def stream(
        self,
        driving: Iterable[Frame],
        analyser: Analyser,
        crop: Crop,
        sound_at: SoundAt | None = None,
        stages: Stages | None = None,
    ) -> Iterator[Frame]:
        """Yield one frame per driving frame, at the driving frame's time.

        Memory does not grow with the length of `driving`, so a file and a camera are the same to us. A frame
        without a face holds the last motion (the source's own until a face is seen) and is counted.

        Args:
            driving: frames whose times increase.
            analyser: that follows the face.
            crop: where it is in the first frame.
            sound_at: sound of a time; None for a stream without sound.
            stages: analyse frames while those before them are rendered, and render as many at once as they make; None
                takes one frame after the other. The pictures are the same.

        Raises:
            FaceError: at the end, if no frame showed a face.
        """
        self.hear(sound_at)
        seen = self._seen(driving, analyser, crop)
        if stages is None:
            frames = (self._rendered(*one)() for one in seen)
        else:
            begun = (stages.begin(self._rendered(*one)) for one in stages.ahead(seen, "analyse"))
            frames = (promise() for promise in stages.ahead(begun, "motion"))
        yield from frames
        if self.tally.frames == self.tally.frames_without_face:
            raise FaceError("the driving video shows no face in any frame")

    def _seen(
        self, driving: Iterable[Frame], analyser: Analyser, crop: Crop
    ) -> Iterator[tuple[Observation | None, Fraction]]:
        """What is seen in each driving frame, and its time; None where no face is."""
        size = self._generator.size
        for frame in driving:
            clock = time.perf_counter()
            face = analyser.find(frame)
            observation = None
            if face is not None:
                crop = analyser.follow(crop, face)
                observation = analyser.observe(frame, face, crop, size)
            self.tally.spent("analyse", clock)
            yield observation, frame.time

    def hear(self, sound_at: SoundAt | None) -> None:
        """Begin a stream with this sound, or without any."""
        self._portrait.hear(sound_at)

    def picture(self, driving: Observation | None, at: Fraction) -> Pixels:
        """The picture of the next driving frame.

        Args:
            driving: what is seen in it; None where no face is.
            at: its time.
        """
        return self._rendered(driving, at)().pixels

    def _rendered(self, driving: Observation | None, at: Fraction) -> Callable[[], Frame]:
        """What makes the next frame, whose motion is known."""
        clock = time.perf_counter()
        rendering = self._portrait.rendering(self._moved(driving, at), at)
        self.tally.spent("motion", clock)
        return partial(rendered, rendering, at, self.tally.spent)

    def skip(self, driving: Observation | None) -> None:
        """Let a driving frame pass of which nobody looks at the picture."""
        if self._carry is not None or self._generator.memory:
            self._portrait.skip(self._moved(driving, None))
        else:
            self.tally.frames += 1

    def _moved(self, driving: Observation | None, at: Fraction | None) -> Motion:
        self.tally.frames += 1
        if driving is None:
            self.tally.frames_without_face += 1
            return self._motion
        motion = self._generator.analyse(driving)
        if self._lips is not None and driving.mesh is not None and at is not None:
            motion = self._generator.kind.of_mesh(self._lips(driving.mesh, at), motion)
        if self._carry is not None:
            motion = self._carry(motion)
        self._motion = self._generator.kind.edited(motion, self._edits, self._source) if self._edits else motion
        return self._motion
