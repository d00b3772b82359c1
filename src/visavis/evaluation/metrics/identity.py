"""Identity by dlib's face recognition network, on faces aligned by our own mesh.

The network (King 2017, ``dlib_face_recognition_resnet_model_v1``, public domain) is the one behind the package
face_recognition. It sees a chip of 150x150 in which two corners of each eye and the base of the nose have fixed places.
dlib finds these five points with a predictor of its own; here they come from the mesh that is at hand anyway, to a
fraction of a pixel, so that no second face detector decides what is compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.evaluation.metrics.dlib_network import load_dlib
from visavis.media.frame import Pixels

FILE = "dlib_face_recognition_resnet_model_v1.dat"
EMBEDDING = 128
_CHIP = 150
_PADDING = 0.25
#: Outer and inner corner of the person's left eye, of the right eye, base of the nose: in the mesh, ...
_CORNERS = (263, 362, 33, 133, 2)
#: ... and where dlib's training put them, as shares of a chip without padding.
_PLACES = np.array(
    [(0.859567, 0.213498), (0.646060, 0.228967), (0.120575, 0.213727), (0.334085, 0.229064), (0.490112, 0.627798)]
)

Embedding = NDArray[np.float32]


def chip(picture: Pixels, mesh: NDArray[np.float32]) -> Pixels:
    """Cut the aligned face ``uint8 [150, 150, 3]``.

    Args:
        picture: ``uint8 [H, W, 3]`` RGB.
        mesh: ``float32 [478, 2 or 3]`` in pixels of the picture, from pixel edges.
    """
    wanted = (_PLACES + _PADDING) / (1 + 2 * _PADDING) * _CHIP
    found = mesh[list(_CORNERS), :2].astype(np.float64)
    # Both as complex numbers, a similarity is one factor and one shift; least squares has a closed form.
    a, b = found @ (1, 1j), wanted @ (1, 1j)
    factor = np.vdot(a - a.mean(), b - b.mean()) / max(np.vdot(a - a.mean(), a - a.mean()).real, 1e-9)
    # From edges to pixel centres on both sides.
    shift = b.mean() - factor * a.mean() + factor * (0.5 + 0.5j) - (0.5 + 0.5j)
    turn = np.array([[factor.real, -factor.imag, shift.real], [factor.imag, factor.real, shift.imag]])
    shrink = abs(factor)
    if shrink < 0.5:
        blur = 0.5 / max(shrink, 0.01)
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), blur), np.uint8)
    return np.asarray(cv2.warpAffine(picture, turn, (_CHIP, _CHIP), borderMode=cv2.BORDER_REPLICATE), np.uint8)


class IdentityNetwork:
    """dlib's face recognition network.

    Args:
        path: :data:`FILE`.

    Raises:
        WeightsError: dlib is not installed, or the file is damaged.
    """

    def __init__(self, path: Path) -> None:
        self._network = load_dlib("face_recognition_model_v1", path, "dlib's face recognition network")

    def embed(self, chips: Sequence[Pixels]) -> NDArray[np.float32]:
        """Return embeddings ``float32 [N, 128]`` of aligned faces ``uint8 [150, 150, 3]``."""
        if not chips:
            return np.zeros((0, EMBEDDING), np.float32)
        return np.array([self._network.compute_face_descriptor(face) for face in chips], np.float32)


def identity_distance(a: Embedding, b: Embedding) -> float:
    """Euclidean distance of two embeddings: the term of ``aed``."""
    return float(np.linalg.norm(a.astype(np.float64) - b))


def identity_similarity(a: Embedding, b: Embedding) -> float:
    """Cosine of two embeddings: the term of ``csim``."""
    first, second = a.astype(np.float64), b.astype(np.float64)
    lengths = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(first @ second) / max(lengths, 1e-9)
