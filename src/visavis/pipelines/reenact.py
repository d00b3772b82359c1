"""Video-driven reenactment, one frame at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from visavis.core.errors import FaceError
from visavis.face.align import Crop
from visavis.face.types import Observation
from visavis.generators.base import Generator
from visavis.media.frame import Frame, Pixels
from visavis.motion.transfer import Mode, Transfer
from visavis.motion.types import KeypointMotion
from visavis.pipelines.analyse import Analyser

SoundAt = Callable[[Fraction], NDArray[np.float32] | None]
STAGES = ("analyse", "motion", "render")


@dataclass
class Tally:
    """What a stream counts as it goes.

    Attributes:
        frames: frames made.
        frames_without_face: driving frames in which no face was found; they hold the last motion.
        ms: milliseconds spent in each stage, over all frames.
    """

    frames: int = 0
    frames_without_face: int = 0
    ms: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))


class Reenactor:
    """Animates one person by a stream of driving frames.

    Args:
        generator: any generator of the contract.
        source: observation of the person.
        start: observation of the driving frame whose pose is nearest the source's; None takes the first
            driving frame with a face.
        ahead: driving meshes ``[478, 3]`` that are known beforehand, in [-1, 1] over the crop: by them the driver's
            resting face and range of movement are known from the first frame on. A camera has none.
        mode: relative or absolute motion.
    """

    def __init__(
        self,
        generator: Generator,
        source: Observation,
        *,
        start: Observation | None = None,
        ahead: Sequence[NDArray[np.float32]] = (),
        mode: Mode = Mode.RELATIVE,
    ) -> None:
        self._generator, self._mode, self._ahead = generator, mode, ahead
        self._person = generator.prepare([source])
        self._source_motion = generator.analyse(source)
        self._transfer: Transfer | None = None
        if start is not None:
            self._begin(generator.analyse(start))
        self.tally = Tally()

    def _begin(self, start: KeypointMotion) -> None:
        face = self._generator.face_model
        self._transfer = Transfer(self._source_motion, start, self._mode, face=face, ahead=self._ahead)

    def stream(
        self, driving: Iterable[Frame], analyser: Analyser, crop: Crop, sound_at: SoundAt | None = None
    ) -> Iterator[Frame]:
        """Yield one frame per driving frame, at the driving frame's time.

        Memory does not grow with the length of `driving`, so a file and a camera are the same to us. A frame
        without a face holds the last motion (the source's own until a face is seen) and is counted.

        Raises:
            FaceError: at the end, if no frame showed a face.
        """
        motion = self._source_motion
        size = self._generator.size
        for frame in driving:
            clock = time.perf_counter()
            face = analyser.find(frame)
            mel = sound_at(frame.time) if sound_at is not None else None
            observation = None
            if face is not None:
                crop = analyser.follow(crop, face)
                observation = analyser.observe(frame, face, crop, size)
            clock = self._count("analyse", clock)
            if observation is None:
                self.tally.frames_without_face += 1
            else:
                motion = self._moved(observation)
            clock = self._count("motion", clock)
            picture = to_pixels(self._generator.render(self._person, motion, mel))
            self._count("render", clock)
            self.tally.frames += 1
            yield Frame(picture, frame.time)
        if self.tally.frames == self.tally.frames_without_face:
            raise FaceError("the driving video shows no face in any frame")

    def _moved(self, observation: Observation) -> KeypointMotion:
        driving = self._generator.analyse(observation)
        if self._transfer is None:
            self._begin(driving)
        assert self._transfer is not None
        return self._transfer(driving)

    def _count(self, stage: str, since: float) -> float:
        now = time.perf_counter()
        self.tally.ms[stage] += 1000 * (now - since)
        return now


def to_pixels(picture: Tensor) -> Pixels:
    """Turn ``float [1, 3, S, S]`` in [0, 1] into ``uint8 [S, S, 3]``."""
    array = picture[0].permute(1, 2, 0).clamp(0, 1).mul(255).round().byte().cpu().numpy()
    return np.ascontiguousarray(array)
