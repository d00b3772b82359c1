"""From a name or a path to a generator that is ready to use."""

from __future__ import annotations

from dataclasses import replace

from visavis.generators.base import Generator, family_of
from visavis.nn.engine import Engine
from visavis.runtime.packaged import PackagedRunner, packaged_graphs
from visavis.weights.checkpoint import load
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
    if fold and chosen.name != "torch" and (file := packaged_graphs(header.family, header.config)) is not None:
        return family.of_graphs(header.config, PackagedRunner(path, file, family.graphs, chosen), chosen)
    from visavis.runtime.compiled import compile_graphs
    from visavis.weights.network import load_fitting

    # Torch computes between graphs, and its threads are set for the whole process.
    chosen = replace(chosen, streams=1)
    network = load_fitting(path, header, lambda: family.new_network(header.config))
    generator = family.from_checkpoint(header.config, network, chosen)
    if fold:
        generator.fold(compile_graphs)
    return generator
