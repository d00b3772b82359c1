"""Pictures side by side under their labels."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from visavis.media.frame import Pixels

_BAR_PX = 24
_MOST_PX = 512


def label_bar(labels: Sequence[str], width: int) -> Pixels:
    """A white bar ``uint8 [24, n * width, 3]`` with a label over each of n columns."""
    bar = Image.new("RGB", (width * len(labels), _BAR_PX), "white")
    draw = ImageDraw.Draw(bar)
    font = ImageFont.load_default(size=15)
    for number, label in enumerate(labels):
        draw.text(((number + 0.5) * width, _BAR_PX / 2), label, fill="black", font=font, anchor="mm")
    return np.asarray(bar, np.uint8)


def small(picture: Pixels) -> Pixels:
    """A picture as it stands in a sheet: no side is longer than 512 pixels."""
    height, width = picture.shape[:2]
    shrink = _MOST_PX / max(height, width)
    if shrink >= 1:
        return picture
    size = (max(round(shrink * width), 1), max(round(shrink * height), 1))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def row_of(pictures: Sequence[Pixels], labels: Sequence[str]) -> Pixels:
    """A row of equally large pictures ``uint8 [H, W, 3]`` under as many labels."""
    return np.concatenate([label_bar(labels, pictures[0].shape[1]), np.concatenate(pictures, 1)]).astype(np.uint8)
