"""What moves between stages: a picture or a piece of sound, each with its exact time."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Samples = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture.

    Attributes:
        pixels: ``uint8 [H, W, 3]``, RGB, upright (rotation flags already applied).
        time: seconds from the start of the file, exact.
    """

    pixels: Pixels
    time: Fraction


@dataclass(frozen=True, slots=True)
class Sound:
    """A run of mono samples.

    Attributes:
        samples: ``float32 [N]`` in [-1, 1].
        rate_hz: samples per second.
        time: seconds from the start of the file to the first sample, exact.
    """

    samples: Samples
    rate_hz: int
    time: Fraction
