"""Person against background, by MediaPipe's selfie segmentation."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from visavis.core.closing import Closing
from visavis.face.quiet import quiet_native_logs
from visavis.media.frame import Pixels


class Segmenter(Closing):
    """Computes the segmentation prior of AVFR-GAN (section 3); keeps its graph between frames."""

    def __init__(self) -> None:
        self._graph: Any = None
        self._calls = 0

    def close(self) -> None:
        """Free MediaPipe's graph."""
        if self._graph is not None:
            self._graph.close()
            self._graph = None

    def mask(self, pixels: Pixels) -> NDArray[np.uint8]:
        """Return ``uint8 [H, W]`` for an RGB picture; 255 is certainly a person, 0 certainly not."""
        self._calls += 1
        with quiet_native_logs(self._calls - 1):
            if self._graph is None:
                from mediapipe.python.solutions.selfie_segmentation import SelfieSegmentation

                # Model 0 works at 256x256, the aspect of our crops.
                self._graph = SelfieSegmentation(model_selection=0)
            found = self._graph.process(np.ascontiguousarray(pixels))
        return np.clip(np.rint(found.segmentation_mask * 255), 0, 255).astype(np.uint8)
