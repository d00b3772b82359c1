"""Frames between two that were sent (thesis, section 3.3.4).

The seam for networks that interpolate: anything that is called as :func:`by_motion` is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from visavis.media.frame import Pixels
from visavis.pipelines.call.painter import Array


@dataclass(frozen=True)
class Gap:
    """What is known of a frame between two.

    Attributes:
        before, after: the generated neighbours ``uint8 [S, S, 3]``.
        before_vector, after_vector: their motion ``float32 [D]``.
        share: place between them, 0 to 1.
    """

    before: Pixels
    after: Pixels
    before_vector: Array
    after_vector: Array
    share: float

    @property
    def vector(self) -> Array:
        """Motion on the straight line between the neighbours."""
        return np.asarray(self.before_vector + self.share * (self.after_vector - self.before_vector), np.float32)


#: Paints a motion vector from the pivot of the nearer neighbour, with the sound of the frame's time.
Paint = Callable[[Array], Pixels]
Between = Callable[[Gap, Paint], Pixels]


def by_motion(gap: Gap, paint: Paint) -> Pixels:
    """Move the pivot by the motion between: as dear as a frame that was sent, and as sharp."""
    return paint(gap.vector)
