"""From the driver's head to the source's: place, size and turn, the first six mesh values."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.face.morphable import CAMERA_VALUES
from visavis.motion.limits import softened

Array = NDArray[np.float64]
SCALE_RANGE = (0.5, 2.0)
# From the source's own pose: radians of turn, and natural logarithm of size.
_TURN_FREE, _TURN_MOST = 0.40, 0.62
_SIZE_FREE, _SIZE_MOST = 0.25, 0.40
# A face's reach from its middle to the sides, and up and down, in units of its scale.
_REACH = np.array([1.15, 1.65])
_LEAST_ROOM = 0.15


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


def scaled(source: Array, moved: Array, amount: float) -> Array:
    """A camera ``[6]`` as far from the source's as ``amount`` of the way that it has moved."""
    own = rotation(source)
    turn = cv2.Rodrigues(rotation(moved) @ own.T)[0][:, 0]
    near = source[:3] + amount * (moved[:3] - source[:3])
    return _joined(near[:2], float(near[2]), cv2.Rodrigues(amount * turn)[0] @ own)


def turned(camera: Array, yaw: float, pitch: float, roll: float, *, behind: float = 0.0) -> Array:
    """A camera ``[6]`` whose head is turned by degrees about its own axes; signs as for :class:`HeadAngles`.

    Args:
        camera: of the head.
        yaw, pitch, roll: in degrees.
        behind: how far behind the face's middle the point lies that stays, in units of the face's scale.
    """
    own = rotation(camera)
    turn = own @ cv2.Rodrigues(np.radians([pitch, -yaw, roll]))[0]
    shift = behind * np.exp(camera[2]) * (own - turn)[:2, 2]
    return _joined(camera[:2] + shift, float(camera[2]), turn)


def turn_between(source: Array, moved: Array) -> dict[str, float]:
    """Degrees ``yaw``, ``pitch``, ``roll`` between two heads ``[6]``: what :func:`turned` takes."""
    pitch, yaw, roll = np.degrees(cv2.Rodrigues(rotation(source).T @ rotation(moved))[0][:, 0])
    return {"yaw": -float(yaw), "pitch": float(pitch), "roll": float(roll)}


def within_reach(source: Array, moved: Array) -> Array:
    """A camera ``[6]`` bent towards where the source's picture can still be shown.

    One picture knows nothing of the head's other sides, and nothing beyond its edges: a head that is turned too far, or
    leaves the picture, would be torn. So turns are kept up to 23 degrees and end at 36, and the face stays inside.
    """
    shift = moved[:2] - source[:2]
    room = np.maximum(1 - np.abs(source[:2]) - _REACH * np.exp(source[2]), _LEAST_ROOM)
    shift = np.array([np.sign(d) * softened(abs(d), most / 2, most) for d, most in zip(shift, room, strict=True)])
    size = float(moved[2] - source[2])
    size = float(np.sign(size)) * softened(abs(size), _SIZE_FREE, _SIZE_MOST)
    own = rotation(source)
    turn = cv2.Rodrigues(rotation(moved) @ own.T)[0][:, 0]
    angle = float(np.linalg.norm(turn))
    turn = turn * (softened(angle, _TURN_FREE, _TURN_MOST) / max(angle, 1e-9))
    return _joined(source[:2] + shift, source[2] + size, cv2.Rodrigues(turn)[0] @ own)


def _roll(turn: Array) -> float:
    """Radians by which the face's own horizontal is tilted in the picture."""
    return float(np.arctan2(turn[1, 0], turn[0, 0]))


def _joined(shift: Array, log_scale: float, turn: Array) -> Array:
    return np.concatenate([shift, [log_scale], cv2.Rodrigues(turn)[0][:, 0]])
