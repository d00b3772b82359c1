"""Graphs on OpenVINO, on x86 processors the fastest."""

from __future__ import annotations

import io
import itertools
import re
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from visavis.core.later import import_later
from visavis.nn.engine import Engine
from visavis.nn.graph import flattened
from visavis.runtime.backend import Array, Run
from visavis.runtime.cache import forget
from visavis.runtime.telemetry import no_telemetry

# OpenVINO's package imports front ends and tools that convert models, 10 MB that a compiled graph does without: its
# native module alone is what packages of 2025.4 to 2026.4 have in common.
import_later("openvino")
with no_telemetry():
    from openvino._pyopenvino import Core, Tensor, get_version

if TYPE_CHECKING:
    from visavis.runtime.tracing import Flat

_INPUT = re.compile(r"input(\d+)")


class OpenVino:
    """See :class:`visavis.runtime.backend.Backend`."""

    version = str(get_version())

    def __init__(self) -> None:
        self._core = Core()

    def build(self, flat: Flat, arguments: tuple[object, ...], engine: Engine) -> bytes:
        """Convert what torch recorded, and compile it."""
        from visavis.runtime.tracing import traced

        shapes = [list(each.shape) for each in flattened(arguments)]
        return _compiled(_converted(traced(flat, arguments), shapes), engine)

    def build_onnx(self, model: bytes, engine: Engine) -> bytes:
        """Read and compile a model."""
        return _compiled(_whole_core().read_model(model), engine)

    def load(self, made: bytes | memoryview, engine: Engine) -> Run:
        """Read a compiled graph."""
        if engine.streams > 1:
            return self._for_threads(made, engine)
        if isinstance(made, bytes):
            return _runner(self._core.import_model(io.BytesIO(made), "CPU", _settings(engine)), made)
        # Weights are looked at where they lie; nodes that lay theirs out as they like do so once, in the first run.
        kept = Tensor(np.frombuffer(made, np.uint8), shared_memory=True)
        return _runner(self._core.import_model(kept, "CPU", _settings(engine)), made)

    def _for_threads(self, made: bytes | memoryview, engine: Engine) -> Run:
        """A reading for each of the streams, with its share of the threads; threads that ask take them by turns.

        OpenVINO has streams of its own, which hand each call over to a thread of theirs and back: beside busy
        neighbours either way waits for its turn.
        """
        # Read once at once: what cannot be read is told here, where it is compiled again.
        readings, own = [self.load(made, engine.of_one_stream)], threading.local()
        asked, reading = itertools.count(), threading.Lock()

        def mine() -> Run:
            with reading:
                number = next(asked) % engine.streams
                while len(readings) <= number:
                    readings.append(self.load(made, engine.of_one_stream))
                return readings[number]

        def run(inputs: Sequence[Array]) -> Sequence[Array]:
            if not hasattr(own, "run"):
                own.run = mine()
            return own.run(inputs)  # type: ignore[no-any-return]

        return run


def _whole_core() -> Any:
    """What the package itself makes models with."""
    with no_telemetry():
        from openvino import Core as WholeCore

    return WholeCore()


def _compiled(model: Any, engine: Engine) -> bytes:
    kept = io.BytesIO()
    _whole_core().compile_model(model, "CPU", _settings(engine)).export_model(kept)
    return kept.getvalue()


def _converted(module: Any, shapes: Sequence[Sequence[int]]) -> Any:
    """What torch recorded, as OpenVINO has it.

    By the front end itself: ``openvino.convert_model`` is the same behind a door that reports its use over the network
    and silences the loggers of its callers.
    """
    with no_telemetry():
        from openvino import PartialShape, Type
        from openvino.frontend import FrontEndManager
        from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    front = FrontEndManager().load_by_framework("pytorch")
    decoder = TorchScriptPythonDecoder(module)  # the front end does not keep it, and needs it until the end
    read = front.load(decoder)
    for number, shape in enumerate(shapes):
        place = read.get_place_by_input_index(number)
        read.set_partial_shape(place, PartialShape(list(shape)))
        read.set_element_type(place, Type.f32)
    model = front.convert(read)
    for number, given in enumerate(model.inputs):
        given.get_tensor().set_names({f"input{number}"})
    return model


def _settings(engine: Engine) -> dict[str, Any]:
    return {
        "INFERENCE_PRECISION_HINT": "bf16" if engine.precision == "bf16" else "f32",
        "INFERENCE_NUM_THREADS": engine.threads or 1,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        "ENABLE_CPU_PINNING": False,  # a neighbour may sit on the processor that a thread is bound to
    }


def _runner(model: Any, made: bytes | memoryview) -> Run:
    """One request a thread, since a request computes one thing at a time.

    Args:
        model: compiled.
        made: what it was read from, which it may still look at.
    """
    forget(made)
    own = threading.local()
    # Inputs that do not count are left out of an ONNX model.
    numbers = [
        next(int(found[1]) for name in given.get_names() if (found := _INPUT.fullmatch(name))) for given in model.inputs
    ]

    def run(inputs: Sequence[Array]) -> Sequence[Array]:
        first = not hasattr(own, "request")
        if first:
            own.request = model.create_infer_request()
        request = own.request
        # A tensor does not keep the array whose memory it shares.
        own.inputs = [np.ascontiguousarray(inputs[number]) for number in numbers]
        for number, value in enumerate(own.inputs):
            request.set_input_tensor(number, Tensor(value, shared_memory=True))
        request.infer({}, share_outputs=True, decode_strings=False)  # outputs are taken below
        if first:
            forget(made)
        return [request.get_output_tensor(number).data for number in range(len(model.outputs))]

    return run
