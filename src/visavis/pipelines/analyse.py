"""From a frame to an observation: only what the generator needs is computed."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from visavis.core.closing import Closing
from visavis.face.align import Crop
from visavis.face.segmentation import Segmenter
from visavis.face.tracker import FaceTracker
from visavis.face.types import Face, Observation
from visavis.generators.base import Prior
from visavis.media.frame import Frame
from visavis.motion.smooth import OneEuro

Mesh = NDArray[np.float32]


@dataclass(frozen=True)
class Seen:
    """A face in a frame, before it is cut out."""

    frame: Frame
    face: Face


class Analyser(Closing):
    """Tracks one face and cuts observations.

    Args:
        needs: priors to compute.
        face: which face, 0 for the largest; None for the one nearest to the frame's middle.
        video: whether frames follow each other in time.
    """

    def __init__(self, needs: Collection[Prior], *, face: int | None = 0, video: bool = True) -> None:
        self.needs = frozenset(needs)
        self._tracker = FaceTracker(face, video=video)
        self._segmenter = Segmenter()
        self._smooth = OneEuro() if video else None
        self._jumps = 0
        self._sat: tuple[Crop, Face] | None = None

    def close(self) -> None:
        """Free MediaPipe's graphs."""
        self._tracker.close()
        self._segmenter.close()

    @property
    def jumps(self) -> int:
        """Number of cuts so far: how often the face was found where it cannot have moved to."""
        return self._tracker.jumps

    def find(self, frame: Frame) -> Face | None:
        """Find the followed face in a full frame."""
        jumps = self._tracker.jumps
        face = self._tracker.find(frame.pixels)
        if self._smooth is not None and self._tracker.jumps != jumps:
            self._smooth = OneEuro()  # what was before a cut says nothing of what is after it
        return face

    def follow(self, crop: Crop, face: Face) -> Crop:
        """The crop of the frame in which ``face`` was found last.

        It moves just enough to hold the face. After a cut it is taken anew, to lie to the face as it did where the
        stream began: place and size do not jump in what is made of it.

        Args:
            crop: of the frame before.
            face: what :meth:`find` returned last.
        """
        if self._sat is None:
            self._sat = crop, face
        elif self._jumps != self.jumps:
            crop = self._sat[0].carried(self._sat[1], face)
        self._jumps = self.jumps
        return crop.following(face)

    def smooth(self, frame: Frame, face: Face, crop: Crop) -> Mesh:
        """The mesh ``float32 [478, 3]`` over the crop, smoothed over time; all of a frame that later ones depend on."""
        mesh = crop.to_crop(face.mesh)
        return mesh if self._smooth is None else self._smooth(mesh, frame.time)

    def observe(self, frame: Frame, face: Face, crop: Crop, size: int) -> Observation:
        """Cut the crop and compute the priors of a frame in which ``face`` was found."""
        picture = crop.cut(frame.pixels, size)
        mesh = self.smooth(frame, face, crop)
        return Observation(
            picture=picture,
            time=Fraction(frame.time),
            mesh=mesh if Prior.MESH in self.needs else None,
            segmentation=self._segmenter.mask(picture) if Prior.SEGMENTATION in self.needs else None,
        )
