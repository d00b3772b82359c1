"""Pictures at another size than the generator's (thesis, section 3.3.5).

The seam for networks that enlarge: anything that is called as :func:`by_bicubic` is.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from visavis.media.frame import Pixels

#: Takes ``uint8 [S, S, 3]`` and the side that is wanted.
Enlarge = Callable[[Pixels, int], Pixels]


def by_bicubic(pixels: Pixels, side: int) -> Pixels:
    """Plain interpolation."""
    if pixels.shape[0] == side:
        return pixels
    return np.asarray(cv2.resize(pixels, (side, side), interpolation=cv2.INTER_CUBIC), np.uint8)
