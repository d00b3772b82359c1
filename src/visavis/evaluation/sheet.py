"""Contact sheets: source | driver | each model, with labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from visavis.media.contact_sheet import label_bar
from visavis.media.frame import Pixels
from visavis.media.still import write_picture

_ROWS = 6


def contact_sheet(source: Pixels, driving: Sequence[Pixels], made: Mapping[str, Sequence[Pixels]]) -> Pixels:
    """Lay out up to six frames of a clip, evenly spread, one a row.

    Args:
        source: ``uint8 [S, S, 3]``.
        driving: true frames, at least one.
        made: each model's frames of the same times, by label.
    """
    picked = np.linspace(0, len(driving) - 1, min(_ROWS, len(driving))).astype(int)
    rows = [np.concatenate([source, driving[i], *(frames[i] for frames in made.values())], 1) for i in picked]
    bar = label_bar(["source", "driver", *made], source.shape[1])
    return np.concatenate([bar, *rows])


def write_sheet(path: Path, source: Pixels, driving: Sequence[Pixels], made: Mapping[str, Sequence[Pixels]]) -> None:
    """Write the contact sheet of a clip."""
    write_picture(path, contact_sheet(source, driving, made))
