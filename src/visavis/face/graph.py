"""A graph of MediaPipe's: made with its first picture, kept between pictures, freed at the end."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np

from visavis.core.closing import Closing
from visavis.core.later import import_later
from visavis.face.quiet import quiet_native_logs
from visavis.media.frame import Pixels

#: Packages of MediaPipe that import all their neighbours: sound devices, an HTTP client, every solution and, to draw,
#: matplotlib.
_CROWDED = ("mediapipe", "mediapipe.python", "mediapipe.python.solutions")


class FaceGraph(Closing):
    """Base of what asks MediaPipe; its native code says nothing on stderr while the graph starts."""

    def __init__(self) -> None:
        self._graph: Any = None
        self._calls = 0

    @abstractmethod
    def _new_graph(self) -> Any:
        """Import what of MediaPipe is needed, and make it."""

    def _process(self, pixels: Pixels, *told: float) -> Any:
        """What the graph finds in ``uint8 [H, W, 3]`` RGB, as MediaPipe says it.

        Args:
            pixels: the picture.
            told: what else the graph is told.
        """
        self._calls += 1
        with quiet_native_logs(self._calls - 1):
            if self._graph is None:
                import_later(*_CROWDED)
                self._graph = self._new_graph()
            return self._graph.process(np.ascontiguousarray(pixels), *told)

    def close(self) -> None:
        """Free the graph."""
        if self._graph is not None:
            self._graph.close()
            self._graph = None
