"""What the face room hands on.

Convention:
    Points are ``(x, y)`` or ``(x, y, z)``. In a :class:`Face` they are pixels of the full frame; in an
    :class:`Observation` they are in [-1, 1] over the aligned crop, where -1 and 1 are the outer EDGES of the
    first and last pixel (``align_corners=False``): ``p = 2 * x_pixel_edge / size - 1``. ``z`` has the scale of ``x``,
    smaller is nearer to the camera.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

MESH_POINTS = 478  # 468 of the face mesh and 5 of each iris
SKIN_POINTS = 468  # the first of them


@dataclass(frozen=True, slots=True)
class Face:
    """One face found in a full frame.

    Attributes:
        mesh: ``float32 [478, 3]`` in pixels of the frame.
    """

    mesh: NDArray[np.float32]

    @property
    def box(self) -> tuple[float, float, float, float]:
        """``(left, top, right, bottom)`` of the mesh in pixels."""
        low, high = self.mesh[:, :2].min(0), self.mesh[:, :2].max(0)
        return float(low[0]), float(low[1]), float(high[0]), float(high[1])

    @property
    def side(self) -> float:
        """The longer side of the box in pixels."""
        left, top, right, bottom = self.box
        return max(right - left, bottom - top)

    @property
    def middle(self) -> tuple[float, float]:
        """Mean ``(x, y)`` of the mesh in pixels."""
        x, y = self.mesh[:, :2].mean(0)
        return float(x), float(y)

    @property
    def extent(self) -> float:
        """Size in pixels however the head is turned: the spread of the points in three dimensions."""
        return float(np.sqrt(np.square(self.mesh - self.mesh.mean(0)).sum(1).mean()))


@dataclass(frozen=True, slots=True)
class Observation:
    """An aligned face crop with exactly the priors that were asked for.

    Attributes:
        picture: ``uint8 [S, S, 3]`` RGB crop, S the generator's size.
        time: exact time of the frame in seconds.
        mesh: ``float32 [478, 3]`` in [-1, 1], or None when not asked for.
        segmentation: ``uint8 [S, S]``, 255 is person, or None when not asked for.
    """

    picture: NDArray[np.uint8]
    time: Fraction = Fraction(0)
    mesh: NDArray[np.float32] | None = None
    segmentation: NDArray[np.uint8] | None = None
