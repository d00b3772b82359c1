"""How a decoded picture is held, and how one of another size is fitted in."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from av.sidedata.sidedata import Type
from av.video.frame import VideoFrame

from visavis.media.frame import Pixels


@dataclass(frozen=True)
class Held:
    """What makes a picture upright: rows and columns are swapped, then it is mirrored.

    Attributes:
        swapped: whether rows become columns.
        across: whether left and right change places, after that.
        down: whether top and bottom change places, after that.
    """

    swapped: bool = False
    across: bool = False
    down: bool = False

    @classmethod
    def of(cls, picture: VideoFrame) -> Held:
        """As the display matrix says that comes with a picture; the nearest of the eight ways to hold it.

        The matrix sends ``(x, y)`` of the stored picture to ``(a x + c y, b x + d y)`` of the shown one.
        """
        # Its keys are types; the stubs say strings.
        data = picture.side_data.get(Type.DISPLAYMATRIX)  # type: ignore[call-overload]
        if data is None:
            return cls()
        a, b, _, c, d = (float(value) for value in np.frombuffer(data, np.int32)[:5])
        if abs(a) + abs(d) >= abs(b) + abs(c):
            return cls(False, a < 0, d < 0)
        return cls(True, c < 0, b < 0)

    def upright(self, pixels: Pixels) -> Pixels:
        """Turn ``uint8 [H, W, 3]``."""
        turned = pixels.transpose(1, 0, 2) if self.swapped else pixels
        turned = turned[:, ::-1] if self.across else turned
        return np.ascontiguousarray(turned[::-1] if self.down else turned)


def fitted(pixels: Pixels, height: int, width: int) -> Pixels:
    """Scale a picture to fit into ``height x width`` in its own shape, on black, and in the middle."""
    rows, columns = pixels.shape[:2]
    if (rows, columns) == (height, width):
        return pixels
    scale = min(height / rows, width / columns)
    down, across = max(1, min(height, round(rows * scale))), max(1, min(width, round(columns * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    whole = np.zeros((height, width, 3), np.uint8)
    top, left = (height - down) // 2, (width - across) // 2
    whole[top : top + down, left : left + across] = cv2.resize(pixels, (across, down), interpolation=how)
    return whole
