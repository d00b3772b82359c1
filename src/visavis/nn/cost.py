"""Parameters and multiply-accumulates of a network, part by part."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True)
class Cost:
    """What a network costs.

    Attributes:
        parameters: by part, and ``total``.
        gmac: 1e9 multiply-accumulates by occasion (``per_source``, ``per_frame``, ``per_picture``), then by part, and
            ``total``.
    """

    parameters: dict[str, int]
    gmac: dict[str, dict[str, float]]

    @classmethod
    def of(cls, network: nn.Module, **gmac: Mapping[str, float]) -> Cost:
        """Of a network, with its multiply-accumulates by occasion and part; totals are added."""
        total = sum(p.numel() for p in network.parameters())
        rounded = {
            occasion: {part: round(value, 3) for part, value in {**parts, "total": sum(parts.values())}.items()}
            for occasion, parts in gmac.items()
        }
        return cls({**parameters(network), "total": total}, rounded)


def gmac(run: Callable[[], object]) -> float:
    """Multiply-accumulates of one call in units of 1e9; convolutions and matrix products count."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops() / 2e9


def parameters(module: nn.Module) -> dict[str, int]:
    """Number of parameters of each child module."""
    return {name: sum(p.numel() for p in child.parameters()) for name, child in module.named_children()}
