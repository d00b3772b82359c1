"""The 3D face: identity and expression in two orthonormal bases, and a camera (HeadGAN section 3.1, equation 1).

A face is ``scale * R @ (mean + U_id p_id + U_exp p_exp) + t`` under weak perspective, in coordinates of the crop: x to
the right, y down, z away from the camera. Every row of both bases is orthogonal to every other, and to moving, turning
and growing of the mean under :func:`rigid_weights`, so that a camera and coefficients are found in closed form
(:mod:`visavis.face.fitting`).

What moves in faces and what differs between them are much the same directions (a long jaw, an open mouth), and in
orthogonal bases each direction belongs to one part alone. The expression has them: a face must be able to move. So a
person is identity coefficients *and* a resting expression; :meth:`FaceModel.moved_as` takes both into account.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visavis.core.config import build
from visavis.core.errors import ConfigError, WeightsError
from visavis.face import morphable
from visavis.face.mirror import MIRROR
from visavis.face.types import SKIN_POINTS
from visavis.weights.checkpoint import arrays, check_shapes, load, save
from visavis.weights.store import resolve

Array = NDArray[np.float32]

FAMILY = "face-model"
PACKAGED_NAME = "face-3d"
TRIANGLES = 898
#: The first of the triangles are skin; the others fill mouth and eyes.
SKIN_TRIANGLES = 852
MOST_COEFFICIENTS = 512
_MIRRORED = MIRROR[:SKIN_POINTS]


def rigid_weights() -> Array:
    """How much each of the 468 points counts in the camera; they sum to 1."""
    weights = morphable.rigid_weights()[:SKIN_POINTS]
    return np.asarray(weights / weights.sum(), np.float32)


@dataclass(frozen=True)
class FaceModelConfig:
    """Sizes of a model.

    Attributes:
        identity, expression: numbers of coefficients.
    """

    identity: int = 40
    expression: int = 30

    def __post_init__(self) -> None:
        for field in fields(self):
            if not 1 <= getattr(self, field.name) <= MOST_COEFFICIENTS:
                raise ValueError(f"{field.name} must be 1 to {MOST_COEFFICIENTS}")

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of the tensors of a weights file of family ``face-model``."""
        return {
            "mean": (SKIN_POINTS, 3),
            "identity": (self.identity, SKIN_POINTS, 3),
            "expression": (self.expression, SKIN_POINTS, 3),
            "identity_scale": (self.identity,),
            "expression_scale": (self.expression,),
            "rest_scale": (self.expression,),
            "triangles": (TRIANGLES, 3),
        }


@dataclass(frozen=True, eq=False)
class FaceModel:
    """Mean and bases of unposed faces, of the 468 points of the face mesh without irises.

    Attributes:
        mean: ``float32 [468, 3]``, its rigid part centred on the origin with unit size; symmetric.
        identity: ``float32 [n_id, 468, 3]``, orthonormal.
        expression: ``float32 [n_exp, 468, 3]``, orthonormal, and orthogonal to ``identity``.
        triangles: ``int32 [898, 3]``, oriented so that those that face the camera run clockwise in the picture.
        identity_scale: ``float32 [n_id]``, standard deviation of each coefficient between people.
        expression_scale: ``float32 [n_exp]``, that within clips of one person.
        rest_scale: ``float32 [n_exp]``, that of people's mean expression between people.
    """

    mean: Array
    identity: Array
    expression: Array
    triangles: NDArray[np.int32]
    identity_scale: Array
    expression_scale: Array
    rest_scale: Array

    @cached_property
    def mirror_signs(self) -> tuple[Array, Array]:
        """For identity and expression, ``float32 [n]``: 1 where a mode is its own mirror image, -1 where the opposite.

        Coefficients of a mirrored face are those of the face times these. Models that were not learned symmetrically
        have values in between, and no such rule.
        """
        flip = np.array([-1, 1, 1], np.float32)
        return (
            np.einsum("npd,npd->n", self.identity, self.identity[:, _MIRRORED] * flip),
            np.einsum("npd,npd->n", self.expression, self.expression[:, _MIRRORED] * flip),
        )

    def shape(self, identity: Array, expression: Array) -> Array:
        """Unposed faces ``float32 [..., 468, 3]`` (equation 1) of coefficients ``[..., n_id]`` and ``[..., n_exp]``."""
        moved = np.asarray(identity, np.float32) @ self.identity.reshape(len(self.identity), -1)
        moved = moved + np.asarray(expression, np.float32) @ self.expression.reshape(len(self.expression), -1)
        return np.asarray(self.mean + moved.reshape(*moved.shape[:-1], SKIN_POINTS, 3), np.float32)

    def points(self, camera: Array, identity: Array, expression: Array) -> Array:
        """Faces ``float32 [..., 468, 3]`` in crop coordinates.

        Args:
            camera: ``float32 [..., 6]``: tx, ty, log scale, rotation vector (radians).
            identity: ``float32 [..., n_id]``.
            expression: ``float32 [..., n_exp]``.
        """
        camera = np.asarray(camera, np.float32)
        shape = self.shape(identity, expression)
        turn = rotation_matrices(camera[..., 3:6]) * np.exp(camera[..., 2, None, None])
        posed = shape @ np.swapaxes(turn, -1, -2).astype(np.float32)
        posed[..., :2] += camera[..., None, :2]
        return np.asarray(posed, np.float32)

    def moved_as(self, expression: Array, *, rest: Array, own_rest: Array) -> Array:
        """Expression coefficients of one person who moves as another does.

        Args:
            expression: ``float32 [..., n_exp]`` of the driving person.
            rest: ``float32 [n_exp]``, that person's resting expression (:class:`visavis.face.fitting.Fit`).
            own_rest: ``float32 [n_exp]`` of the person who shall move.
        """
        return np.asarray(expression - rest + own_rest, np.float32)

    def save(self, path: Path, meta: dict[str, object]) -> None:
        """Write a weights file; raises :class:`OutputError` where that cannot be."""
        import torch

        tensors = {field.name: torch.from_numpy(np.array(getattr(self, field.name))) for field in fields(self)}
        config = FaceModelConfig(len(self.identity), len(self.expression))
        save(path, tensors, family=FAMILY, config=asdict(config), meta=meta)


def load_face_model(path: Path | str | None = None) -> FaceModel:
    """Load a face model by path or name; the packaged one by default.

    Raises:
        WeightsError: nothing of that name, damaged, of another family, or with triangles of points that it lacks.
    """
    return _loaded(resolve(str(path or PACKAGED_NAME)))


@cache
def _loaded(path: Path) -> FaceModel:
    header = load(path, tensors=False)
    if header.family != FAMILY:
        raise WeightsError(f"{path}: is of family '{header.family}'; '{FAMILY}' is needed")
    try:
        shapes = build(FaceModelConfig, header.config).shapes()
    except (ConfigError, ValueError) as error:
        raise WeightsError(f"{path}: its config describes no network of family '{FAMILY}' ({error})") from error
    check_shapes(shapes, header, path)
    found = arrays(path, shapes)
    triangles = found["triangles"]
    if triangles.min() < 0 or triangles.max() >= SKIN_POINTS:
        raise WeightsError(f"{path}: has triangles of other points than the {SKIN_POINTS} of the face mesh")
    if not all(np.isfinite(values).all() for values in found.values()):
        raise WeightsError(f"{path}: holds numbers that are not finite")
    for values in found.values():
        values.setflags(write=False)
    return FaceModel(**found)


def rotation_matrices(vectors: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Rotations ``float64 [..., 3, 3]`` of rotation vectors ``[..., 3]`` in radians (Rodrigues)."""
    x, y, z = np.moveaxis(np.asarray(vectors, np.float64), -1, 0)
    nothing = np.zeros_like(x)
    cross = np.stack([nothing, -z, y, z, nothing, -x, -y, x, nothing], -1).reshape(*x.shape, 3, 3)
    angle = np.sqrt(x * x + y * y + z * z)[..., None, None]
    # sinc is exact at zero, where the quotients are not.
    sine, cosine = np.sinc(angle / np.pi), 0.5 * np.sinc(angle / (2 * np.pi)) ** 2
    return np.asarray(np.eye(3) + sine * cross + cosine * (cross @ cross), np.float64)


def rotation_vectors(matrices: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Rotation vectors ``float64 [..., 3]`` of rotations ``[..., 3, 3]``, at most pi long; by way of quaternions."""
    m = np.asarray(matrices, np.float64)
    xx, yy, zz = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    # 4 q q^T; its row of the largest entry on the diagonal is the best conditioned.
    outer = np.stack(
        [
            *(1 + xx + yy + zz, m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]),
            *(m[..., 2, 1] - m[..., 1, 2], 1 + xx - yy - zz, m[..., 1, 0] + m[..., 0, 1], m[..., 0, 2] + m[..., 2, 0]),
            *(m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] + m[..., 0, 1], 1 - xx + yy - zz, m[..., 2, 1] + m[..., 1, 2]),
            *(m[..., 1, 0] - m[..., 0, 1], m[..., 0, 2] + m[..., 2, 0], m[..., 2, 1] + m[..., 1, 2], 1 - xx - yy + zz),
        ],
        -1,
    ).reshape(*m.shape[:-2], 4, 4)
    best = np.argmax(np.diagonal(outer, axis1=-2, axis2=-1), -1)
    q = np.take_along_axis(outer, best[..., None, None], -2)[..., 0, :]
    q = q / np.linalg.norm(q, axis=-1, keepdims=True) * np.where(q[..., :1] < 0, -1, 1)
    sine = np.linalg.norm(q[..., 1:], axis=-1, keepdims=True)
    angle = 2 * np.arctan2(sine, q[..., :1])
    return np.asarray(q[..., 1:] * np.where(sine > 1e-12, angle / np.maximum(sine, 1e-12), 2.0), np.float64)
