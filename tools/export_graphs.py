"""Record the graphs of packaged weights, so that engines compute them without torch.

python tools/export_graphs.py NAME ...

Writes ``NAME.graphs`` beside the weights; to be repeated when a network's code, or the shape of its weights, changes.
What is written depends on the versions of torch and of ONNX's package, not on the machine.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable

import numpy as np

from visavis.audio import recogniser
from visavis.audio.characters import PART_SAMPLES
from visavis.core.config import build
from visavis.core.registry import FAMILIES
from visavis.drawn.synthetic import TalkingFace
from visavis.face.align import whole
from visavis.generators.base import family_of
from visavis.motion.speech import speaker
from visavis.motion.speech.config import SpeakerConfig
from visavis.nn.engine import PLAIN
from visavis.nn.graph import Graph
from visavis.pipelines.analyse import Analyser
from visavis.pipelines.describe import new_network
from visavis.runtime.packaged import SUFFIX, Recorded
from visavis.runtime.recording import Recorder, write_graphs
from visavis.weights.checkpoint import Checkpoint, load
from visavis.weights.network import load_fitting
from visavis.weights.store import PACKAGED, resolve


def recorded(name: str) -> tuple[str, dict[str, object], dict[str, Recorded]]:
    """Family, config and graphs of packaged weights, as they are called by whatever uses them."""
    path = resolve(name)
    header = load(path, tensors=False)
    network = load_fitting(path, header, lambda: new_network(header.family, header.config)).eval().requires_grad_(False)
    recorder = Recorder(network)
    graphs = _generated if header.family in FAMILIES else _OTHERS[header.family]
    made = {graph.name: recorder.recorded(graph.name) for graph in graphs(header, recorder)}
    return header.family, header.config, made


def _generated(header: Checkpoint, recorder: Recorder) -> Iterable[Graph]:
    """One drawn face that is animated by itself."""
    family = family_of(header.family)
    generator = family.of_graphs(header.config, recorder, PLAIN)
    frame = next(TalkingFace(3, generator.size).frames(1))
    with Analyser(generator.needs, video=False) as analyser:
        face = analyser.find(frame)
        assert face is not None, "the drawn face must be found"
        seen = analyser.observe(frame, face, whole(generator.size, generator.size), generator.size)
    person = generator.prepare([seen] * generator.references.least)
    person.render([generator.analyse(seen)] * (generator.memory + 1), None)
    return family.graphs


def _spoken(header: Checkpoint, recorder: Recorder) -> Iterable[Graph]:
    """A frame in silence of somebody who moved in silence before."""
    config = build(SpeakerConfig, header.config)
    made = speaker.Speaker(config, recorder)
    silence = made.hears.silence()
    rhythm = made.rhythm_of(np.zeros((2, 6), np.float32), np.stack([silence, silence]))
    made.speaking(np.zeros(config.identity, np.float32), rhythm=rhythm).next(silence)
    return speaker.GRAPHS


def _heard(header: Checkpoint, recorder: Recorder) -> Iterable[Graph]:
    """A frame of silence."""
    config = build(recogniser.CharacterConfig, header.config)
    made = recogniser.CharacterRecogniser(config, recorder, recogniser.PARTS_OF_A_FRAME)
    made.logits(np.zeros(PART_SAMPLES + 2 * made.reach_samples, np.float32))
    return recogniser.GRAPHS


#: Of families that are no generators.
_OTHERS: dict[str, Callable[[Checkpoint, Recorder], Iterable[Graph]]] = {
    speaker.FAMILY: _spoken,
    recogniser.FAMILY: _heard,
}


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
