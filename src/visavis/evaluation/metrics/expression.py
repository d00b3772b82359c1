"""Expression distance on coefficients of the linear face model (HeadGAN's AED, section 4)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from visavis.face.morphable import CAMERA_VALUES, LinearFaceModel

Mesh = NDArray[np.float32]


@dataclass(frozen=True)
class ExpressionDistance:
    """Mean absolute difference of expression coefficients.

    The model's shape coefficients hold identity and expression together, so expression is what changed since a frame
    of the same person: of the source for the rendered face, of the driving clip's first frame for the driver. With one
    and the same person both are the same frame and it cancels.

    Attributes:
        model: the linear face model.
        source: mesh of the source, ``float32 [478, 3]`` in [-1, 1].
        start: mesh of the driving clip's first frame.
    """

    model: LinearFaceModel
    source: Mesh
    start: Mesh

    def __call__(self, made: Mesh, driving: Mesh) -> float:
        """Distance of one rendered mesh to the driving mesh, both ``float32 [478, 3]`` in [-1, 1]."""
        change = self._shape(made) - self._shape(self.source)
        wanted = self._shape(driving) - self._shape(self.start)
        return float(np.abs(change - wanted).mean())

    def _shape(self, mesh: Mesh) -> Mesh:
        return self.model.fit(mesh)[CAMERA_VALUES:]
