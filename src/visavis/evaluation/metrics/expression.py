"""Expression distance on coefficients of the 3D face (HeadGAN's AED, section 4.3)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from visavis.face.fitting import fit_frame
from visavis.face.model3d import FaceModel

Mesh = NDArray[np.float32]


@dataclass(frozen=True)
class ExpressionDistance:
    """Mean absolute difference of expression coefficients.

    People rest in different expressions, which identity coefficients do not hold (:mod:`visavis.face.model3d`), so
    what is compared is the change since a frame of the same person: of the source for the rendered face, of the
    driving clip's first frame for the driver. With one and the same person both are the same frame and it cancels.

    Attributes:
        model: the 3D face.
        source: mesh of the source, ``float32 [478, 3]`` in [-1, 1].
        start: mesh of the driving clip's first frame.
    """

    model: FaceModel
    source: Mesh
    start: Mesh

    def __call__(self, made: Mesh, driving: Mesh) -> float:
        """Distance of one rendered mesh to the driving mesh, both ``float32 [478, 3]`` in [-1, 1]."""
        change = self._expression(made) - self._expression(self.source)
        wanted = self._expression(driving) - self._expression(self.start)
        return float(np.abs(change - wanted).mean())

    def _expression(self, mesh: Mesh) -> Mesh:
        return fit_frame(mesh, model=self.model).expression
