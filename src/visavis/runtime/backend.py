"""What an engine has to be able to do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from visavis.nn.engine import Engine
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
        """Convert and compile; slow.

        Args:
            flat: the method.
            arguments: as it is called with.
            engine: precision and threads.
        """

    def load(self, made: bytes, engine: Engine) -> Run:
        """Make what :meth:`build` made ready to run.

        Raises:
            Exception: of any kind, where the bytes are not what they were.
        """
