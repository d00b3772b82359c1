"""HeadGAN behind the contract: irises are shown where eyes look, and the past is drawn once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from visavis.face.gaze import eye_triangles, iris_mask, with_irises
from visavis.face.mesh import LEFT_EYE, RIGHT_EYE
from visavis.face.model3d import load_face_model
from visavis.face.nmfc import nmfc_colours
from visavis.face.raster import rasterise
from visavis.face.surface import draw_irises, face_pictures
from visavis.generators.headgan.config import HeadganConfig
from visavis.generators.headgan.generator import HeadganGenerator
from visavis.motion.layout import Motion

SIDE = 256


def seen_irises(gaze: np.ndarray, turn: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Where a face picture is white, and where OpenCV draws discs between the lids."""
    model = load_face_model()
    camera = np.array([0, 0, np.log(0.45), 0, turn, 0], np.float32)
    still = model.points(camera, np.zeros(len(model.identity)), np.zeros(len(model.expression)))
    vertices = with_irises(still, camera, gaze)
    index = torch.from_numpy(rasterise(still, model.triangles, SIDE).index)[None, None]
    faces = face_pictures(index, torch.from_numpy(nmfc_colours(model)))
    eyes = torch.from_numpy(eye_triangles(model.triangles).astype(np.float32))
    drawn = draw_irises(faces, index, torch.from_numpy(vertices)[None, None], eyes)
    assert torch.equal(drawn[:, :, : SIDE // 4], faces[:, :, : SIDE // 4]), "nothing else is changed"
    share = ((drawn - faces) / (1 - faces).clamp_min(1e-3))[0].mean(0)
    return (share > 0.5).numpy(), iris_mask(still, camera, gaze, SIDE)


def test_irises_are_white_discs_between_the_lids_where_the_eyes_look():
    """Beside OpenCV's own discs and polygons."""
    for gaze in ((0.0, 0.0), (0.4, -0.1), (-0.4, 0.1)):
        for turn in (0.0, 0.5):
            white, disc = seen_irises(np.array([gaze, gaze], np.float32), turn)
            assert disc.sum() > 50
            assert (white & disc).sum() > 0.7 * (white | disc).sum()


def test_the_triangles_of_eyes_lie_between_the_lids():
    model = load_face_model()
    inside = model.triangles[eye_triangles(model.triangles)]
    assert len(inside) == len(LEFT_EYE) + len(RIGHT_EYE) - 4, "as many as fill two polygons"
    assert set(inside.ravel().tolist()) == {*LEFT_EYE, *RIGHT_EYE}


def test_where_eyes_look_changes_the_picture_and_nothing_else_in_the_motion():
    torch.manual_seed(0)
    generator = HeadganGenerator(replace(HeadganConfig.tiny(), size=128, sound=0, hidden=16))
    layout = generator.kind.layout
    assert layout.names == ("identity", "expression", "camera", "gaze")
    still = Motion(np.zeros(layout.size, np.float32), layout).with_parts(camera=[0, 0, np.log(0.7), 0, 0, 0])
    aside = still.with_parts(gaze=np.full((2, 2), 0.6))
    faces = [
        generator._pictures(generator._seen(vertices)[:, None], vertices[None])
        for vertices in (generator._vertices(motion) for motion in (still, aside))
    ]
    assert not torch.equal(*faces)
    deaf_to_gaze = HeadganGenerator(replace(HeadganConfig.tiny(), sound=0, irises=False))
    assert "gaze" not in deaf_to_gaze.kind.layout
