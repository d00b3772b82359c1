"""Pictures at another size than the generator's (thesis, section 3.3.5).

Anything that is called as :func:`by_bicubic` is can enlarge a decoder's pictures.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import cv2
import numpy as np
import torch

from visavis.enhance.super_resolution import FACTOR, Enlarger, enlarge, load_enlarger
from visavis.media.frame import Pixels
from visavis.nn.denormals import denormals_flushed
from visavis.pipelines.reenact import to_pixels

#: Side of the patches: whole pictures take no less time, and four times the memory.
PATCH = 128

#: Who makes larger pictures.
EnlargeChoice = Literal["network", "bicubic"]
#: Takes ``uint8 [S, S, 3]`` and the side that is wanted.
Enlarge = Callable[[Pixels, int], Pixels]


def by_bicubic(pixels: Pixels, side: int) -> Pixels:
    """Plain interpolation."""
    if pixels.shape[0] == side:
        return pixels
    return np.asarray(cv2.resize(pixels, (side, side), interpolation=cv2.INTER_CUBIC), np.uint8)


def by_network(network: Enlarger, patch: int = PATCH) -> Enlarge:
    """Double as often as fits into the side that is wanted; what remains is interpolated.

    Args:
        network: in evaluation mode.
        patch: side of the patches that it takes one by one; the pictures do not depend on it.
    """
    weights = next(network.parameters())

    @torch.inference_mode()
    def make(pixels: Pixels, side: int) -> Pixels:
        while FACTOR * pixels.shape[0] <= side:
            picture = torch.from_numpy(np.ascontiguousarray(pixels)).to(weights).permute(2, 0, 1)[None] / 255
            with denormals_flushed():
                pixels = to_pixels(enlarge(network, picture, patch))
        return by_bicubic(pixels, side)

    return make


def chosen(choice: EnlargeChoice, size: int, side: int, patch: int = PATCH, device: str = "cpu") -> Enlarge:
    """The packaged network or interpolation, which also does where nothing is to be doubled.

    Args:
        choice: which.
        size: side of the pictures that there are.
        side: that is wanted.
        patch: side of the network's patches.
        device: that the network runs on; always in fp32, as exact as its weights.
    """
    if choice == "bicubic" or side < FACTOR * size:
        return by_bicubic
    return by_network(load_enlarger().to(device), patch)
