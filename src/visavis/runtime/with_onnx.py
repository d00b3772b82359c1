"""Graphs on ONNX Runtime, which runs on most systems and processors; fp32."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime as ort

from visavis.nn.engine import Engine
from visavis.nn.graph import flattened
from visavis.runtime.backend import Array, Run

if TYPE_CHECKING:
    from visavis.runtime.tracing import Flat


class OnnxRuntime:
    """See :class:`visavis.runtime.backend.Backend`."""

    version = str(ort.__version__)

    def build(self, flat: Flat, arguments: tuple[object, ...], engine: Engine) -> bytes:
        """Export what torch recorded as ONNX."""
        from visavis.runtime.tracing import as_onnx, traced

        tensors = flattened(arguments)
        names = [f"input{number}" for number in range(len(tensors))]
        return self.build_onnx(as_onnx(traced(flat, arguments), tensors, names), engine)

    def build_onnx(self, model: bytes, engine: Engine) -> bytes:
        """The model itself, which is read in less time than it takes to keep more."""
        return model

    def load(self, made: bytes | memoryview, engine: Engine) -> Run:
        """Make a session of an ONNX file."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = engine.of_one_stream.threads or 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Threads that wait sleep: spinning, they take the processor that a neighbour, or the working one, waits for.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        session = ort.InferenceSession(bytes(made), options, providers=["CPUExecutionProvider"])
        names = [given.name for given in session.get_inputs()]
        numbers = [int(name.removeprefix("input")) for name in names]

        def run(inputs: Sequence[Array]) -> Sequence[Array]:
            given = {name: np.ascontiguousarray(inputs[number]) for name, number in zip(names, numbers, strict=True)}
            return session.run(None, given)  # type: ignore[no-any-return]

        return run
