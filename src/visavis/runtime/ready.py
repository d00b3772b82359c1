"""A graph made ready for an engine: read from the cache, or compiled, which is said, and kept."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Sequence
from functools import cache

from visavis.core.processor import processor
from visavis.nn.engine import Engine
from visavis.nn.graph import Structure
from visavis.runtime.backend import Backend, Run
from visavis.runtime.cache import Entry, GraphCache

log = logging.getLogger("visavis.runtime")
#: Engines as people call them.
WORDS = {"openvino": "OpenVINO", "onnx": "ONNX Runtime"}
#: Makes what an engine keeps of a graph, and says how the graph's result is built.
Build = Callable[[Backend], tuple[bytes, Structure]]


def ready(name: str, told: Sequence[str], build: Build, engine: Engine, cache: GraphCache) -> tuple[Run, Structure]:
    """What computes a graph, and how its result is built.

    Args:
        name: of the graph, for people.
        told: all that makes it what it is, beside engine and processor.
        build: makes it; slow, and not called where it is kept.
        engine: who computes it, with how many threads and how exactly.
        cache: where it is kept.

    Raises:
        Exception: of any kind, where the engine cannot compute it.
    """
    backend = backend_of(engine.name)
    everything = [engine.name, backend.version, engine.precision, *told, processor()]
    key = hashlib.sha256(json.dumps(everything).encode()).hexdigest()
    found = _loaded(key, engine, cache)
    if found is not None:
        return found
    with cache.alone():
        # Another process may have compiled it meanwhile.
        return _loaded(key, engine, cache) or _built(name, key, build, engine, cache)


def _loaded(key: str, engine: Engine, cache: GraphCache) -> tuple[Run, Structure] | None:
    entry = cache.get(key)
    if entry is None:
        return None
    try:
        return backend_of(engine.name).load(entry.made, engine), entry.result
    except Exception:  # engines raise what they like; what they cannot read is compiled again
        cache.drop(key)
        return None


def _built(name: str, key: str, build: Build, engine: Engine, cache: GraphCache) -> tuple[Run, Structure]:
    began = time.perf_counter()
    log.info("compiling %s for %s, once on this machine ...", name, WORDS[engine.name])
    backend = backend_of(engine.name)
    made, structure = build(backend)
    run = backend.load(made, engine)
    log.info("compiled %s in %.1f s", name, time.perf_counter() - began)
    cache.put(key, Entry(structure, made))
    return run, structure


@cache
def backend_of(name: str) -> Backend:
    """The engine of a name; its package is imported here and nowhere else."""
    if name == "openvino":
        from visavis.runtime.with_openvino import OpenVino

        return OpenVino()
    from visavis.runtime.with_onnx import OnnxRuntime

    return OnnxRuntime()


def first_line(error: Exception) -> str:
    """What an engine's error says first."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:200]
