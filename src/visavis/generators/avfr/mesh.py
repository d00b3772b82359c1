"""The face mesh as a network has it: control points of a thin-plate warp, and which of them the camera sees. Ours."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from visavis.face.mesh import CONTROL_POINTS, LEFT_LID_PAIRS, RIGHT_LID_PAIRS
from visavis.face.types import SKIN_POINTS
from visavis.nn.arrays import Tensor, array_like, clipped, exact, library_of

_NEIGHBOURS = 9  # points that span the skin around a control point, itself included
_HIDDEN, _SEEN = -0.1, 0.1  # cosines between a point's normal and the camera: fully let go, fully held
_LET_GO, _HELD = 0.1, 1e-4  # stiffness of the spline at points that are hidden and seen
#: Gap of lids, in units of the unposed face (two pixels at 256), that a spline can close an eye to: nearer, it
#: overshoots and smears the eyeball over the lids. The rest of the way the decoder closes, as the drawing says.
_CLOSEST = 0.05
_LIDS = tuple(
    (CONTROL_POINTS.index(upper), CONTROL_POINTS.index(lower))
    for upper, lower in RIGHT_LID_PAIRS + LEFT_LID_PAIRS
    if upper in CONTROL_POINTS and lower in CONTROL_POINTS
)


@dataclass(frozen=True)
class MeshControls:
    """Control points of the mesh in one pose.

    Attributes:
        points: ``[B, N, 2]``, ``(x, y)`` in [-1, 1].
        stiffness: how little the spline has to mind each point ``[B, N]``, as for :func:`visavis.nn.thin_plate.solve`.
    """

    points: Tensor
    stiffness: Tensor


@dataclass(frozen=True, eq=False)
class ControlPoints:
    """The control points of a linear face model (:class:`visavis.face.morphable.LinearFaceModel`), of either library.

    Attributes:
        mean: of all points, ``float32 [478, 3]``.
        basis: ``float32 [n, 478, 3]``.
    """

    mean: Tensor
    basis: Tensor

    def posed(self, values: Tensor) -> MeshControls:
        """Control points of mesh values ``float32 [B, 6 + n]``.

        Where a head turns so far that its far side faces away, points of that side come to lie over others: the picture
        there belongs to the nearer ones, and a spline held by both folds over and tears the face. So points are let
        go as they turn away.
        """
        xp = library_of(values)
        with exact(values):
            mean, basis, normals = self._still
            shape = _apart(mean + xp.einsum("bn,npd->bpd", values[:, 6:], basis))
            rotation = rotation_matrix(values[:, 3:6]).swapaxes(1, 2)
            turned = shape @ rotation
            # The camera looks along z, so what faces it has a normal towards negative z.
            facing = -(normals @ rotation)[..., 2]
            return MeshControls(
                xp.exp(values[:, 2, None, None]) * turned[..., :2] + values[:, None, :2], _stiffness(facing)
            )

    @cached_property
    def _still(self) -> tuple[Tensor, Tensor, Tensor]:
        """Mean ``[N, 3]``, basis ``[n, N, 3]`` and normals ``[N, 3]`` at the control points."""
        control = list(CONTROL_POINTS)
        return self.mean[control], self.basis[:, control], self._normals(self.mean[control])

    def _normals(self, at: Tensor) -> Tensor:
        """Outward unit normals ``[N, 3]`` of the mean face at the control points; expressions turn them but little."""
        xp = library_of(at)
        skin = self.mean[:SKIN_POINTS]
        apart = at[:, None] - skin
        near = xp.argsort((apart * apart).sum(-1), -1)[:, :_NEIGHBOURS]
        patch = skin[near] - skin[near].mean(1)[:, None]
        spread = patch.swapaxes(1, 2) @ patch
        x, y, z = spread[..., 0], spread[..., 1], spread[..., 2]
        # The adjugate of a flat patch's covariance projects onto its normal, without an eigenvalue's unknown sign.
        adjugate = xp.stack([_cross(y, z), _cross(z, x), _cross(x, y)], 1)
        width = skin[:, 0].max() - skin[:, 0].min()
        outward = at - skin.mean(0) - width * array_like([0, 0, 0.5], at)
        normal = (adjugate @ outward[..., None])[..., 0]
        return normal / clipped(xp.sqrt((normal * normal).sum(-1)[..., None]), 1e-12)  # type: ignore[no-any-return]


def _cross(a: Tensor, b: Tensor) -> Tensor:
    """Cross products of vectors ``[N, 3]``."""
    (ax, ay, az), (bx, by, bz) = (tuple(v[..., i] for i in range(3)) for v in (a, b))
    made = [ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx]
    return library_of(a).stack(made, -1)  # type: ignore[no-any-return]


def _apart(shape: Tensor) -> Tensor:
    """Unposed control points ``[B, N, 3]`` with lids no nearer than a spline can take."""
    upper, lower = (list(side) for side in zip(*_LIDS, strict=True))
    push = library_of(shape).zeros_like(shape)
    half = clipped(_CLOSEST - shape[:, lower, 1] + shape[:, upper, 1], 0) / 2
    push[:, upper, 1], push[:, lower, 1] = -half, half
    return shape + push


def _stiffness(facing: Tensor) -> Tensor:
    """Stiffness of points by the cosine of their normals and the camera, smooth so that nothing jumps in a video."""
    seen = clipped((facing - _HIDDEN) / (_SEEN - _HIDDEN), 0, 1)
    seen = seen * seen * (3 - 2 * seen)
    return library_of(facing).exp(math.log(_LET_GO) + (math.log(_HELD) - math.log(_LET_GO)) * seen)  # type: ignore[no-any-return]


def rotation_matrix(vector: Tensor) -> Tensor:
    """Rodrigues: ``[B, 3]`` rotation vectors to ``[B, 3, 3]`` matrices."""
    xp = library_of(vector)
    angle = clipped(xp.sqrt((vector * vector).sum(-1)), 1e-8)[:, None, None]
    x, y, z = ((vector / angle[:, :, 0])[:, i] for i in range(3))
    zero = xp.zeros_like(x)
    cross = xp.stack([zero, -z, y, z, zero, -x, -y, x, zero], 1).reshape(-1, 3, 3)
    eye = array_like([[1, 0, 0], [0, 1, 0], [0, 0, 1]], vector)
    return eye + xp.sin(angle) * cross + (1 - xp.cos(angle)) * (cross @ cross)  # type: ignore[no-any-return]
