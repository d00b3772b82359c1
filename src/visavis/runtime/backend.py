"""What an engine has to be able to do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from visavis.nn.engine import Engine

if TYPE_CHECKING:
    from visavis.runtime.tracing import Flat

Array = NDArray[np.float32]
#: From all inputs of a graph to its outputs, which stay as they are until the same thread's next call.
Run = Callable[[Sequence[Array]], Sequence[Array]]


class Backend(Protocol):
    """Turns a graph into bytes that can be kept, and such bytes into something that runs."""

    @property
    def version(self) -> str:
        """Of the engine; what one version has made, another does not read."""

    def build(self, flat: Flat, arguments: tuple[object, ...], engine: Engine) -> bytes:
        """Convert and compile what torch records; slow.

        Args:
            flat: the method.
            arguments: as it is called with.
            engine: precision and threads.
        """

    def build_onnx(self, model: bytes, engine: Engine) -> bytes:
        """Compile an ONNX model, whose inputs are named ``input0`` and so on; slow.

        Args:
            model: with its weights.
            engine: precision and threads.
        """

    def load(self, made: bytes | memoryview, engine: Engine) -> Run:
        """Make what :meth:`build` made ready to run.

        Raises:
            Exception: of any kind, where the bytes are not what they were.
        """
