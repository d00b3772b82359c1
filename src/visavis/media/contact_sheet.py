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


def row_of(pictures: Sequence[Pixels], labels: Sequence[str]) -> Pixels:
    """A row of equally large pictures ``uint8 [H, W, 3]``, with as many labels; sides of over 512 pixels are shrunk."""
    height, width = pictures[0].shape[:2]
    shrink = min(1.0, _MOST_PX / max(height, width))
    size = (max(round(shrink * width), 1), max(round(shrink * height), 1))
    shown = pictures if shrink == 1 else [cv2.resize(one, size, interpolation=cv2.INTER_AREA) for one in pictures]
    return np.concatenate([label_bar(labels, size[0]), np.concatenate(shown, 1)]).astype(np.uint8)
