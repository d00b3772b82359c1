"""Sharpness of the face and of the mouth beside that of a real picture: blur is what people see first.

Sharpness is the root mean square of luma's Laplacian over a region of the mesh, at 256x256. Alone it would reward
noise, so it is compared: 1 is as sharp as the real picture, less is blurred or over-sharp.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.face.mesh import LIPS, OVAL
from visavis.media.frame import Pixels

REGIONS = {"face_sharpness": OVAL, "mouth_sharpness": LIPS}
_SIDE = 256
_MARGIN_PX = 4


def sharpness(picture: Pixels, mesh: NDArray[np.float32]) -> dict[str, float]:
    """Sharpness of each region in levels of 255.

    Args:
        picture: ``uint8 [S, S, 3]`` RGB.
        mesh: ``float32 [478, 2 or 3]`` in pixels of the picture.
    """
    size = picture.shape[0]
    if size != _SIDE:
        picture = np.asarray(cv2.resize(picture, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA), np.uint8)
    luma = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    edges = np.asarray(cv2.Laplacian(luma, cv2.CV_32F), np.float64)
    found = {}
    for name, points in REGIONS.items():
        mask = np.zeros((_SIDE, _SIDE), np.uint8)
        hull = cv2.convexHull(np.rint(mesh[list(points), :2] * (_SIDE / size)).astype(np.int32))
        cv2.fillConvexPoly(mask, hull, 1)
        if name == "mouth_sharpness":
            mask = np.asarray(cv2.dilate(mask, np.ones((2 * _MARGIN_PX + 1,) * 2, np.uint8)), np.uint8)
        inside = edges[mask > 0]
        found[name] = float(np.sqrt((inside**2).mean())) if inside.size else 0.0
    return found


def agreement(a: float, b: float) -> float:
    """The smaller over the larger, in [0, 1]; 1 when both are zero."""
    low, high = sorted((a, b))
    return low / high if high > 0 else 1.0
