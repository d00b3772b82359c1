"""A network whose graphs another engine computes, in place of its own methods."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

import torch
from torch import Tensor, nn
from torch.utils.weak import WeakIdKeyDictionary

from visavis.nn.engine import Engine
from visavis.nn.graph import Graph, Structure, built, flattened, structure_of
from visavis.runtime.backend import Array, Backend, Run
from visavis.runtime.cache import GraphCache
from visavis.runtime.ready import WORDS, first_line, log, ready
from visavis.runtime.tracing import Flat

#: Rooms of the package whose code makes a graph what it is.
_ROOMS = ("nn", "motion", "audio", "generators", "enhance", "runtime")


def compile_graphs(
    network: nn.Module, graphs: Iterable[Graph], engine: Engine, cache: GraphCache | None = None
) -> None:
    """Have an engine compute graphs of a network from here on; torch does what it did.

    A graph is compiled when it is first called, or read from the cache, where it is kept for other processes. What an
    engine cannot compile stays torch's, with a warning in the log.

    Args:
        network: in evaluation mode; its weights must not change any more.
        graphs: its methods.
        engine: who computes them, with nothing left to choose.
        cache: of compiled graphs; None takes the user's.
    """
    if engine.name not in WORDS:
        return
    about = f"{_weights_of(network)} {_code()}"
    for graph in graphs:
        setattr(network, graph.name, Compiled(network, graph, engine, about, cache or GraphCache()))


class Compiled:
    """Stands in place of a method.

    Args:
        network: whose method it is.
        graph: which method.
        engine: who computes it.
        about: what the network is, in words that no other network has.
        cache: of compiled graphs.
    """

    def __init__(self, network: nn.Module, graph: Graph, engine: Engine, about: str, cache: GraphCache) -> None:
        self._network, self._graph, self._cache = network, graph, cache
        self._method = getattr(type(network), graph.name)
        self._hint = get_type_hints(self._method)["return"]
        self._engine = replace(engine, precision="fp32") if graph.exact else engine
        self._about = f"{type(network).__qualname__} {about}"
        self._in_order: Any = WeakIdKeyDictionary()
        self._ready: dict[str, tuple[Run, Structure] | None] = {}

    def __call__(self, *arguments: object) -> Any:
        """Compute what the method would."""
        tensors = flattened(arguments)
        shape = json.dumps([structure_of(arguments), [list(tensor.shape) for tensor in tensors]])
        if shape not in self._ready:
            self._ready[shape] = self._made(arguments, shape)
        ready = self._ready[shape]
        if ready is None:
            return self._method(self._network, *arguments)
        run, structure = ready
        results = [torch.from_numpy(array) for array in run([self._array(tensor) for tensor in tensors])]
        if not self._graph.lent:
            results = [result.clone() for result in results]
        return built(self._hint, structure, iter(results))

    def _array(self, tensor: Tensor) -> Array:
        """The numbers of a tensor in order; what a person's tensors are copied to is kept as long as they are."""
        if tensor.is_contiguous() and tensor.dtype == torch.float32:
            return tensor.numpy()  # type: ignore[no-any-return]
        if tensor not in self._in_order:
            self._in_order[tensor] = tensor.float().contiguous().numpy()
        return self._in_order[tensor]  # type: ignore[no-any-return]

    def _made(self, arguments: tuple[object, ...], shape: str) -> tuple[Run, Structure] | None:
        """The graph for tensors of these shapes; None where the engine cannot compute it."""
        name = f"{type(self._network).__name__}.{self._graph.name}"

        def build(backend: Backend) -> tuple[bytes, Structure]:
            flat = Flat(self._network, self._graph.name, arguments)
            return backend.build(flat, arguments, self._engine), flat.result

        told = [self._graph.name, shape, self._about, torch.__version__]
        try:
            return ready(name, told, build, self._engine, self._cache)
        except Exception as error:  # engines raise what they like
            log.warning("%s cannot compute %s, so torch does: %s", WORDS[self._engine.name], name, first_line(error))
            return None


def _weights_of(network: nn.Module) -> str:
    """A hash of all numbers in a network."""
    digest = hashlib.sha256()
    named: Sequence[tuple[str, Tensor]] = [*network.named_parameters(), *network.named_buffers()]
    for name, tensor in named:
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().float().contiguous().numpy().tobytes())
    return digest.hexdigest()


@cache
def _code() -> str:
    """A hash of the code that graphs are recorded from."""
    root = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for path in sorted(path for room in _ROOMS for path in (root / room).rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
