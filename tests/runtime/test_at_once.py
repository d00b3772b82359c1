"""Several frames of one person that are rendered at the same time, by packaged graphs."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from observing import talking
from visavis.nn.engine import Engine, installed
from visavis.pipelines.load import load_generator

GENERATORS = ("avfr-256", "avfr-256-live")
OTHERS = [
    pytest.param(name, marks=pytest.mark.skipif(not installed(name), reason=f"{name} is not installed"))
    for name in ("openvino", "onnx")
]


@pytest.mark.parametrize("engine", OTHERS)
@pytest.mark.parametrize("name", GENERATORS)
def test_frames_that_are_rendered_at_the_same_time_are_those_of_one_after_the_other(name: str, engine: str):
    """To the bit; each of two threads computes in memory of its own, from the first frame on."""
    together = load_generator(name, Engine("cpu", "fp32", 2, engine).for_throughput())
    assert together.engine.streams == 2
    alone = load_generator(name, Engine("cpu", "fp32", 2, engine))
    assert alone.engine.streams == 1
    first, *others = talking(alone, 4)
    motions = [alone.analyse(one) for one in others] * 2
    person = together.prepare([first])
    with ThreadPoolExecutor(2) as threads:
        made = list(threads.map(lambda motion: person.render([motion], None), motions))
    wanted = [alone.prepare([first]).render([motion], None) for motion in motions]
    assert all(np.array_equal(one, other) for one, other in zip(made, wanted, strict=True))


@pytest.mark.parametrize(("streams", "readings"), [(1, 6), (2, 7), (3, 11)])
def test_what_takes_little_of_a_frame_is_read_once_for_two_that_are_rendered_at_the_same_time(
    streams: int, readings: int, monkeypatch: pytest.MonkeyPatch
):
    """Memory: of avfr's six graphs `decode` is read for each stream, three for every two, the source's two once."""
    with_openvino = pytest.importorskip("visavis.runtime.with_openvino")
    read, runner = [], with_openvino._runner
    monkeypatch.setattr(with_openvino, "_runner", lambda *given: read.append(given) or runner(*given))
    generator = load_generator("avfr-256", Engine("cpu", "fp32", streams, "openvino").for_throughput())
    first, other = talking(generator, 2)
    person, motion = generator.prepare([first]), generator.analyse(other)
    together = threading.Barrier(streams)

    def render(_: int) -> None:
        together.wait()  # so that each of them has a thread
        person.render([motion], None)

    with ThreadPoolExecutor(streams) as threads:
        list(threads.map(render, range(streams)))
    assert len(read) == readings
