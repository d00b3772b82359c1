"""The contract of four members that every generator keeps.

A generator never learns where its motion came from: a camera, a voice or a network.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from visavis.face.morphable import LinearFaceModel
from visavis.face.types import Observation
from visavis.motion.types import KeypointMotion, MotionLayout


class Prior(str, Enum):
    """What an observation may carry beside its picture."""

    MESH = "mesh"
    SEGMENTATION = "segmentation"
    MEL = "mel"


class Generator(Protocol):
    """Turns a person and a motion into a picture."""

    @property
    def family(self) -> str:
        """Name of the family, as in the checkpoint's header."""

    @property
    def size(self) -> int:
        """Side of the square pictures that go in and come out."""

    @property
    def layout(self) -> MotionLayout:
        """How this generator's motion lies in a vector."""

    @property
    def face_model(self) -> LinearFaceModel | None:
        """The linear face model that its motions' mesh values are of; None when they have none."""

    @property
    def needs(self) -> frozenset[Prior]:
        """Priors that an observation must carry for :meth:`analyse` and :meth:`render`."""

    def analyse(self, observation: Observation) -> KeypointMotion:
        """Return the motion of one observation."""

    def prepare(self, references: Sequence[Observation]) -> Any:
        """Compute once whatever depends on the source alone; the first reference is the source."""

    def render(self, person: Any, motion: KeypointMotion, sound: NDArray[np.float32] | None) -> Tensor:
        """Return ``float32 [1, 3, S, S]`` in [0, 1].

        Args:
            person: what :meth:`prepare` returned.
            motion: the driving motion, already transferred to this person.
            sound: mel window ``float32 [80, 20]`` of the frame, or None for silence.
        """
