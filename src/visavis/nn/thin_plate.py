"""Thin-plate splines: the smooth warp that carries given points onto given points (Bookstein 1989).

Convention:
    Points and grids are ``(x, y)`` in [-1, 1]. A warp maps a place in the OUTPUT to the place in the INPUT where
    it samples. Arrays are of torch or of NumPy, all of one call of the same.
"""

from __future__ import annotations

from dataclasses import dataclass

from visavis.nn.arrays import Tensor, array_like, clipped, exact, joined, library_of

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
        return evaluate(self.coefficients, self.points, places.reshape(-1, 2)).reshape(-1, height, width, 2)


_STIFFNESS = 1e-4


def kernel(distance_squared: Tensor) -> Tensor:
    """The spline's radial basis ``r^2 log r^2``, zero at zero."""
    return distance_squared * library_of(distance_squared).log(clipped(distance_squared, _TINY))


def _squared_distances(a: Tensor, b: Tensor) -> Tensor:
    # Written out: torch.cdist loses precision for near points when it takes the matrix route.
    # And coordinate by coordinate: a sum over an axis of two takes longer than all else here.
    across, down = (a[..., :, None, i] - b[..., None, :, i] for i in (0, 1))
    return across * across + down * down


def border_points(like: Tensor, per_side: int = 4) -> Tensor:
    """Points ``[4 * per_side, 2]`` around the picture's edge, to pin what lies outside the face; arrays as ``like``."""
    along = [2 * step / per_side - 1 for step in range(per_side)]
    sides = [[(at, -1.0) for at in along], [(1.0, at) for at in along]]
    sides += [[(-x, -y) for x, y in side] for side in sides]
    return array_like([point for side in sides for point in side], like)  # type: ignore[no-any-return]


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
    xp = library_of(at)
    with exact(at):
        radial = kernel(_squared_distances(at, at))
        each = list(range(at.shape[1]))
        radial[:, each, each] = radial[:, each, each] + stiffness
        affine = joined([xp.ones_like(at[..., :1]), at], -1)
        nothing = xp.zeros_like(affine[:, :3])
        below = joined([affine.swapaxes(1, 2), nothing], -1)
        system = joined([joined([radial, affine], -1), below], 1)
        target = joined([values, nothing[..., :2]], 1)
        return xp.linalg.solve(system, target)  # type: ignore[no-any-return]


def evaluate(coefficients: Tensor, at: Tensor, places: Tensor) -> Tensor:
    """Value ``[B, M, 2]`` of splines at ``places``, ``[M, 2]`` or ``[B, M, 2]``; the rest is as in :func:`solve`."""
    xp = library_of(at)
    with exact(at):
        points = at.shape[1]
        radial = kernel(_squared_distances(places, at)) @ coefficients[:, :points]
        affine = joined([xp.ones_like(places[..., :1]), places], -1) @ coefficients[:, points:]
        return radial + affine  # type: ignore[no-any-return]


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
    xp = library_of(output_points)
    if stiffness is None:
        stiffness = xp.full_like(output_points[..., 0], _STIFFNESS)
    if pin_border:
        border = border_points(output_points)
        border = xp.broadcast_to(border, (output_points.shape[0], *border.shape))
        output_points = joined([output_points, border], 1)
        input_points = joined([input_points, border], 1)
        stiffness = joined([stiffness, xp.full_like(border[..., 0], _STIFFNESS)], 1)
    return Spline(output_points, solve(output_points, input_points, stiffness))
