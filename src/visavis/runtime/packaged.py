"""Graphs that come with the package: networks without torch, computed by an engine.

A file of graphs (``weights/packaged/NAME.graphs``) is a ZIP of ``index.json`` and one ONNX model a graph, which has
structure and no weights: it names the tensors of the weights file that it is computed from, batch norms unfolded. So
it fits any weights of its config, nothing is stored twice, and engines fold what does not change when they compile.
``tools/export_graphs.py`` writes it.
"""

from __future__ import annotations

import hashlib
import json
import threading
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visavis.core.errors import ConfigError
from visavis.nn.engine import Engine
from visavis.nn.graph import Graph, Step, Structure, built, flattened, structure_of
from visavis.runtime.backend import Backend, Run
from visavis.runtime.cache import GraphCache
from visavis.runtime.onnx_model import with_weights
from visavis.runtime.ready import WORDS, first_line, ready
from visavis.weights.checkpoint import arrays, sha256
from visavis.weights.store import PACKAGED

SUFFIX = ".graphs"
INDEX = "index.json"


@dataclass(frozen=True)
class Recorded:
    """One graph as a file of graphs has it.

    Attributes:
        takes, gives: how its arguments, shapes included, and its result are built.
        weights: names of the tensors that it is computed from.
        model: the ONNX model without them.
    """

    takes: Structure
    gives: Structure
    weights: tuple[str, ...]
    model: bytes


@dataclass(frozen=True)
class GraphFile:
    """A file of graphs.

    Attributes:
        path: of the file.
        family, config: of the network, as in the header of its weights.
        about: by the graph's name, what :class:`Recorded` says of it but for its model.
    """

    path: Path
    family: str
    config: Mapping[str, Any]
    about: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> GraphFile:
        """Read what it says of itself."""
        with zipfile.ZipFile(path) as file:
            index = json.loads(file.read(INDEX))
        return cls(path, index["family"], index["config"], index["graphs"])

    def graph(self, name: str) -> Recorded:
        """Read one graph."""
        about = self.about[name]
        with zipfile.ZipFile(self.path) as file:
            model = file.read(f"{name}.onnx")
        return Recorded(about["takes"], about["gives"], tuple(about["weights"]), model)


def packaged_graphs(family: str, config: Mapping[str, Any]) -> GraphFile | None:
    """The packaged graphs of networks of a family and config; None where there are none."""
    for path in sorted(PACKAGED.glob(f"*{SUFFIX}")):
        # A damaged file is as none: torch computes, where it is.
        with suppress(OSError, ValueError, LookupError, TypeError, zipfile.BadZipFile):
            found = GraphFile.read(path)
            if (found.family, found.config) == (family, config):
                return found
    return None


class PackagedRunner:
    """See :class:`visavis.nn.graph.Runner`: arrays are NumPy's, and an engine computes.

    Args:
        weights: file of the weights.
        file: graphs of its config.
        graphs: what the family says of them.
        engine: who computes them, with nothing left to choose.
        cache: of compiled graphs; None takes the user's.
    """

    def __init__(
        self, weights: Path, file: GraphFile, graphs: Iterable[Graph], engine: Engine, cache: GraphCache | None = None
    ) -> None:
        self._weights, self._file, self._engine = weights, file, engine
        self._graphs = {graph.name: graph for graph in graphs}
        self._cache = cache or GraphCache()
        self._ready: dict[str, tuple[Run, Structure, Structure]] = {}
        self._making = {name: threading.Lock() for name in self._graphs}

    def __call__(self, name: str, *arguments: object) -> Any:
        """Compute a graph."""
        run, takes, gives = self._found(name)
        given = flattened(arguments)
        if takes != shape_of(arguments, given):
            raise ValueError(f"{name} is recorded for other arguments")
        graph = self._graphs[name]
        results = run([np.ascontiguousarray(array, np.float32) for array in given])
        return built(graph.gives, gives, iter(results if graph.lent else [np.array(result) for result in results]))

    def weight(self, name: str) -> NDArray[np.float32]:
        """The numbers of one tensor of the weights."""
        return arrays(self._weights, [name])[name]

    def expect(self, names: Iterable[str]) -> None:
        """See :meth:`visavis.nn.graph.Runner.expect`."""
        # Python waits for it at its end, so that no engine is taken away while it works.
        threading.Thread(target=self._find_all, args=(list(names),), name="visavis-graphs").start()

    def _find_all(self, names: Sequence[str]) -> None:
        for name in names:
            with suppress(ConfigError):  # which is for who calls it
                self._found(name)

    def let_go(self, names: Iterable[str]) -> None:
        """See :meth:`visavis.nn.graph.Runner.let_go`."""
        for name in names:
            self._ready.pop(name, None)

    def computing(self, *, reduced: bool) -> AbstractContextManager[object]:
        """Nothing: engines have their precision and threads from the start."""
        return nullcontext()

    @cached_property
    def _weights_hash(self) -> str:
        return sha256(self._weights)

    def _found(self, name: str) -> tuple[Run, Structure, Structure]:
        with self._making[name]:
            if name not in self._ready:
                self._ready[name] = self._made(name)
            return self._ready[name]

    def _made(self, name: str) -> tuple[Run, Structure, Structure]:
        graph, recorded = self._graphs[name], self._file.graph(name)
        engine = self._engine
        if graph.exact:
            engine = replace(engine, precision="fp32")
        engine = engine.of_streams(_readings(graph, engine))

        def build(backend: Backend) -> tuple[bytes, Structure]:
            model = with_weights(recorded.model, arrays(self._weights, recorded.weights))
            return backend.build_onnx(model, engine), recorded.gives

        told = [name, hashlib.sha256(recorded.model).hexdigest(), self._weights_hash]
        try:
            run, gives = ready(f"{self._file.family}.{name}", told, build, engine, self._cache)
        except Exception as error:  # engines raise what they like
            raise ConfigError(
                f"{WORDS[engine.name]} cannot compute {name} of {self._weights}: {first_line(error)}"
            ) from error
        return run, recorded.takes, gives


def _readings(graph: Graph, engine: Engine) -> int:
    """How many times a graph is read, which may then be computed at the same time."""
    if Step.RENDER not in graph.steps:  # no two threads call it at the same time
        return 1
    return -(-engine.streams // 2) if graph.brief else engine.streams


def shape_of(arguments: tuple[object, ...], given: Sequence[Any]) -> Structure:
    """How arguments are built, and the shapes of their arrays."""
    return [structure_of(arguments), [list(array.shape) for array in given]]
