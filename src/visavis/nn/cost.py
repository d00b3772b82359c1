"""Parameters and multiply-accumulates of a network, part by part."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


@torch.no_grad()
def gmac(run: Callable[[], object]) -> float:
    """Multiply-accumulates of one call in units of 1e9; convolutions and matrix products count."""
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops() / 2e9


def parameters(module: nn.Module) -> dict[str, int]:
    """Number of parameters of each child module."""
    return {name: sum(p.numel() for p in child.parameters()) for name, child in module.named_children()}
