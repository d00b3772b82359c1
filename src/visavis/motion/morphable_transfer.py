"""From the driving person's coefficients of a three-dimensional face to the source person's."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from visavis.motion import camera
from visavis.motion.amounts import Amounts
from visavis.motion.kind import Mode
from visavis.motion.layout import Motion
from visavis.motion.shape import ShapeTransfer


class MorphableTransfer:
    """Identity of the source; expression and camera of the driver.

    Args:
        source: motion of the source picture.
        start: motion of the driving frame that shows the source's pose best; None takes the first that comes.
        mode: relative or absolute, of the camera.
        shape: carries identity and expression, one after the other; None takes the driver's expression as it is.
        amounts: how much of the driver's movement counts.
    """

    def __init__(
        self, source: Motion, start: Motion | None, mode: Mode, *, shape: ShapeTransfer | None, amounts: Amounts
    ) -> None:
        self._source, self._start, self._mode = source, start, mode
        self._shape, self._amounts = shape, amounts
        self._own = source["camera"].astype(np.float64)

    def __call__(self, driving: Motion) -> Motion:
        """Return the motion to render the source with."""
        self._start = self._start or driving
        start, head = self._start["camera"].astype(np.float64), driving["camera"].astype(np.float64)
        move = camera.absolute if self._mode is Mode.ABSOLUTE else camera.relative
        moved = move(self._own, start, head)
        if self._amounts.head != 1:
            moved = camera.scaled(self._own, moved, self._amounts.head)
        return driving.with_parts(
            identity=self._source["identity"],
            expression=self._expression(driving),
            camera=camera.within_reach(self._own, moved),
        )

    def _expression(self, driving: Motion) -> NDArray[np.float64]:
        if self._shape is None:
            return self._amounts.expression * driving["expression"].astype(np.float64)
        return self._shape(whole_shape(driving))[len(driving["identity"]) :]


def whole_shape(motion: Motion) -> NDArray[np.float64]:
    """Identity and expression as one shape, ``[n_id + n_exp]``."""
    return np.concatenate([motion["identity"], motion["expression"]]).astype(np.float64)
