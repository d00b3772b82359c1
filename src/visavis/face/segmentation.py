"""Person against background, by MediaPipe's selfie segmentation."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from visavis.face.graph import FaceGraph
from visavis.media.frame import Pixels


class Segmenter(FaceGraph):
    """Computes the segmentation prior of AVFR-GAN (section 3); keeps its graph between frames."""

    def _new_graph(self) -> Any:
        from mediapipe.python.solutions.selfie_segmentation import SelfieSegmentation

        # Model 0 works at 256x256, the aspect of our crops.
        return SelfieSegmentation(model_selection=0)

    def mask(self, pixels: Pixels) -> NDArray[np.uint8]:
        """Return ``uint8 [H, W]`` for an RGB picture; 255 is certainly a person, 0 certainly not."""
        found = self._process(pixels)
        return np.clip(np.rint(found.segmentation_mask * 255), 0, 255).astype(np.uint8)
