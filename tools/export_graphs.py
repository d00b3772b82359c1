"""Record the graphs of packaged weights, so that engines compute them without torch.

python tools/export_graphs.py NAME ...

Writes ``NAME.graphs`` beside the weights; to be repeated when a network's code, or the shape of its weights, changes.
What is written depends on the versions of torch and of ONNX's package, not on the machine.
"""

from __future__ import annotations

import sys

from visavis.drawn.synthetic import TalkingFace
from visavis.face.align import whole
from visavis.generators.base import family_of
from visavis.nn.engine import PLAIN
from visavis.pipelines.analyse import Analyser
from visavis.runtime.packaged import SUFFIX, Recorded
from visavis.runtime.recording import Recorder, write_graphs
from visavis.weights.checkpoint import load
from visavis.weights.network import load_fitting
from visavis.weights.store import PACKAGED, resolve


def recorded(name: str) -> tuple[str, dict[str, object], dict[str, Recorded]]:
    """Family, config and graphs of packaged weights, from one drawn face that is animated by itself."""
    path = resolve(name)
    header = load(path, tensors=False)
    family = family_of(header.family)
    network = load_fitting(path, header, lambda: family.new_network(header.config)).requires_grad_(False)
    recorder = Recorder(network)
    generator = family.of_graphs(header.config, recorder, PLAIN)
    frame = next(TalkingFace(3, generator.size).frames(1))
    with Analyser(generator.needs, video=False) as analyser:
        face = analyser.find(frame)
        assert face is not None, "the drawn face must be found"
        seen = analyser.observe(frame, face, whole(generator.size, generator.size), generator.size)
    person = generator.prepare([seen] * generator.references.least)
    person.render([generator.analyse(seen)] * (generator.memory + 1), None)
    return header.family, header.config, {graph.name: recorder.recorded(graph.name) for graph in family.graphs}


def main(*names: str) -> None:
    """Record each of the names."""
    for name in names:
        family, config, graphs = recorded(name)
        path = PACKAGED / f"{name}{SUFFIX}"
        write_graphs(path, family, config, graphs)
        path.chmod(0o644)
        print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main(*sys.argv[1:])
