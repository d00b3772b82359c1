"""The mouth of a batch's pictures: cut out pixel for pixel, for judges that look at nothing else."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from visavis.nn.warp import sample

_SHARE = 4  # of the picture's side


def mouth_crop(picture: Tensor, middle: Tensor) -> Tensor:
    """Cut a square of a quarter of the side around the mouth, moved inwards at the border of the picture.

    Args:
        picture: ``[B, C, S, S]``.
        middle: of the lips, ``[B, 2]``, ``(x, y)`` in [-1, 1].

    Returns:
        ``[B, C, S/4, S/4]``, the very pixels, with gradients.
    """
    size = picture.shape[-1]
    side = size // _SHARE
    corner = ((middle + 1) * (size / 2) - side / 2).round().clamp(0, size - side)
    along = torch.arange(side, device=picture.device) + 0.5
    places = (corner[:, None] + along[None, :, None]) * (2 / size) - 1  # [B, side, 2]
    x = places[:, None, :, 0].expand(-1, side, -1)
    y = places[:, :, None, 1].expand(-1, -1, side)
    return sample(picture, torch.stack([x, y], -1))


def edge_strength(picture: Tensor) -> Tensor:
    """Root mean square ``[B]`` of the Laplacian of luma of pictures ``[B, 3, h, w]`` in [0, 1]."""
    luma = (picture * picture.new_tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1, keepdim=True)
    kernel = picture.new_tensor([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]])[None, None]
    return F.conv2d(luma, kernel).square().mean((1, 2, 3)).sqrt()
