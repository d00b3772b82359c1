"""A head's motion apart from what its face does (Chen et al. 2020, section 3.3 and figure 3a).

The rigid motion of a frame is that of 27 points that deform least against a canonical face; what is left is expression.
The paper's ``[R, T]`` has six numbers and omits the camera; ours are the camera's six, whose scale stands for the
distance that a weakly perspective face has not.

This is the paper's way, for meshes of any face. The packaged speaker learned from cameras of the fitted 3D face
(:func:`visavis.face.fitting.fit_clip`), in which every point counts by how rigid it is, by the same similarity.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from visavis.face.fitting import heads_of
from visavis.face.mirror import MIRROR
from visavis.face.model3d import rotation_matrices
from visavis.face.types import SKIN_POINTS

Array = NDArray[np.float32]

#: The points that deform least over 396 clips of 166 people, by :func:`steadiest`: nose, its bridge, and the skin
#: around it.
STILL_POINTS: tuple[int, ...] = (
    *(6, 47, 101, 102, 134, 142, 188, 190, 193, 196, 198, 228, 230, 232),
    *(277, 330, 331, 363, 371, 412, 414, 417, 419, 420, 448, 450, 452),
)
#: Of a canonical face whose eyes' outer corners lie 1.8 apart: nearer points would say the same twice.
_APART = 0.2


@dataclass(frozen=True, eq=False)
class Disentangled:
    """Frames of one person, head and face apart.

    Attributes:
        head: ``float64 [T, 6]``: tx, ty, log scale, rotation vector of the head against the canonical face.
        faces: ``float64 [T, P, 3]``: what the face does, in the canonical face's coordinates (the paper's ``p_t``).
    """

    head: NDArray[np.float64]
    faces: NDArray[np.float64]


def disentangle(meshes: Array, canonical: Array, points: tuple[int, ...] = STILL_POINTS) -> Disentangled:
    """Take the head's motion out of meshes.

    Args:
        meshes: ``float32 [T, P, 3]`` in crop coordinates, P at least 468. Their depth may have any origin.
        canonical: ``float32 [P, 3]`` (P may be less than the meshes'): a face model's mean, or a person's face at rest.
        points: that are taken as rigid.
    """
    if meshes.ndim != 3 or meshes.shape[1] < SKIN_POINTS or meshes.shape[2] != 3:
        raise ValueError(f"meshes must be [T, {SKIN_POINTS} or more, 3], not {list(meshes.shape)}")
    at = list(points)
    heads = heads_of(meshes[:, at].astype(np.float64), canonical[at].astype(np.float64), np.full(len(at), 1 / len(at)))
    centre = canonical[at].astype(np.float64).mean(0)
    faces = (meshes - heads.middle[:, None]) @ heads.rotation / heads.scale[:, None, None] + centre
    return Disentangled(heads.cameras, faces)


def entangle(motion: Disentangled, depth: float = 0.0) -> NDArray[np.float64]:
    """Meshes ``float64 [T, P, 3]`` of heads and faces: :func:`disentangle` undone, but for where depth begins."""
    turn = np.swapaxes(rotation_matrices(motion.head[:, 3:6]), 1, 2)
    meshes = motion.faces @ turn * np.exp(motion.head[:, 2])[:, None, None]
    shift = np.concatenate([motion.head[:, :2], np.full((len(meshes), 1), depth)], 1)
    return np.asarray(meshes + shift[:, None], np.float64)


def steadiest(faces: list[NDArray[np.float64]], canonical: Array, count: int = 27) -> tuple[int, ...]:
    """The points that deform least.

    Pairs of mirror images are taken together, and points that lie too near to one that is taken already are left out:
    a pose of points in one place would be ill determined.

    Args:
        faces: of each clip ``[T, P, 3]``, without pose, as :func:`disentangle` or a fitted camera leaves them.
        canonical: ``float32 [P, 3]``.
        count: how many points.

    Returns:
        Their numbers, ascending; fewer than ``count`` where no more lie far enough apart.
    """
    variance = np.mean([face[:, :SKIN_POINTS].var(0).sum(-1) for face in faces], 0)
    mirror = MIRROR[:SKIN_POINTS]
    chosen: list[int] = []
    for point in np.argsort(variance + variance[mirror], kind="stable"):
        pair = sorted({int(point), int(mirror[point])})
        if pair[0] in chosen or len(chosen) + len(pair) > count:
            continue
        places, taken = canonical[pair].astype(np.float64), canonical[chosen].astype(np.float64).reshape(-1, 3)
        gaps = np.linalg.norm(places[:, None] - np.concatenate([taken, places[1:]])[None], axis=-1)
        if len(pair) == 2:
            gaps[1, -1] = np.inf  # a point from itself
        if gaps.size == 0 or gaps.min() >= _APART:
            chosen += pair
        if len(chosen) == count:
            break
    return tuple(sorted(chosen))
