"""Where the eyes look: the irises, which the 3D face has not, beside it.

HeadGAN's face pictures have no irises, so that its people look wherever they looked in the reference. The face mesh
tracks them; here their places become four numbers that hold for any head pose and go from one person to another. Ours.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.face.mesh import LEFT_EYE, RIGHT_EYE, to_pixels
from visavis.face.model3d import rotation_matrices
from visavis.face.types import MESH_POINTS, SKIN_POINTS

Array = NDArray[np.float32]

#: Points of the irises' middles, and of the corners of the eyes around them, outer and inner: right eye, then left.
IRISES = (468, 473)
CORNERS = ((33, 133), (263, 362))
_RINGS = (RIGHT_EYE, LEFT_EYE)
#: Radius of an iris over half the distance of its eye's corners: median over 160 people.
RADIUS = 0.42
#: How far an iris lies in front of its eye's corners, in the same units and of the same people.
FRONT = 0.19
#: The points of an iris about its middle, over its radius: itself, right, above, left, below.
_AROUND = np.array([[0, 0, 0], [1, 0, 0], [0, -1, 0], [-1, 0, 0], [0, 1, 0]], np.float64)
_MOST = 1.5  # beyond this an iris is outside of any eye
_MIRROR = np.array([[-1.0, 1.0]], np.float32)
_SUB_PIXEL_BITS = 4


def gaze_of(meshes: Array, cameras: Array) -> Array:
    """How far the irises are from the middles of their eyes.

    Args:
        meshes: ``float32 [..., 478, 3]`` in crop coordinates.
        cameras: ``float32 [..., 6]`` of them, as of :mod:`visavis.face.model3d`.

    Returns:
        ``float32 [..., 2, 2]``: of the right eye and the left, ``(x, y)`` in the unposed face's axes, in units of half
        the distance of the eye's corners; within 1.5.
    """
    if meshes.shape[-2] < MESH_POINTS:
        raise ValueError(f"meshes need all {MESH_POINTS} points, irises included; got {meshes.shape[-2]}")
    outer, inner = (_unturned(meshes[..., [pair[which] for pair in CORNERS], :], cameras) for which in (0, 1))
    irises = _unturned(meshes[..., IRISES, :], cameras)
    half = np.linalg.norm(outer - inner, axis=-1, keepdims=True) / 2
    away = (irises - (outer + inner) / 2)[..., :2] / np.maximum(half, 1e-6)
    return np.asarray(np.clip(away, -_MOST, _MOST), np.float32)


def irises(points: Array, camera: Array, gaze: Array) -> tuple[Array, Array]:
    """Where the irises of a posed face are.

    Args:
        points: ``float32 [468 or more, 3]`` in crop coordinates.
        camera: ``float32 [6]`` that posed it.
        gaze: ``float32 [2, 2]``.

    Returns:
        Middles ``float32 [2, 2]`` in crop coordinates, and radii ``float32 [2]``.
    """
    middles = with_irises(points[:SKIN_POINTS], camera, gaze)[SKIN_POINTS:]
    half = [np.linalg.norm(points[outer] - points[inner]) / 2 for outer, inner in CORNERS]
    return middles[:, :2], RADIUS * np.array(half, np.float32)


def with_irises(points: Array, cameras: Array, gaze: Array) -> Array:
    """Posed faces with the middles of their irises as two more vertices, right and left.

    Args:
        points: ``float32 [..., 468, 3]`` in crop coordinates.
        cameras: ``float32 [..., 6]`` that posed them.
        gaze: ``float32 [..., 2, 2]``.

    Returns:
        ``float32 [..., 470, 3]``.
    """
    outer, inner = (points[..., [pair[which] for pair in CORNERS], :] for which in (0, 1))
    half = np.linalg.norm(outer - inner, axis=-1, keepdims=True) / 2
    away = np.concatenate([gaze * half, -FRONT * half], -1) @ np.swapaxes(rotation_matrices(cameras[..., 3:6]), -1, -2)
    return np.concatenate([points, (outer + inner) / 2 + away], -2).astype(np.float32)


def whole_mesh(points: Array, camera: Array, gaze: Array) -> Array:
    """A posed face with its irises as the tracker has them: a middle and four points around it, right and left.

    Args:
        points: ``float32 [468, 3]`` in crop coordinates.
        camera: ``float32 [6]`` that posed it.
        gaze: ``float32 [2, 2]``.

    Returns:
        ``float32 [478, 3]``.
    """
    middles = with_irises(points, camera, gaze)[SKIN_POINTS:]
    radii = [RADIUS * np.linalg.norm(points[outer] - points[inner]) / 2 for outer, inner in CORNERS]
    around = _AROUND @ rotation_matrices(camera[3:6]).T
    rings = [middle + radius * around for middle, radius in zip(middles, radii, strict=True)]
    return np.concatenate([points[:SKIN_POINTS], *rings]).astype(np.float32)


def eye_triangles(triangles: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Which triangles ``[T, 3]`` of the mesh fill an eye between its lids, ``bool [T]``."""
    return np.any([np.isin(triangles, ring).all(1) for ring in _RINGS], 0)


def iris_mask(points: Array, camera: Array, gaze: Array, size: int) -> NDArray[np.bool_]:
    """Which pixels show an iris between its lids, ``bool [S, S]``; arguments as of :func:`irises`."""
    shown = np.zeros((size, size), np.uint8)
    at, radii = irises(points, camera, gaze)
    pixels, scale = to_pixels(points, size), 2**_SUB_PIXEL_BITS
    for middle, radius, ring in zip(to_pixels(at, size), radii, _RINGS, strict=True):
        opening, iris = np.zeros_like(shown), np.zeros_like(shown)
        lids = np.rint(np.clip(pixels[list(ring)], -size, 2 * size) * scale).astype(np.int32)
        cv2.fillPoly(opening, [lids], 1, cv2.LINE_8, _SUB_PIXEL_BITS)
        centre = tuple(int(v) for v in np.rint(np.clip(middle, -size, 2 * size) * scale))
        cv2.circle(iris, centre, round(float(radius) * size / 2 * scale), 1, -1, cv2.LINE_8, _SUB_PIXEL_BITS)
        shown |= opening & iris
    return shown.astype(bool)


def mirrored_gaze(gaze: Array) -> Array:
    """What :func:`gaze_of` gives in a mirror."""
    return np.asarray(gaze[..., ::-1, :] * _MIRROR, np.float32)


def _unturned(points: Array, cameras: Array) -> NDArray[np.float64]:
    """Points ``[..., n, 3]`` turned back by the cameras' rotation; place and size stay."""
    return np.asarray(points @ rotation_matrices(cameras[..., 3:6]), np.float64)
