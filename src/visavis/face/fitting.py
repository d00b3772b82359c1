"""From meshes to cameras and coefficients of the 3D face (HeadGAN section 3.1): closed form, a clip at once.

Alternating least squares, camera and then coefficients, would end after one round: the bases of the model are
orthogonal to moving, turning and growing of the mean, which is linear in a shape and just the condition under which
the weighted similarity (Umeyama 1991) from the mean to that shape is the identity. So the camera is that similarity,
whatever the shape; the coefficients are projections of the unposed mesh, drawn to zero as much as their scale and the
noise of meshes say. The 3D points are the tracker's 468, where the paper takes about a thousand of RetinaFace.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visavis.face.model3d import FaceModel, load_face_model, rigid_weights, rotation_vectors
from visavis.face.types import SKIN_POINTS

Array = NDArray[np.float32]

#: Variance of a mesh's points about the model, in its units: 0.15 pixels where a face is 100 wide.
_NOISE = 1e-5
#: Expressions of frames within half a second are much the same one.
_FRAMES_ALIKE = 12
_SMALLEST = 1e-6


@dataclass(frozen=True)
class Fit:
    """A clip, or one frame, as the 3D face.

    Attributes:
        camera: ``float32 [T, 6]`` (of one frame ``[6]``): tx, ty, log scale, rotation vector.
        identity: ``float32 [n_id]``.
        expression: ``float32 [T, n_exp]`` (of one frame ``[n_exp]``).
        rest: ``float32 [n_exp]``, the person's likely resting expression: what :meth:`FaceModel.moved_as` wants.
    """

    camera: Array
    identity: Array
    expression: Array
    rest: Array


def fit_clip(meshes: Array, model: FaceModel | None = None) -> Fit:
    """Fit frames of one person: identity once, camera and expression of each frame.

    Args:
        meshes: ``float32 [T, 478 or 468, 3]`` in [-1, 1] over the crop, T at least 1. Their depth may have any origin.
        model: the packaged one by default.
    """
    if meshes.ndim != 3 or meshes.shape[1] < SKIN_POINTS or meshes.shape[2] != 3 or not len(meshes):
        raise ValueError(f"meshes must be [T, {SKIN_POINTS} or more, 3], not {list(meshes.shape)}")
    model = model or load_face_model()
    camera, identities, expression = _measured(model, meshes)
    person = IdentityTrack(model, settled=len(meshes))
    person.add(identities, expression)
    return Fit(camera, person.identity, _damped(model, expression), person.rest)


def fit_frame(
    mesh: Array, identity: Array | None = None, before: Fit | None = None, model: FaceModel | None = None
) -> Fit:
    """Fit one frame.

    Args:
        mesh: ``float32 [478 or 468, 3]`` in [-1, 1] over the crop.
        identity: ``float32 [n_id]`` where it is known already, from this frame alone otherwise.
        before: the fit of the frame before: its rest is held, and a turn beyond half a circle goes on from there.
        model: the packaged one by default.
    """
    model = model or load_face_model()
    fit = fit_clip(mesh[None], model)
    camera = fit.camera[0]
    if before is not None:
        camera[3:6] = _continued(camera[3:6], before.camera[3:6])
    return Fit(
        camera,
        fit.identity if identity is None else np.asarray(identity, np.float32),
        fit.expression[0],
        fit.rest if before is None else before.rest,
    )


class IdentityTrack:
    """Who is seen, from frames as they come: means that settle.

    Args:
        model: the packaged one by default.
        settled: after so many frames nothing changes any more.
    """

    def __init__(self, model: FaceModel | None = None, settled: int = 250) -> None:
        self._model = model or load_face_model()
        self._settled = settled
        self.frames = 0
        self._identity = np.zeros(len(self._model.identity))
        self._expression = np.zeros(len(self._model.expression))

    def see(self, mesh: Array) -> Fit:
        """Take in one frame's mesh ``float32 [478 or 468, 3]`` and fit it with what is known by then."""
        camera, identities, expression = _measured(self._model, mesh[None])
        self.add(identities, expression)
        return Fit(camera[0], self.identity, _damped(self._model, expression)[0], self.rest)

    def add(self, identities: Array, expressions: Array) -> None:
        """Take in frames' plain projections ``[T, n_id]`` and ``[T, n_exp]``."""
        count = min(len(identities), self._settled - self.frames)
        if count > 0:
            self.frames += count
            share = count / self.frames
            self._identity += share * (identities[:count].mean(0, dtype=np.float64) - self._identity)
            self._expression += share * (expressions[:count].mean(0, dtype=np.float64) - self._expression)

    @property
    def identity(self) -> Array:
        """``float32 [n_id]``: the likeliest, nought before the first frame."""
        noise = _NOISE / max(self.frames, 1)
        known = self._model.identity_scale.astype(np.float64) ** 2
        return np.asarray(self._identity * known / (known + noise), np.float32)

    @property
    def rest(self) -> Array:
        """``float32 [n_exp]``: the mean expression, drawn to zero by as much of it as may be a passing one."""
        own = self._model.rest_scale.astype(np.float64) ** 2
        passing = self._model.expression_scale.astype(np.float64) ** 2 / max(self.frames / _FRAMES_ALIKE, 1)
        return np.asarray(self._expression * own / (own + passing), np.float32)


@dataclass(frozen=True)
class Heads:
    """Rigid motion of frames against one face, and how large they are.

    Attributes:
        cameras: ``float64 [T, 6]``: tx, ty, log scale, rotation vector.
        rotation: ``float64 [T, 3, 3]``.
        scale: ``float64 [T]``.
        middle: ``[T, 3]``, weighted mean of each frame's points.
    """

    cameras: NDArray[np.float64]
    rotation: NDArray[np.float64]
    scale: NDArray[np.float64]
    middle: NDArray[Any]


def heads_of(points: NDArray[Any], face: NDArray[Any], weight: NDArray[Any]) -> Heads:
    """The weighted similarity from a face to each frame (Umeyama 1991).

    Args:
        points: ``[T, P, 3]`` in crop coordinates. Their depth may have any origin.
        face: ``[P, 3]``, unposed.
        weight: ``[P]``, how much each point counts; they sum to 1.
    """
    centre = weight @ face
    still = face - centre
    weighted = weight[:, None] * still
    middle = np.einsum("p,tpd->td", weight, points)
    moved = points - middle[:, None]
    u, singular, vt = np.linalg.svd(np.swapaxes(moved, 1, 2).astype(np.float64) @ weighted)
    sign = np.ones_like(singular)
    sign[:, 2] = np.sign(np.linalg.det(u @ vt))
    rotation = (u * sign[:, None]) @ vt
    scale = np.maximum((singular * sign).sum(1) / float((weighted * still).sum()), _SMALLEST)
    shift = middle - scale[:, None] * (rotation @ centre)
    cameras = np.concatenate([shift[:, :2], np.log(scale)[:, None], rotation_vectors(rotation)], 1)
    return Heads(cameras, rotation, scale, middle)


def _measured(model: FaceModel, meshes: Array) -> tuple[Array, Array, Array]:
    """Cameras ``[T, 6]`` and plain projections ``[T, n_id]``, ``[T, n_exp]`` of meshes."""
    weight = rigid_weights()
    points = np.asarray(meshes[:, :SKIN_POINTS], np.float32)
    heads = heads_of(points, model.mean, weight)
    # Unposed, about the mean's centre; what is left of the mean there is what its centre is.
    turned = (heads.rotation / heads.scale[:, None, None]).astype(np.float32)
    unposed = (points - heads.middle[:, None]) @ turned - (model.mean - weight @ model.mean)
    flat = unposed.reshape(len(points), -1)
    camera = heads.cameras
    identity = flat @ model.identity.reshape(len(model.identity), -1).T
    expression = flat @ model.expression.reshape(len(model.expression), -1).T
    return camera.astype(np.float32), identity, expression


def _damped(model: FaceModel, expression: Array) -> Array:
    known = model.expression_scale**2 + model.rest_scale**2
    return np.asarray(expression * (known / (known + np.float32(_NOISE))), np.float32)


def _continued(turn: Array, before: Array) -> Array:
    """Of the two ways to say a rotation that lie about half a circle, the one that is nearer to the frame before."""
    angle = float(np.linalg.norm(turn))
    if angle < np.pi / 2:
        return turn
    other = np.asarray(turn * (1 - 2 * np.pi / angle), np.float32)
    return min(turn, other, key=lambda way: float(np.linalg.norm(way - before)))


def vertex_error(meshes: Array, fit: Fit, model: FaceModel | None = None) -> Array:
    """Mean distance of points in the picture and in depth, ``float32 [T]``, in crop coordinates.

    Depth is compared from its mean on, since cameras have no place along it.
    """
    model = model or load_face_model()
    apart = meshes[:, :SKIN_POINTS] - model.points(fit.camera, fit.identity, fit.expression)
    apart[..., 2] -= apart[..., 2].mean(-1, keepdims=True)
    return np.asarray(np.linalg.norm(apart, axis=-1).mean(-1), np.float32)
