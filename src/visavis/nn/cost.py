"""What a network costs: parameters, and multiply-accumulates counted while it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import Any

from torch import Tensor, nn

_COUNTED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.Linear)


@dataclass(frozen=True)
class Cost:
    """Cost of one part of a network.

    Attributes:
        params: learned values in the part.
        macs: multiply-accumulates of its convolutions and linear layers; warps, norms and activations,
            which are a few per cent, are not counted.
    """

    params: int
    macs: int


def count(module: nn.Module, run: Callable[[], object]) -> dict[str, Cost]:
    """Count what ``run`` costs in each direct child of ``module``.

    Args:
        module: the network.
        run: calls the network any way it likes; the count is of what really ran.
    """
    with _counting(module) as macs:
        run()
    return {
        name: Cost(
            params=sum(parameter.numel() for parameter in child.parameters()),
            macs=sum(macs.get(id(layer), 0) for layer in child.modules()),
        )
        for name, child in module.named_children()
    }


@contextmanager
def _counting(module: nn.Module) -> Iterator[dict[int, int]]:
    macs: dict[int, int] = {}

    def note(layer: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        macs[id(layer)] = macs.get(id(layer), 0) + _macs(layer, inputs[0], output)

    handles = [layer.register_forward_hook(note) for layer in module.modules() if isinstance(layer, _COUNTED)]
    try:
        yield macs
    finally:
        for handle in handles:
            handle.remove()


def _macs(layer: nn.Module, inside: Tensor, outside: Tensor) -> int:
    """A weight is used once at every place it is laid on, for every picture of the batch."""
    weight = layer.weight
    assert isinstance(weight, Tensor)
    if isinstance(layer, nn.Linear):
        places = outside.numel() // outside.shape[-1]
    elif isinstance(layer, nn.ConvTranspose2d):
        # A transposed convolution lays its weights on every place of the INPUT.
        places = inside.shape[0] * prod(inside.shape[2:])
    else:
        places = outside.shape[0] * prod(outside.shape[2:])
    return places * weight.numel()
