"""A network whose graphs another engine computes, in place of its own methods."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

import torch
from torch import Tensor, nn
from torch.utils.weak import WeakIdKeyDictionary

from visavis.core.processor import processor
from visavis.nn.engine import Engine
from visavis.nn.graph import Graph, Structure, built, flattened, structure_of
from visavis.runtime.backend import Array, Backend, Run
from visavis.runtime.cache import Entry, GraphCache
from visavis.runtime.tracing import Flat

log = logging.getLogger("visavis.runtime")
#: Rooms of the package whose code makes a graph what it is.
_ROOMS = ("nn", "motion", "audio", "generators", "enhance", "runtime")
_WORDS = {"openvino": "OpenVINO", "onnx": "ONNX Runtime"}


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
    if engine.name not in _WORDS:
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
        backend = backend_of(self._engine.name)
        told = [self._engine.name, backend.version, self._engine.precision, self._graph.name, shape, self._about]
        key = hashlib.sha256(json.dumps([*told, processor(), torch.__version__]).encode()).hexdigest()
        found = self._loaded(backend, key)
        if found is not None:
            return found
        with self._cache.alone():
            # Another process may have compiled it meanwhile.
            return self._loaded(backend, key) or self._built(backend, key, arguments)

    def _loaded(self, backend: Backend, key: str) -> tuple[Run, Structure] | None:
        entry = self._cache.get(key)
        if entry is None:
            return None
        try:
            return backend.load(entry.made, self._engine), entry.result
        except Exception:  # engines raise what they like; what they cannot read is compiled again
            self._cache.drop(key)
            return None

    def _built(self, backend: Backend, key: str, arguments: tuple[object, ...]) -> tuple[Run, Structure] | None:
        name = f"{type(self._network).__name__}.{self._graph.name}"
        began = time.perf_counter()
        log.info("compiling %s for %s, once on this machine ...", name, _WORDS[self._engine.name])
        flat = Flat(self._network, self._graph.name, arguments)
        try:
            made = backend.build(flat, arguments, self._engine)
            run = backend.load(made, self._engine)
        except Exception as error:  # engines raise what they like
            log.warning("%s cannot compute %s, so torch does: %s", _WORDS[self._engine.name], name, _first_line(error))
            return None
        log.info("compiled %s in %.1f s", name, time.perf_counter() - began)
        self._cache.put(key, Entry(flat.result, made))
        return run, flat.result


@cache
def backend_of(name: str) -> Backend:
    """The engine of a name; its package is imported here and nowhere else."""
    if name == "openvino":
        from visavis.runtime.with_openvino import OpenVino

        return OpenVino()
    from visavis.runtime.with_onnx import OnnxRuntime

    return OnnxRuntime()


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


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:200]
