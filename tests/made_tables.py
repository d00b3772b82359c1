"""Tables of weights as others publish them, with invented numbers."""

from __future__ import annotations

import torch
from torch import Tensor

_STAGES = ((3, 1, 1, 16), (3, 2, 6, 24), (5, 2, 6, 40), (3, 3, 6, 80), (5, 3, 6, 112), (5, 4, 6, 192), (3, 1, 6, 320))


def invented_table(seed: int = 0) -> dict[str, Tensor]:
    """A table of the published names and shapes, with small random weights."""
    torch.manual_seed(seed)
    table: dict[str, Tensor] = {}

    def add(conv: str, norm: str, shape: tuple[int, int, int, int]) -> None:
        table[f"{conv}.weight"] = torch.randn(shape) * (2 / (shape[1] * shape[2] * shape[3])) ** 0.5
        for part, value in (("weight", 1.0), ("bias", 0.1), ("running_mean", 0.0), ("running_var", 1.0)):
            table[f"{norm}.{part}"] = torch.full((shape[0],), value) + 0.1 * torch.rand(shape[0])

    add("_conv_stem", "_bn0", (32, 3, 3, 3))
    number, inside = 0, 32
    for kernel, count, expansion, outside in _STAGES:
        for _ in range(count):
            block, wide = f"_blocks.{number}.", inside * expansion
            if expansion > 1:
                add(f"{block}_expand_conv", f"{block}_bn0", (wide, inside, 1, 1))
            add(f"{block}_depthwise_conv", f"{block}_bn1", (wide, 1, kernel, kernel))
            add(f"{block}_project_conv", f"{block}_bn2", (outside, wide, 1, 1))
            number, inside = number + 1, outside
    return table
