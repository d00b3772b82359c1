"""The 3D-aware module (section 4.1): which references count, and the frontal picture with the target's head pose."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visavis.face.raster import rasterise, rasterise_batch
from visavis.nn.blocks import Hourglass
from visavis.nn.warp import coordinate_grid, sample

_UV_MARGIN = 0.94  # of the map's half side, up to which points lie
_UV_SIDE = 64
_FAR = 0.35  # of the head's middle behind the mean face's origin, in its units: the axis of the cylinder


def frontal(cameras: Tensor) -> Tensor:
    """t_M: the reference whose head is turned least, ``int64 [B]``, of cameras ``[B, K, 6]``."""
    return cameras[..., 3:6].norm(dim=-1).argmin(-1)


def matched(target: Tensor, cameras: Tensor) -> Tensor:
    """t_s: the reference whose head lies nearest the target's (equation 2), ``int64 [B]``.

    Args:
        target: h_t, ``[B, 6]``; the paper's rigid motion of six numbers is the camera here.
        cameras: h_{1:K}, ``[B, K, 6]``.
    """
    return (cameras - target[:, None]).square().sum(-1).argmin(-1)


def chosen(of: Tensor, which: Tensor) -> Tensor:
    """One of K for each sample: ``[B, ...]`` of ``of [B, K, ...]`` and ``which int64 [B]``."""
    return of[torch.arange(len(of), device=of.device), which]


def unwrapped(mean: Tensor) -> Tensor:
    """Where points of the mean face ``[V, 3]`` lie on a position map: places ``[V, 2]`` in [-1, 1].

    Around an upright cylinder behind the face: angle and height, so that cheeks have as much room as the nose.
    """
    angle = torch.atan2(mean[:, 0], -(mean[:, 2] - mean[:, 2].amax() * (1 + _FAR)))
    both = torch.stack([angle, mean[:, 1]], -1)
    low, high = both.amin(0), both.amax(0)
    return _UV_MARGIN * (2 * (both - low) / (high - low) - 1)


class Unprojection(nn.Module):
    """A U-Net from a picture to the position map of the face in it (appendix 0.A.3).

    Args:
        width: of its first block.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.net = Hourglass(width, 3, 4, 8 * width)
        self.out = nn.Conv2d(self.net.out_filters, 3, 3, padding=1)

    def forward(self, picture: Tensor) -> Tensor:
        """Return the position map ``float32 [B, 3, 64, 64]`` in crop coordinates of ``picture [B, 3, S, S]``."""
        size = min(picture.shape[-1], 4 * _UV_SIDE)
        small = F.interpolate(picture, (size, size), mode="bilinear", align_corners=False)
        return F.adaptive_avg_pool2d(self.out(self.net(small)).float(), _UV_SIDE)


class PositionMaps:
    """How a mesh lies on a position map, and back.

    Args:
        mean: points of the mean face, ``[V, 3]``.
        triangles: ``int64 [T, 3]``, on the device where maps are read.
    """

    def __init__(self, mean: Tensor, triangles: Tensor) -> None:
        device = triangles.device
        places = unwrapped(mean.cpu())
        drawn = rasterise(torch.cat([places, mean[:, 2:].cpu()], 1).numpy(), triangles.cpu().int().numpy(), _UV_SIDE)
        index = torch.from_numpy(drawn.index).long().to(device)
        self._places, self._seen = places.to(device), index >= 0
        self._corners = triangles[index[self._seen]]
        self._weights = torch.from_numpy(drawn.barycentric).to(device)[self._seen]

    def mesh(self, positions: Tensor) -> Tensor:
        """Read the vertices ``[B, V, 3]`` off position maps ``[B, 3, 64, 64]``."""
        where = self._places.expand(len(positions), 1, -1, -1)
        return sample(positions, where)[:, :, 0].transpose(1, 2)

    def drawn(self, vertices: Tensor) -> Tensor:
        """The true positions ``[B, P, 3]`` at the P places that show the face, of meshes ``[B, V or more, 3]``."""
        return (self._weights[..., None] * vertices[:, self._corners]).sum(-2)

    def loss(self, positions: Tensor, vertices: Tensor) -> Tensor:
        """MSE of position maps ``[B, 3, 64, 64]`` against those of meshes ``[B, V or more, 3]``."""
        return (positions[:, :, self._seen].transpose(1, 2) - self.drawn(vertices)).square().mean()


def seen_triangles(vertices: Tensor, triangles: Tensor, side: int) -> Tensor:
    """Which triangle of each mesh ``[B, V, 3]`` is seen where, ``int64 [B, side, side]``; not differentiable."""
    return rasterise_batch(vertices.detach(), triangles, side)[0]


def moved(shift: Tensor, inside: Tensor, trust: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
    """Where the frontal picture is sampled when the projected picture is moved by a flow.

    The paper projects, and then warps what was projected. One sampling at the place where both lead is the same without
    the blur of the second.

    Args:
        shift: of the projector, ``[B, 2, r, r]`` in units of [-1, 1].
        inside: whether the face is there, ``[B, 1, r, r]``.
        trust: share of the projector's shift outside the face, ``[B, 1, r, r]``.
        flow: ``[B, 2, r, r]`` in units of [-1, 1].

    Returns:
        A grid ``float32 [B, r, r, 2]``, and the face after the flow ``[B, 1, r, r]``.
    """
    height, width = flow.shape[2:]
    here = coordinate_grid(height, width, align_corners=False, device=flow.device) + flow.permute(0, 2, 3, 1)
    known = sample(torch.cat([shift * torch.lerp(trust, torch.ones_like(trust), inside), inside], 1), here)
    return here + known[:, :2].permute(0, 2, 3, 1), known[:, 2:]
