"""What windows learn from beside pictures: the packaged face model, and the sound features."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from visavis.audio.speech import SpeechFeatures
from visavis.face.model3d import load_face_model
from visavis.face.raster import nmfc_colours
from visavis.training.data.windows import FaceShape

Floats = NDArray[np.float32]


def face_shape() -> FaceShape:
    """The packaged face model, fitted to each clip with one identity."""
    model = load_face_model()

    def fitted(meshes: Floats) -> Floats:
        return np.asarray(model.points(model.fit_clip(meshes)), np.float32)

    return FaceShape(np.asarray(model.triangles, np.int64), nmfc_colours(model), fitted)


def heard() -> Callable[[Floats, int], Floats]:
    """Sound features of a clip at 25 frames a second."""
    features = SpeechFeatures.load()
    return lambda samples, frames: features.of_clip(samples, frames, 25)
