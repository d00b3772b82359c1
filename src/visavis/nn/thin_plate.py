"""Thin-plate splines: the smooth warp that carries given points onto given points (Bookstein 1989).

Convention:
    Points and grids are ``(x, y)`` in [-1, 1]. A warp maps a place in the OUTPUT to the place in the INPUT where
    it samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

_TINY = 1e-9


@dataclass(frozen=True)
class Spline:
    """A warp, solved.

    Attributes:
        points: ``float32 [B, N, 2]``, control points in the output.
        coefficients: ``float32 [B, N + 3, 2]``, from :func:`solve`.
    """

    points: Tensor
    coefficients: Tensor

    def grid(self, places: Tensor) -> Tensor:
        """Where places ``[h, w, 2]`` of the output sample the input, ``float32 [B, h, w, 2]``."""
        height, width = places.shape[:2]
        return evaluate(self.coefficients, self.points, places.reshape(-1, 2)).view(-1, height, width, 2)


_STIFFNESS = 1e-4


def kernel(distance_squared: Tensor) -> Tensor:
    """The spline's radial basis ``r^2 log r^2``, zero at zero."""
    return distance_squared * torch.log(distance_squared.clamp_min(_TINY))


def _squared_distances(a: Tensor, b: Tensor) -> Tensor:
    # Written out: torch.cdist loses precision for near points when it takes the matrix route.
    # And coordinate by coordinate: a sum over an axis of two takes longer than all else here.
    across, down = (a[..., :, None, i] - b[..., None, :, i] for i in (0, 1))
    return across * across + down * down


def border_points(device: torch.device, per_side: int = 4) -> Tensor:
    """Points ``[4 * per_side, 2]`` around the picture's edge, to pin what lies outside the face."""
    along = torch.linspace(-1, 1, per_side + 1, device=device)[:-1]
    one = torch.ones_like(along)
    sides = [(along, -one), (one, along), (-along, one), (-one, -along)]
    return torch.cat([torch.stack(side, -1) for side in sides])


def solve(at: Tensor, values: Tensor, stiffness: Tensor | float = _STIFFNESS) -> Tensor:
    """Coefficients of the spline that takes ``values`` at the points ``at``.

    Args:
        at: ``float32 [B, N, 2]`` control points in the output.
        values: ``float32 [B, N, 2]`` where they sample in the input.
        stiffness: of all points, or ``[B, N]`` of each. 0 passes through its value; more bends less (and keeps the
            system well conditioned).

    Returns:
        ``float32 [B, N + 3, 2]``: radial weights, then the affine part ``(1, x, y)``.
    """
    count, points = at.shape[:2]
    with torch.autocast(at.device.type, enabled=False):
        at, values = at.float(), values.float()
        system = at.new_zeros(count, points + 3, points + 3)
        system[:, :points, :points] = kernel(_squared_distances(at, at))
        give = torch.as_tensor(stiffness, dtype=at.dtype, device=at.device).expand(count, points)
        system[:, :points, :points] += torch.diag_embed(give)
        affine = torch.cat([torch.ones_like(at[..., :1]), at], -1)
        system[:, :points, points:] = affine
        system[:, points:, :points] = affine.transpose(1, 2)
        target = torch.cat([values, values.new_zeros(count, 3, 2)], 1)
        return torch.linalg.solve(system, target)


def evaluate(coefficients: Tensor, at: Tensor, places: Tensor) -> Tensor:
    """Value ``[B, M, 2]`` of splines at ``places``, ``[M, 2]`` or ``[B, M, 2]``; the rest is as in :func:`solve`."""
    if places.dim() == 2:
        places = places.expand(at.shape[0], -1, -1)
    with torch.autocast(at.device.type, enabled=False):
        at, places = at.float(), places.float()
        points = at.shape[1]
        radial = kernel(_squared_distances(places, at)) @ coefficients[:, :points]
        affine = torch.cat([torch.ones_like(places[..., :1]), places], -1) @ coefficients[:, points:]
        return radial + affine


def warp_grid(
    output_points: Tensor,
    input_points: Tensor,
    grid: Tensor,
    *,
    stiffness: Tensor | None = None,
    pin_border: bool = True,
) -> Tensor:
    """Sampling grid that carries ``input_points`` of the input onto ``output_points`` of the output.

    Args:
        output_points, input_points, stiffness, pin_border: as for :func:`spline`.
        grid: identity grid ``[h, w, 2]`` of the output.

    Returns:
        ``float32 [B, h, w, 2]``.
    """
    return spline(output_points, input_points, stiffness=stiffness, pin_border=pin_border).grid(grid)


def spline(
    output_points: Tensor, input_points: Tensor, *, stiffness: Tensor | None = None, pin_border: bool = True
) -> Spline:
    """The warp that carries ``input_points`` of the input onto ``output_points`` of the output.

    Args:
        output_points: ``float32 [B, N, 2]``.
        input_points: ``float32 [B, N, 2]``.
        stiffness: ``[B, N]``, as for :func:`solve`; None holds all points fast.
        pin_border: also hold points around the picture's edge in place.
    """
    if stiffness is None:
        stiffness = output_points.new_full(output_points.shape[:2], _STIFFNESS, dtype=torch.float32)
    if pin_border:
        border = border_points(output_points.device).expand(output_points.shape[0], -1, -1)
        output_points = torch.cat([output_points.float(), border], 1)
        input_points = torch.cat([input_points.float(), border], 1)
        stiffness = torch.cat([stiffness, stiffness.new_full(border.shape[:2], _STIFFNESS)], 1)
    return Spline(output_points, solve(output_points, input_points, stiffness))
