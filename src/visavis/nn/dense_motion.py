"""From sparse keypoints to candidate motions (first order model, sections 3.1 and 3.2).

Convention:
    Points ``[B, K, 2]``, jacobians ``[B, K, 2, 2]``; grids and points are ``(x, y)`` in [-1, 1]. Motions point from
    the driving picture (output) to where the source (input) is sampled.
"""

from __future__ import annotations

import torch
from torch import Tensor

_NOTHING = 1e-20
_LEAST_DETERMINANT = 1e-8


def no_denormals(x: Tensor) -> Tensor:
    """Set to zero what is too small to matter: CPUs take a hundred times longer over numbers below 1e-38."""
    return torch.where(x < _NOTHING, 0.0, x)


def inverse_2x2(matrix: Tensor) -> Tensor:
    """Inverse of ``[..., 2, 2]`` in closed form (``torch.linalg.inv`` does not export).

    A singular matrix, as a hostile or half-trained network may give, is inverted as if its determinant were tiny, so
    that the result is finite: NaN would spread over the whole picture.
    """
    a, b, c, d = matrix[..., 0, 0], matrix[..., 0, 1], matrix[..., 1, 0], matrix[..., 1, 1]
    adjoint = torch.stack([torch.stack([d, -b], -1), torch.stack([-c, a], -1)], -2)
    determinant = a * d - b * c
    least = torch.where(determinant < 0, -_LEAST_DETERMINANT, _LEAST_DETERMINANT)
    determinant = torch.where(determinant.abs() < _LEAST_DETERMINANT, least, determinant)
    return adjoint / determinant[..., None, None]


def keypoint_heatmaps(points: Tensor, grid: Tensor, variance: float) -> Tensor:
    """Gaussian heat maps ``[B, K, h, w]`` around points ``[B, K, 2]`` on an identity grid ``[h, w, 2]``."""
    offset = grid - points[:, :, None, None]
    return no_denormals(torch.exp(-0.5 * (offset**2).sum(-1) / variance))


def sparse_motions(
    source_points: Tensor,
    source_jacobians: Tensor | None,
    driving_points: Tensor,
    driving_jacobians: Tensor | None,
    grid: Tensor,
) -> Tensor:
    """Candidate motions: the background's (identity) and one around each keypoint (first order model, equation 4).

    Returns:
        ``float32 [B, K + 1, h, w, 2]``; number 0 is the background.
    """
    offset = grid - driving_points[:, :, None, None]
    if source_jacobians is not None and driving_jacobians is not None:
        frame = source_jacobians @ inverse_2x2(driving_jacobians)
        # Written out: 40,000 matrix products of 2x2 take ten times as long.
        frame, x, y = frame[:, :, None, None], offset[..., :1], offset[..., 1:]
        offset = frame[..., 0] * x + frame[..., 1] * y
    by_points = offset + source_points[:, :, None, None]
    background = grid.expand(by_points.shape[0], 1, -1, -1, -1)
    return torch.cat([background, by_points], 1)
