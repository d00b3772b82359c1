"""From a name or a path to a generator that is ready to use."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from visavis.generators.base import Generator, family_of
from visavis.nn.engine import Engine
from visavis.nn.graph import Graph
from visavis.runtime.packaged import PackagedRunner, packaged_graphs
from visavis.weights.checkpoint import Checkpoint, load
from visavis.weights.store import resolve


def load_generator(name_or_path: str, engine: Engine | None = None, *, fold: bool = True) -> Generator:
    """Load weights into the generator of their family, ready to render.

    Args:
        name_or_path: of the weights.
        engine: where and how to compute; None chooses for this machine.
        fold: make rendering fast, by the engine too, after which the network is neither trained nor saved.

    Raises:
        ConfigError: an engine that is not there.
        WeightsError: not found, damaged, of an unknown family, or keys that do not match.
    """
    path = resolve(name_or_path)
    header = load(path, tensors=False)
    chosen = (engine or Engine()).chosen()
    family = family_of(header.family)
    runner = packaged_runner(path, header, family.graphs, chosen) if fold else None
    if runner is not None:
        return family.of_graphs(header.config, runner, chosen)
    from visavis.runtime.compiled import compile_graphs
    from visavis.weights.network import load_fitting

    # Torch computes between graphs, and its threads are set for the whole process.
    chosen = replace(chosen, streams=1)
    network = load_fitting(path, header, lambda: family.new_network(header.config))
    generator = family.from_checkpoint(header.config, network, chosen)
    if fold:
        generator.fold(compile_graphs)
    return generator


def packaged_runner(path: Path, header: Checkpoint, graphs: Iterable[Graph], engine: Engine) -> PackagedRunner | None:
    """What computes graphs of weights without their network; None where torch was chosen, or they are not packaged.

    Args:
        path, header: of the weights.
        graphs: what their family says of them.
        engine: with nothing left to choose.
    """
    file = None if engine.name == "torch" else packaged_graphs(header.family, header.config)
    return None if file is None else PackagedRunner(path, file, graphs, engine)
