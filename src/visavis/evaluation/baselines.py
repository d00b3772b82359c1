"""Built-in models without weights: what any network has to beat."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from visavis.face.mesh import to_pixels
from visavis.face.types import Observation
from visavis.media.frame import Pixels
from visavis.nn.thin_plate import warp_grid
from visavis.nn.warp import coordinate_grid

_EVERY_POINT = 3


def copy(source: Observation, driving: Observation) -> Pixels:
    """`copy`: the source picture repeated."""
    return source.picture


def mesh_warp(source: Observation, driving: Observation) -> Pixels:
    """`mesh-warp`: the source warped by a thin-plate spline through every third mesh point, border pinned."""
    if source.mesh is None or driving.mesh is None:
        return source.picture
    size = source.picture.shape[0]
    grid = coordinate_grid(size // 2, size // 2, align_corners=False)
    points = [
        torch.from_numpy(o.mesh[::_EVERY_POINT, :2].copy())[None] for o in (driving, source) if o.mesh is not None
    ]
    warp = warp_grid(points[0], points[1], grid)[0].numpy()
    where = to_pixels(cv2.resize(warp, (size, size), interpolation=cv2.INTER_LINEAR).reshape(-1, 2), size)
    x, y = where.reshape(size, size, 2).transpose(2, 0, 1)
    moved = cv2.remap(source.picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.uint8)


def real(source: Observation, driving: Observation) -> Pixels:
    """`real`: the driving frame itself; what every metric says of true footage."""
    return driving.picture


BUILT_IN = {"copy": copy, "mesh-warp": mesh_warp, "real": real}
