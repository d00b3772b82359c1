"""A network without its numbers: what it would hold, asked before the memory for it is taken."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

_Network = TypeVar("_Network", bound=nn.Module)
_TAKES_MEMORY = (torch.empty, torch.zeros, torch.ones, torch.randn)


class _WithoutMemory(TorchFunctionMode):
    """Puts what networks make by size alone on torch's device ``meta``, which keeps shapes and no numbers.

    Numbers that are computed, such as the taps of a filter, stay real: they are few. (``torch.device("meta")`` would
    take them too, and the first of them costs a second: torch loads its symbolic algebra for it.)
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _TAKES_MEMORY:
            return torch.empty(*args, **{**(kwargs or {}), "device": "meta"})
        return func(*args, **(kwargs or {}))


def outline(make: Callable[[], _Network]) -> _Network:
    """Build a network whose tensors have names, shapes and no numbers, however large they are."""
    with _WithoutMemory():
        return make()
