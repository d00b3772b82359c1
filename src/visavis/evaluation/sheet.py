"""Contact sheets: source | driver | each model, with labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from visavis.media.frame import Pixels
from visavis.media.still import write_picture

_ROWS = 6
_BAR_PX = 24


def contact_sheet(source: Pixels, driving: Sequence[Pixels], made: Mapping[str, Sequence[Pixels]]) -> Pixels:
    """Lay out up to six frames of a clip, evenly spread, one a row.

    Args:
        source: ``uint8 [S, S, 3]``.
        driving: true frames, at least one.
        made: each model's frames of the same times, by label.
    """
    picked = np.linspace(0, len(driving) - 1, min(_ROWS, len(driving))).astype(int)
    rows = [np.concatenate([source, driving[i], *(frames[i] for frames in made.values())], 1) for i in picked]
    bar = _labels(["source", "driver", *made], source.shape[1])
    return np.concatenate([bar, *rows])


def write_sheet(path: Path, source: Pixels, driving: Sequence[Pixels], made: Mapping[str, Sequence[Pixels]]) -> None:
    """Write the contact sheet of a clip."""
    write_picture(path, contact_sheet(source, driving, made))


def _labels(labels: Sequence[str], width: int) -> Pixels:
    bar = Image.new("RGB", (width * len(labels), _BAR_PX), "white")
    draw = ImageDraw.Draw(bar)
    font = ImageFont.load_default(size=15)
    for number, label in enumerate(labels):
        draw.text(((number + 0.5) * width, _BAR_PX / 2), label, fill="black", font=font, anchor="mm")
    return np.asarray(bar, np.uint8)
