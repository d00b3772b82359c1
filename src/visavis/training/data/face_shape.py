"""What windows learn from beside pictures: the packaged face model, and the sound features."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from visavis.audio.speech import SpeechFeatures
from visavis.face.fitting import fit_clip
from visavis.face.model3d import load_face_model
from visavis.training.data.windows import FaceShape

Floats = NDArray[np.float32]


def face_shape() -> FaceShape:
    """The packaged face model, fitted to each clip with one identity."""
    model = load_face_model()
    low, high = model.mean.min(0), model.mean.max(0)
    colours = (model.mean[model.triangles].mean(1) - low) / (high - low)

    def fitted(meshes: Floats) -> Floats:
        fit = fit_clip(meshes, model)
        return model.points(fit.camera, fit.identity, fit.expression)

    return FaceShape(np.asarray(model.triangles, np.int64), np.asarray(colours, np.float32), fitted)


def heard() -> Callable[[Floats, int], Floats]:
    """Sound features of a clip at 25 frames a second."""
    features = SpeechFeatures.load()
    return lambda samples, frames: features.of_clip(samples, frames, 25)
