"""Grids and sampling: the one convention of this package.

Convention:
    A grid is ``[B, h, w, 2]`` of ``(x, y)`` in [-1, 1]; for each place of the OUTPUT it says where to sample the
    INPUT. Sampling is bilinear, zeros outside, ``align_corners=False``: -1 and 1 are the outer edges of the first
    and last pixel. An identity grid of that convention comes from ``coordinate_grid(..., align_corners=False)``.
    The first order model builds its grids with ``align_corners=True`` (-1 and 1 on pixel centres) and samples
    them with False; that quirk is kept there alone, for the sake of published checkpoints.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def coordinate_grid(height: int, width: int, *, align_corners: bool, device: torch.device | str = "cpu") -> Tensor:
    """Return ``float32 [height, width, 2]``, each place's own coordinates ``(x, y)``."""

    def along(count: int) -> Tensor:
        steps = torch.arange(count, device=device, dtype=torch.float32)
        return 2 * steps / (count - 1) - 1 if align_corners else (2 * steps + 1) / count - 1

    y, x = torch.meshgrid(along(height), along(width), indexing="ij")
    return torch.stack([x, y], -1)


def sample(x: Tensor, grid: Tensor) -> Tensor:
    """Sample ``x [B, C, H, W]`` at ``grid [B, h, w, 2]``; returns ``[B, C, h, w]`` in the wider type of the two.

    A grid in bf16 would be off by half a pixel at the edges of a picture of 256.
    """
    wide = torch.promote_types(x.dtype, grid.dtype)
    return F.grid_sample(x.to(wide), grid.to(wide), mode="bilinear", padding_mode="zeros", align_corners=False)


def channels_last(x: Tensor) -> Tensor:
    """Lay out ``[B, C, h, w]`` as convolutions want it: once, where samplers and joins leave it otherwise."""
    return x.contiguous(memory_format=torch.channels_last)


def resize_grid(grid: Tensor, size: tuple[int, int] | torch.Size) -> Tensor:
    """Interpolate ``grid [B, h, w, 2]`` bilinearly to ``[B, *size, 2]``."""
    if tuple(grid.shape[1:3]) == tuple(size):
        return grid
    flat = F.interpolate(grid.permute(0, 3, 1, 2), size=tuple(size), mode="bilinear", align_corners=False)
    return flat.permute(0, 2, 3, 1)


def halved(flow: Tensor) -> Tensor:
    """A flow in pixels ``[B, 2, h, w]`` for half of the side (section 3.3): averaged over 2x2, divided by two."""
    return F.avg_pool2d(flow, 2) / 2


def doubled(flow: Tensor) -> Tensor:
    """A flow in pixels ``[B, 2, h, w]`` for twice the side: interpolated, and twice as long."""
    return 2 * F.interpolate(flow, scale_factor=2, mode="bilinear", align_corners=False)


def grid_of(flow: Tensor) -> Tensor:
    """Sampling grid ``[B, h, w, 2]`` of a flow ``[B, 2, h, w]`` in pixels of its own side.

    The paper's flow says for each place of the output how many pixels away it samples the reference; ours are grids of
    places in [-1, 1] (docs/conventions.md), so that a pixel is ``2 / side``.
    """
    height, width = flow.shape[2:]
    own = coordinate_grid(height, width, align_corners=False, device=flow.device)
    return own + flow.float().permute(0, 2, 3, 1) * flow.new_tensor([2 / width, 2 / height], dtype=torch.float32)
