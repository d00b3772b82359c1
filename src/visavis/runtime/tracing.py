"""A network's method as a plain graph from tensors to tensors, as torch records it, and as ONNX."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from contextlib import redirect_stdout
from typing import Any

import torch
from torch import Tensor, nn

from visavis.nn.graph import Structure, flattened, rebuilt, structure_of


class Flat(nn.Module):
    """A method of a network as a module that takes and gives tensors alone.

    Args:
        network: whose method it is.
        name: of the method.
        arguments: as it is called with; only how they are built counts.

    Attributes:
        result: how what it gave last is built.
    """

    def __init__(self, network: nn.Module, name: str, arguments: tuple[object, ...]) -> None:
        super().__init__()
        self.network = network
        self._name, self._arguments = name, arguments
        self.result: Structure = None

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Call the method."""
        result = getattr(type(self.network), self._name)(self.network, *rebuilt(self._arguments, iter(tensors)))
        self.result = structure_of(result)
        # What is handed on as it came must be a result of its own.
        return tuple(tensor.clone() for tensor in flattened(result))


def traced(flat: nn.Module, arguments: tuple[object, ...]) -> Any:
    """Record a method by calling it once; nothing in a graph may depend on its tensors' values."""
    with warnings.catch_warnings(), torch.inference_mode(), torch.autocast("cpu", enabled=False):
        warnings.simplefilter("ignore")  # of shapes that are taken for constants, which they are
        return torch.jit.trace(flat, tuple(flattened(arguments)), check_trace=False)  # type: ignore[no-untyped-call]


#: The first that has grid_sample is 16; bilinear interpolation and softmax are as torch has them.
OPSET = 17


def as_onnx(recorded: Any, tensors: Sequence[Tensor], names: Sequence[str]) -> bytes:
    """What torch recorded as an ONNX model, whose inputs have the given names; needs ONNX's own package."""
    kept = io.BytesIO()
    # What it cannot export it prints in full before it raises.
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()), torch.inference_mode():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            recorded,
            tuple(tensors),
            kept,  # type: ignore[arg-type]
            input_names=list(names),
            opset_version=OPSET,
            dynamo=False,
        )
    return kept.getvalue()
