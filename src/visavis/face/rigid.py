"""Heads as rigid bodies, in batches: cameras of fitted faces, and meshes that go from one head pose to another."""

from __future__ import annotations

import torch
from torch import Tensor

_SMALLEST = 1e-6


@torch.no_grad()
def cameras_of(points: Tensor, mean: Tensor, weights: Tensor) -> Tensor:
    """Cameras ``float32 [..., 6]`` of posed faces, as :func:`visavis.face.fitting.fit_clip` has them.

    The weighted similarity (Umeyama 1991) from the mean face to each; of faces that a camera has posed, that camera.

    Args:
        points: ``[..., N, 3]`` in crop coordinates; the first of them are those of the mean.
        mean: ``[V, 3]``.
        weights: ``[V]``, how much each point counts, summing to 1.
    """
    points, mean, weights = points[..., : len(mean), :].double(), mean.double(), weights.double()
    centre = weights @ mean
    still = mean - centre
    middle = (weights[:, None] * points).sum(-2)
    moved = points - middle[..., None, :]
    u, singular, vt = torch.linalg.svd(moved.transpose(-1, -2) @ (weights[:, None] * still))
    sign = torch.ones_like(singular)
    sign[..., 2] = torch.linalg.det(u @ vt).sign()
    rotation = (u * sign[..., None, :]) @ vt
    scale = ((singular * sign).sum(-1) / (weights[:, None] * still * still).sum()).clamp_min(_SMALLEST)
    shift = middle - scale[..., None] * (rotation @ centre)
    return torch.cat([shift[..., :2], scale.log()[..., None], _vectors(rotation)], -1).float()


def _vectors(rotation: Tensor) -> Tensor:
    """Rotation vectors ``[..., 3]`` of rotations ``[..., 3, 3]`` of less than half a circle."""
    axis = torch.stack(
        [
            rotation[..., 2, 1] - rotation[..., 1, 2],
            rotation[..., 0, 2] - rotation[..., 2, 0],
            rotation[..., 1, 0] - rotation[..., 0, 1],
        ],
        -1,
    )
    sine = axis.norm(dim=-1, keepdim=True) / 2
    cosine = (rotation.diagonal(dim1=-2, dim2=-1).sum(-1, keepdim=True) - 1) / 2
    return axis / 2 * (torch.atan2(sine, cosine) / sine.clamp_min(_SMALLEST)).where(sine > _SMALLEST, 1.0)


def rotations(vectors: Tensor) -> Tensor:
    """Rotations ``[..., 3, 3]`` of rotation vectors ``[..., 3]`` in radians (Rodrigues)."""
    x, y, z = vectors.unbind(-1)
    nothing = torch.zeros_like(x)
    cross = torch.stack([nothing, -z, y, z, nothing, -x, -y, x, nothing], -1).reshape(*x.shape, 3, 3)
    angle = vectors.norm(dim=-1)[..., None, None]
    # torch.sinc is exact at zero, where the quotients are not.
    sine, cosine = torch.sinc(angle / torch.pi), 0.5 * torch.sinc(angle / (2 * torch.pi)) ** 2
    return torch.eye(3, dtype=vectors.dtype, device=vectors.device) + sine * cross + cosine * (cross @ cross)


def reposed(points: Tensor, before: Tensor, after: Tensor) -> Tensor:
    """A mesh with the pose of another moment (rhythmic talking heads, equation 1).

    The paper takes the mesh to canonical space by the rigid motion of its own moment, and out of it by the inverse of
    the other's. Cameras say the inverses of those motions, and how large the head is.

    Args:
        points: ``float32 [..., V, 3]`` in crop coordinates.
        before: camera ``[..., 6]`` at which they were seen.
        after: camera ``[..., 6]`` at which they shall be seen.
    """
    old, new = (torch.nn.functional.pad(camera[..., :2], (0, 1))[..., None, :] for camera in (before, after))
    turn = rotations(after[..., 3:6]) @ rotations(before[..., 3:6]).transpose(-1, -2)
    grown = (after[..., 2] - before[..., 2]).exp()[..., None, None]
    return grown * ((points - old) @ turn.transpose(-1, -2)) + new
