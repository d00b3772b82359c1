"""The face mesh as a network has it: control points of a thin-plate warp, and which of them the camera sees. Ours."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from visavis.face.mesh import CONTROL_POINTS, LEFT_LID_PAIRS, RIGHT_LID_PAIRS
from visavis.face.types import MESH_POINTS, SKIN_POINTS

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


class MeshModel(nn.Module):
    """The linear face model as buffers, so that a receiver has it with the weights.

    See :class:`visavis.face.morphable.LinearFaceModel`, which fits it.
    """

    mean: Tensor
    basis: Tensor
    control: Tensor

    def __init__(self, coefficients: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(MESH_POINTS, 3))
        self.register_buffer("basis", torch.zeros(coefficients, MESH_POINTS, 3))
        self.register_buffer("control", torch.tensor(CONTROL_POINTS), persistent=False)
        self._settled: tuple[Tensor, Tensor, Tensor] | None = None

    def settle(self) -> None:
        """Work out once what depends on mean and basis alone, which must not change any more."""
        self._settled = self._still()

    def _still(self) -> tuple[Tensor, Tensor, Tensor]:
        """Mean ``[N, 3]``, basis ``[n, N, 3]`` and normals ``[N, 3]`` at the control points."""
        return self.mean[self.control], self.basis[:, self.control].float(), self._normals()

    def controls(self, values: Tensor) -> MeshControls:
        """Control points of mesh values ``[B, 6 + n]``.

        Where a head turns so far that its far side faces away, points of that side come to lie over others: the picture
        there belongs to the nearer ones, and a spline held by both folds over and tears the face. So points are let
        go as they turn away.
        """
        with torch.autocast(values.device.type, enabled=False):
            values = values.float()
            mean, basis, normals = self._still() if self._settled is None else self._settled
            shape = _apart(mean + torch.einsum("bn,npd->bpd", values[:, 6:], basis))
            rotation = rotation_matrix(values[:, 3:6])
            turned = shape @ rotation.transpose(1, 2)
            # The camera looks along z, so what faces it has a normal towards negative z.
            facing = -(normals @ rotation.transpose(1, 2))[..., 2]
            return MeshControls(
                values[:, 2, None, None].exp() * turned[..., :2] + values[:, None, :2], _stiffness(facing)
            )

    def _normals(self) -> Tensor:
        """Outward unit normals ``[N, 3]`` of the mean face at the control points; expressions turn them but little."""
        skin, at = self.mean[:SKIN_POINTS], self.mean[self.control]
        near = (at[:, None] - skin).square().sum(-1).topk(_NEIGHBOURS, largest=False).indices
        patch = skin[near] - skin[near].mean(1, keepdim=True)
        x, y, z = (patch.transpose(1, 2) @ patch).unbind(-1)
        # The adjugate of a flat patch's covariance projects onto its normal, without an eigenvalue's unknown sign.
        adjugate = torch.stack([torch.linalg.cross(y, z), torch.linalg.cross(z, x), torch.linalg.cross(x, y)], 1)
        middle = skin.mean(0)
        width = skin[:, 0].max() - skin[:, 0].min()
        outward = at - middle - width * middle.new_tensor([0, 0, 0.5])
        normal = (adjugate @ outward[..., None])[..., 0]
        return normal / normal.norm(dim=-1, keepdim=True).clamp_min(1e-12)


def _apart(shape: Tensor) -> Tensor:
    """Unposed control points ``[B, N, 3]`` with lids no nearer than a spline can take."""
    upper, lower = (list(side) for side in zip(*_LIDS, strict=True))
    push = torch.zeros_like(shape)
    half = (_CLOSEST - shape[:, lower, 1] + shape[:, upper, 1]).clamp_min(0) / 2
    push[:, upper, 1], push[:, lower, 1] = -half, half
    return shape + push


def _stiffness(facing: Tensor) -> Tensor:
    """Stiffness of points by the cosine of their normals and the camera, smooth so that nothing jumps in a video."""
    seen = ((facing - _HIDDEN) / (_SEEN - _HIDDEN)).clamp(0, 1)
    seen = seen * seen * (3 - 2 * seen)
    return torch.exp(math.log(_LET_GO) + (math.log(_HELD) - math.log(_LET_GO)) * seen)


def rotation_matrix(vector: Tensor) -> Tensor:
    """Rodrigues: ``[B, 3]`` rotation vectors to ``[B, 3, 3]`` matrices."""
    angle = vector.norm(dim=1).clamp_min(1e-8)[:, None, None]
    x, y, z = (vector / angle[:, :, 0]).unbind(1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], 1).view(-1, 3, 3)
    eye = torch.eye(3, device=vector.device)
    return eye + angle.sin() * cross + (1 - angle.cos()) * (cross @ cross)
