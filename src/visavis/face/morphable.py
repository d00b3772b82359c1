"""A linear model of the face mesh: camera, and shape coefficients learned from mesh tracks.

A mesh is ``scale * R @ (mean + basis^T c) + t`` under weak perspective. The coefficients ``c`` hold identity and
expression together; differences between two meshes of one person are expression alone, which is what
motion transfer uses. It lets dense mesh motion travel as a short vector instead of 478 points.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.face.mesh import LEFT_EYE, LEFT_IRIS, LIPS, RIGHT_EYE, RIGHT_IRIS
from visavis.face.types import MESH_POINTS, SKIN_POINTS

#: Values before the shape coefficients: ``tx, ty, log scale, rotation vector (3)``.
CAMERA_VALUES = 6

Array = NDArray[np.float32]


def point_weights() -> Array:
    """How much each point counts in the basis, ``[478]``: lids, irises, lips are small but are what people look at."""
    weights = np.ones(MESH_POINTS, np.float32)
    weights[list(LIPS + LEFT_EYE + RIGHT_EYE)] = 3
    weights[[*LEFT_IRIS, *RIGHT_IRIS, 468, 473]] = 3
    return weights


def rigid_weights() -> Array:
    """How much each point counts in the camera, ``[478]``: what jaw, lips, lids move must not read as head motion."""
    weights = np.ones(MESH_POINTS, np.float32)
    weights[list(LIPS + LEFT_EYE + RIGHT_EYE)] = 0.02
    weights[SKIN_POINTS:] = 0
    weights[[152, 148, 176, 149, 150, 136, 172, 377, 400, 378, 379, 365, 397, 18, 200, 199, 175, 83, 313]] = 0.05
    return weights


_RIGID = rigid_weights()
_SQUARES = point_weights()[:, None] ** 2


def align(mesh: Array, reference: Array) -> tuple[float, Array, Array]:
    """Weighted similarity from ``reference`` to ``mesh`` (Umeyama 1991).

    Args:
        mesh: ``float32 [478, 3]``.
        reference: ``float32 [478, 3]``.

    Returns:
        ``(scale, R [3, 3], t [3])`` with ``mesh ~ scale * reference @ R.T + t``.
    """
    weight = (_RIGID / _RIGID.sum())[:, None]
    centre_m, centre_r = (weight * mesh).sum(0), (weight * reference).sum(0)
    m, r = mesh - centre_m, reference - centre_r
    u, singular, vt = np.linalg.svd((weight * m).T @ r)
    sign = np.ones(3)
    sign[2] = np.sign(np.linalg.det(u @ vt))
    rotation = (u * sign) @ vt
    scale = float((singular * sign).sum() / (weight * r * r).sum())
    scale = max(scale, 1e-6)
    return scale, rotation.astype(np.float32), (centre_m - scale * rotation @ centre_r).astype(np.float32)


@dataclass(frozen=True)
class LinearFaceModel:
    """Mean and basis of unposed face meshes.

    Attributes:
        mean: ``float32 [478, 3]``, its rigid part centred on the origin with unit size.
        basis: ``float32 [n, 478, 3]``; orthonormal under the point weights.
    """

    mean: Array
    basis: Array

    @property
    def size(self) -> int:
        """Length of a coefficient vector, camera included."""
        return CAMERA_VALUES + len(self.basis)

    def fit(self, mesh: Array) -> Array:
        """Return ``float32 [6 + n]``: camera ``(tx, ty, log scale, rotation vector)``, then shape coefficients.

        Args:
            mesh: ``float32 [478, 3]`` in [-1, 1] over the crop.
        """
        scale, rotation, shift = align(mesh, self.mean)
        unposed = (mesh - shift) @ rotation / scale
        shape = np.einsum("npd,pd->n", self.basis, _SQUARES * (unposed - self.mean))
        turn = cv2.Rodrigues(rotation.astype(np.float64))[0][:, 0]
        return np.concatenate([shift[:2], [np.log(scale)], turn, shape]).astype(np.float32)

    def fit_all(self, meshes: Array) -> Array:
        """Return :meth:`fit` of meshes ``float32 [N, 478, 3]``, all at once: ``float32 [N, 6 + n]``."""
        rigid = (_RIGID / _RIGID.sum())[:, None]
        middle, centre = (rigid * meshes).sum(1, keepdims=True), (rigid * self.mean).sum(0)
        moved, still = meshes - middle, self.mean - centre
        u, singular, vt = np.linalg.svd(np.einsum("npi,pj->nij", rigid * moved, still))
        sign = np.ones((len(meshes), 3))
        sign[:, 2] = np.sign(np.linalg.det(u @ vt))
        rotation = (u * sign[:, None]) @ vt
        scale = np.maximum((singular * sign).sum(1) / (rigid * still * still).sum(), 1e-6)[:, None, None]
        shift = middle - scale * (rotation @ centre)[:, None]
        unposed = ((meshes - shift) @ rotation / scale).astype(np.float32)
        weighted = (self.basis * _SQUARES).reshape(len(self.basis), -1)
        shape = (unposed - self.mean).reshape(len(meshes), -1) @ weighted.T
        turns = [cv2.Rodrigues(turn.astype(np.float64))[0][:, 0] for turn in rotation]
        camera = [shift[:, 0, :2], np.log(scale[:, 0]), np.reshape(turns, (len(meshes), 3))]
        return np.concatenate([*camera, shape], 1).astype(np.float32)

    def points(self, coefficients: Array) -> Array:
        """Return the mesh ``float32 [478, 3]`` of a coefficient vector; its depth is centred on zero."""
        shape = self.mean + np.einsum("n,npd->pd", coefficients[CAMERA_VALUES:], self.basis)
        rotation = cv2.Rodrigues(coefficients[3:6].astype(np.float64))[0]
        posed = np.exp(coefficients[2]) * shape @ rotation.T
        posed[:, :2] += coefficients[:2]
        return posed.astype(np.float32)


def learn(meshes: Array, size: int, rounds: int = 3) -> LinearFaceModel:
    """Learn a model from meshes ``float32 [N, 478, 3]`` of many people: alignment to the mean, then PCA.

    Args:
        meshes: training meshes in [-1, 1] over their crops.
        size: number of shape coefficients n.
        rounds: how often the mean is aligned anew.
    """
    mean = meshes[np.argmin(np.abs(meshes[:, 4, 0] - meshes[:, 168, 0]))]
    mean = _normalised(mean)
    for _ in range(rounds):
        unposed = np.stack([_unpose(mesh, mean) for mesh in meshes])
        mean = _normalised(unposed.mean(0))
    unposed = np.stack([_unpose(mesh, mean) for mesh in meshes])
    weights = point_weights()[None, :, None]
    residual = ((unposed - mean) * weights).reshape(len(meshes), -1).astype(np.float64)
    _, vectors = np.linalg.eigh(residual.T @ residual)
    components = vectors[:, ::-1][:, :size].T.reshape(size, MESH_POINTS, 3)
    # Contiguous, since the order in memory is the order of sums: a stored model must fit as the learned one does.
    basis = np.ascontiguousarray(components / weights, np.float32)
    return LinearFaceModel(np.ascontiguousarray(mean, np.float32), basis)


def _normalised(mesh: Array) -> Array:
    weight = (_RIGID / _RIGID.sum())[:, None]
    centred = mesh - (weight * mesh).sum(0)
    return (centred / np.sqrt((weight * centred**2).sum())).astype(np.float32)


def _unpose(mesh: Array, mean: Array) -> Array:
    scale, rotation, shift = align(mesh, mean)
    return ((mesh - shift) @ rotation / scale).astype(np.float32)
