"""Writes files of graphs (:mod:`visavis.runtime.packaged`): what torch computes, recorded from a family's generator."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from visavis.core.aside import written_aside
from visavis.nn.arrays import mapped
from visavis.nn.engine import PLAIN
from visavis.nn.folding import melted
from visavis.nn.graph import flattened, rebuilt, structure_of
from visavis.nn.torch_runner import TorchRunner
from visavis.runtime.packaged import INDEX, Recorded, shape_of
from visavis.runtime.tracing import as_onnx, traced

_EPOCH = (1980, 1, 1, 0, 0, 0)  # files of the same content are the same files


class Recorder(TorchRunner[nn.Module]):
    """Computes a network's graphs by torch, and remembers with what each was called first.

    Args:
        network: in evaluation mode, as it is trained.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__(network, PLAIN)
        self.called: dict[str, tuple[object, ...]] = {}

    def __call__(self, name: str, *arguments: object) -> Any:
        """See :class:`visavis.nn.graph.Runner`."""
        self.called.setdefault(name, mapped(arguments, lambda array: torch.as_tensor(array).contiguous()))
        return super().__call__(name, *arguments)

    def recorded(self, name: str) -> Recorded:
        """A graph that was called."""
        return record(self.network, name, self.called[name])


class _OfWeights(nn.Module):
    """A method of a network as a function of its weights too: so what is folded is computed in the graph."""

    def __init__(self, network: nn.Module, names: Sequence[str], method: str, arguments: tuple[object, ...]) -> None:
        super().__init__()
        self._network, self._names = [network], names  # in a list, so that its weights are none of this module's
        self._method, self._arguments = method, arguments
        self.result: Any = None

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Put weights into a copy of the network, fold it, and call the method."""
        (network,), count = self._network, len(self._names)
        own = network.state_dict(keep_vars=True)
        # Those that are no weights are constants; a copy of any would be one too.
        shared = {id(tensor): tensor for tensor in [*network.parameters(), *network.buffers()]}
        given = {id(own[name]): tensor for name, tensor in zip(self._names, tensors[:count], strict=True)}
        fast = melted(deepcopy(network, {**shared, **given}))
        result = getattr(fast, self._method)(*rebuilt(self._arguments, iter(tensors[count:])))
        self.result = structure_of(result)
        return tuple(tensor.clone() for tensor in flattened(result))


def record(network: nn.Module, name: str, arguments: tuple[object, ...]) -> Recorded:
    """Record a method of a network.

    Args:
        network: in evaluation mode, as it is trained.
        name: of the method.
        arguments: as it is called with; nothing may depend on the values of their tensors.
    """
    state = {key: tensor for key, tensor in network.state_dict().items() if tensor.dtype == torch.float32}
    given = flattened(arguments)
    module = _OfWeights(network, list(state), name, arguments)
    tensors = [*state.values(), *given]
    model = onnx.load_from_string(
        as_onnx(traced(module, tuple(tensors)), tensors, [*state, *(f"input{number}" for number in range(len(given)))])
    )
    weights = [each for each in model.graph.input if each.name in state]
    for each in weights:
        model.graph.input.remove(each)
    for node in model.graph.node:
        node.ClearField("doc_string")
        node.ClearField("metadata_props")
    takes = shape_of(arguments, given)
    names = tuple(each.name for each in weights)
    return Recorded(takes, module.result, names, model.SerializeToString(deterministic=True))


def write_graphs(path: Path, family: str, config: dict[str, Any], graphs: dict[str, Recorded]) -> None:
    """Write a file of graphs aside, then give it its name."""
    about = {name: {"takes": g.takes, "gives": g.gives, "weights": g.weights} for name, g in graphs.items()}
    index = json.dumps({"family": family, "config": config, "graphs": about}, sort_keys=True)
    with written_aside(path) as aside, zipfile.ZipFile(aside, "w") as file:
        for name, content in [(INDEX, index.encode()), *((f"{name}.onnx", g.model) for name, g in graphs.items())]:
            entry = zipfile.ZipInfo(name, _EPOCH)
            file.writestr(entry, content, zipfile.ZIP_DEFLATED, 9)
