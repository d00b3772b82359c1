"""Pictures at another size than the generator's (thesis, section 3.3.5).

Anything that is called as :func:`by_bicubic` is can enlarge a decoder's pictures.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np

from visavis.enhance import FACTOR
from visavis.media.frame import Pixels
from visavis.nn.engine import PLAIN, Engine
from visavis.nn.graph import Graph
from visavis.nn.pictures import as_tensor, to_pixels

if TYPE_CHECKING:
    from visavis.enhance.super_resolution import Enlarger

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


def by_network(network: Enlarger, patch: int = PATCH, engine: Engine = PLAIN) -> Enlarge:
    """Double as often as fits into the side that is wanted; what remains is interpolated.

    Args:
        network: in evaluation mode.
        patch: side of the patches that it takes one by one; the pictures do not depend on it.
        engine: who computes it, on which device and with how many threads.
    """
    from visavis.enhance.super_resolution import enlarge
    from visavis.runtime.compiled import compile_graphs

    network = network.to(engine.device)
    compile_graphs(network, [Graph("know", lent=True)], engine)

    def make(pixels: Pixels, side: int) -> Pixels:
        while FACTOR * pixels.shape[0] <= side:
            with engine.computing():
                pixels = to_pixels(enlarge(network, as_tensor(pixels, engine.device), patch))
        return by_bicubic(pixels, side)

    return make


def chosen(choice: EnlargeChoice, size: int, side: int, patch: int = PATCH, engine: Engine = PLAIN) -> Enlarge:
    """The packaged network or interpolation, which also does where nothing is to be doubled.

    Args:
        choice: which.
        size: side of the pictures that there are.
        side: that is wanted.
        patch: side of the network's patches.
        engine: who computes it.
    """
    if choice == "bicubic" or side < FACTOR * size:
        return by_bicubic
    from visavis.enhance.super_resolution import load_enlarger

    return by_network(load_enlarger(), patch, engine)
