"""The packaged face model as windows of frames need it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from visavis.face.fitting import fit_clip
from visavis.face.gaze import eye_triangles, gaze_of, with_irises
from visavis.face.model3d import load_face_model
from visavis.face.nmfc import landmark_colours, nmfc_colours
from visavis.training.data.windows import FaceShape

Floats = NDArray[np.float32]


def face_shape(*, irises: bool, landmarks: bool = False) -> FaceShape:
    """The packaged face model, fitted to each clip with one identity.

    Args:
        irises: whether the middles of the irises are two more vertices.
        landmarks: whether face pictures show contours alone.
    """
    model = load_face_model()

    def fitted(meshes: Floats) -> Floats:
        fit = fit_clip(meshes, model)
        points = model.points(fit.camera, fit.identity, fit.expression)
        return with_irises(points, fit.camera, gaze_of(meshes, fit.camera)) if irises else points

    eyes = eye_triangles(model.triangles).astype(np.float32)
    colours = landmark_colours(model) if landmarks else nmfc_colours(model)
    return FaceShape(np.asarray(model.triangles, np.int64), colours, eyes, fitted)
