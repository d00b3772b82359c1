"""Pictures as arrays and as tensors."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from visavis.media.frame import Pixels


def as_tensor(pixels: Pixels, device: torch.device | str = "cpu") -> Tensor:
    """Turn ``uint8 [S, S, 3]`` into ``float32 [1, 3, S, S]`` in [0, 1], channels last."""
    values = torch.from_numpy(pixels.astype(np.float32) / 255)
    return values.permute(2, 0, 1)[None].contiguous(memory_format=torch.channels_last).to(device)


def grey_as_tensor(grey: NDArray[np.uint8], device: torch.device | str = "cpu") -> Tensor:
    """Turn ``uint8 [S, S]`` into ``float32 [1, 1, S, S]`` in [0, 1]."""
    return torch.from_numpy(grey.astype(np.float32) / 255)[None, None].to(device)


def to_pixels(picture: Tensor) -> Pixels:
    """Turn ``float [1, 3, S, S]`` in [0, 1] into ``uint8 [S, S, 3]``."""
    array = picture[0].float().permute(1, 2, 0).clamp(0, 1).mul(255).round().byte().cpu().numpy()
    return np.ascontiguousarray(array)
