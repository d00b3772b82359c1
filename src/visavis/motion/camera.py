"""From the driver's head to the source's: place, size and turn, the first six mesh values."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.face.morphable import CAMERA_VALUES

Array = NDArray[np.float64]
SCALE_RANGE = (0.5, 2.0)


def rotation(camera: Array) -> Array:
    """Matrix ``[3, 3]`` of camera values ``[6]``."""
    return np.asarray(cv2.Rodrigues(np.asarray(camera[3:CAMERA_VALUES], np.float64))[0], np.float64)


def relative(source: Array, start: Array, driving: Array) -> Array:
    """The source's camera ``[6]``, moved as the driver's has since ``start``; shifts grow with the source's face."""
    scale = float(np.clip(np.exp(source[2] - start[2]), *SCALE_RANGE))
    return _joined(
        source[:2] + scale * (driving[:2] - start[:2]),
        source[2] + driving[2] - start[2],
        rotation(driving) @ rotation(start).T @ rotation(source),
    )


def absolute(source: Array, usual: Array, driving: Array) -> Array:
    """The driver's head as it is turned, with the source's place, size and tilt.

    Args:
        source: ``[6]`` of the source.
        usual: ``[6]`` of the driver, over time.
        driving: ``[6]`` of the driver now.
    """
    scale = float(np.clip(np.exp(source[2] - usual[2]), *SCALE_RANGE))
    tilt = _roll(rotation(source)) - _roll(rotation(usual))
    level = cv2.Rodrigues(np.array([0.0, 0.0, tilt]))[0]
    return _joined(
        source[:2] + scale * (driving[:2] - usual[:2]),
        source[2] + driving[2] - usual[2],
        level @ rotation(driving),
    )


def _roll(turn: Array) -> float:
    """Radians by which the face's own horizontal is tilted in the picture."""
    return float(np.arctan2(turn[1, 0], turn[0, 0]))


def _joined(shift: Array, log_scale: float, turn: Array) -> Array:
    return np.concatenate([shift, [log_scale], cv2.Rodrigues(turn)[0][:, 0]])
