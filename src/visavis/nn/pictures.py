"""Pictures as arrays and as tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from visavis.media.frame import Pixels
from visavis.nn.arrays import on_host

if TYPE_CHECKING:
    import torch
    from torch import Tensor

#: ``float32 [1, C, S, S]`` in [0, 1].
Picture = NDArray[np.float32]


def as_array(pixels: Pixels) -> Picture:
    """Turn ``uint8 [S, S, 3]`` into ``float32 [1, 3, S, S]`` in [0, 1], channels last in memory."""
    return np.asarray((pixels.astype(np.float32) / 255).transpose(2, 0, 1)[None])


def grey_as_array(grey: NDArray[np.uint8]) -> Picture:
    """Turn ``uint8 [S, S]`` into ``float32 [1, 1, S, S]`` in [0, 1]."""
    return np.asarray(grey.astype(np.float32)[None, None] / 255)


def as_tensor(pixels: Pixels, device: torch.device | str = "cpu") -> Tensor:
    """:func:`as_array` as torch has it."""
    import torch

    return torch.from_numpy(as_array(pixels)).to(device)


def grey_as_tensor(grey: NDArray[np.uint8], device: torch.device | str = "cpu") -> Tensor:
    """:func:`grey_as_array` as torch has it."""
    import torch

    return torch.from_numpy(grey_as_array(grey)).to(device)


def to_pixels(picture: Any) -> Pixels:
    """Turn ``float [1, 3, S, S]`` in [0, 1], of NumPy or torch, into ``uint8 [S, S, 3]``."""
    values = np.rint(np.clip(on_host(picture)[0], 0, 1) * 255).astype(np.uint8)
    return np.ascontiguousarray(values.transpose(1, 2, 0))
