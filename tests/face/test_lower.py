"""The lower face laid over a frame: all else stays to the last bit, and its edge is soft."""

from __future__ import annotations

import numpy as np
import pytest

from visavis.drawn.drawing import Pose, draw
from visavis.face.align import Crop, crop_for
from visavis.face.lower import lower_face
from visavis.face.mesh import LEFT_EYE, LIPS, RIGHT_EYE, to_pixels
from visavis.face.model3d import load_face_model
from visavis.face.tracker import FaceTracker
from visavis.motion.spoken_face import mouth_share

SHARE = mouth_share(load_face_model())


@pytest.fixture(scope="module")
def seen() -> tuple[np.ndarray, Crop, np.ndarray]:
    """A full frame, the crop of its face, and its mesh there."""
    frame = np.full((480, 640, 3), 60, np.uint8)
    frame[40:440, 130:530] = draw(400, 3, Pose(mouth=0.4))
    with FaceTracker(video=False) as tracker:
        face = tracker.find(frame)
    assert face is not None
    crop = crop_for([face], 480, 640, crop=True)
    return frame, crop, crop.to_crop(face.mesh)


def test_it_covers_lips_and_chin_and_no_eye(seen: tuple[np.ndarray, Crop, np.ndarray]):
    _, _, mesh = seen
    part = lower_face([mesh], SHARE, 256)
    assert part.shape == (256, 256) and part.dtype == np.float32 and 0 <= part.min() <= part.max() <= 1
    x, y = np.rint(to_pixels(mesh, 256)).astype(int).T
    assert part[y[list(LIPS)], x[list(LIPS)]].min() > 0.99
    assert part[y[152] - 3, x[152]] > 0.5, "the chin"
    assert part[y[[*LEFT_EYE, *RIGHT_EYE]], x[[*LEFT_EYE, *RIGHT_EYE]]].max() == 0
    assert np.abs(np.diff(part, axis=0)).max() < 0.2, "soft"


def test_beyond_it_a_frame_stays_to_the_last_bit(seen: tuple[np.ndarray, Crop, np.ndarray]):
    frame, crop, mesh = seen
    part = lower_face([mesh], SHARE, 256)
    other = np.random.default_rng(0).integers(0, 256, (256, 256, 3)).astype(np.uint8)
    pasted = crop.paste(frame, other, part)
    changed = (pasted != frame).any(-1)
    rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
    pixels = (mesh[:, :2] + 1) * crop.side / 2 + (crop.left, crop.top)
    soft = 0.06 * crop.side
    assert pixels[4, 1] - soft < rows[0] and rows[-1] < pixels[152, 1] + soft, "from the nose to under the chin"
    assert pixels[:, 0].min() - soft < columns[0] and columns[-1] < pixels[:, 0].max() + soft
    assert changed.mean() > 0.02


def test_another_tint_is_levelled_to_that_of_the_frame(seen: tuple[np.ndarray, Crop, np.ndarray]):
    frame, crop, mesh = seen
    part = lower_face([mesh], SHARE, 256)
    tinted = np.clip(crop.cut(frame, 256).astype(int) + (14, -9, 6), 0, 255).astype(np.uint8)
    pasted = crop.paste(frame, tinted, part)
    changed = np.abs(pasted.astype(int) - frame).any(-1)
    assert np.abs(pasted.astype(int) - frame)[changed].mean() < 3, "of ten that the tint is"
