"""What the sending side sees of its frames, before anything of a call is made of it."""

from __future__ import annotations

import time
from dataclasses import dataclass

from visavis.core.closing import Closing
from visavis.face.align import Crop, crop_for
from visavis.face.types import Face, Observation
from visavis.generators.base import Generator
from visavis.media.frame import Frame
from visavis.pipelines.analyse import Analyser


@dataclass(frozen=True)
class Sighting:
    """What is seen in a frame: nothing where no face is.

    Attributes:
        seen: the face's crop and priors.
        face: as it was found.
        judged: the crop with the mesh as it was found, before it was smoothed.
        unlooked: the frame itself, if it lies between coded frames and was not looked at.
    """

    seen: Observation | None = None
    face: Face | None = None
    judged: Observation | None = None
    unlooked: Frame | None = None


class Looker(Closing):
    """Analyses those frames of a call that are coded.

    Args:
        generator: whose priors and size count.
        between: frames between two that are coded.
        crop: square of the frames that is sent; None cuts around the first face that is seen.
        face: which face, 0 for the largest.

    Attributes:
        spent_ms: milliseconds so far.
    """

    def __init__(self, generator: Generator, between: int, *, crop: Crop | None, face: int) -> None:
        self._size, self._apart, self._crop = generator.size, between + 1, crop
        self._analyser = Analyser(generator.needs_of_driver, face=face)
        self._frames = 0
        self.spent_ms = 0.0

    def close(self) -> None:
        """Free what the analysis holds."""
        self._analyser.close()

    def see(self, frame: Frame) -> Sighting:
        """Take the next frame of the call."""
        between = self._frames % self._apart
        self._frames += 1
        return Sighting(unlooked=frame) if between else self.look(frame)

    def look(self, frame: Frame) -> Sighting:
        """Find the face of a frame, and its priors."""
        began = time.perf_counter()
        face = self._analyser.find(frame)
        sighting = Sighting()
        if face is not None:
            if self._crop is None:
                self._crop = crop_for([face], *frame.pixels.shape[:2])
            self._crop = self._analyser.follow(self._crop, face)
            seen = self._analyser.observe(frame, face, self._crop, self._size)
            sighting = Sighting(seen, face, Observation(seen.picture, mesh=self._crop.to_crop(face.mesh)))
        self.spent_ms += 1000 * (time.perf_counter() - began)
        return sighting
