"""What is spoken as meshes: a face of one's own that moves as the speech says, or another's whose mouth alone does."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from visavis.face.fitting import fit_clip
from visavis.face.gaze import whole_mesh
from visavis.face.model3d import FaceModel, load_face_model, rotation_matrices
from visavis.face.types import SKIN_POINTS
from visavis.motion.kind import Mesh, Meshes
from visavis.motion.morphable_kind import MorphableKind
from visavis.motion.shape import ShapeTransfer
from visavis.motion.speech.spoken import REST_CAMERA, Spoken

Array = NDArray[np.float32]

#: Heights of the mean face, between the nose's tip and under it: above the first nothing is the mouth's, below the
#: second all is.
_TIP, _UNDER = 4, 2
#: A gaze straight at the viewer.
_AHEAD = np.zeros((2, 2), np.float32)
#: So many frames at rest leave a transfer no doubt of what rest is.
RESTING_FRAMES = 250


class Sitter:
    """Who is moved: identity, and the resting expression with lips closed and eyes usually open.

    Args:
        meshes: of the person, ``float32 [478, 3]`` each in [-1, 1] over a crop; one is enough.
        model: the packaged 3D face by default.

    Attributes:
        identity: ``float32 [n_id]``.
        rest: ``float32 [n_exp]``.
    """

    def __init__(self, meshes: Meshes, model: FaceModel | None = None) -> None:
        self.model = model or load_face_model()
        fit = fit_clip(np.stack(meshes), self.model)
        kind = MorphableKind(len(self.model.identity), len(self.model.expression), self.model, gaze=True)
        usual = np.median(fit.expression, 0)
        self.identity = fit.identity
        space = kind.space_of_identity(fit.identity)
        assert space is not None
        self.rest = np.asarray(ShapeTransfer(space, usual.astype(np.float64)).source_rest, np.float32)


class SpokenFace:
    """Meshes of one person who speaks.

    Args:
        sitter: the person.

    Attributes:
        resting: the mesh ``float32 [478, 3]`` of the person at rest, frontal in the middle of the crop.
    """

    def __init__(self, sitter: Sitter) -> None:
        self._sitter = sitter
        self.resting: Mesh = self._mesh(sitter.rest, REST_CAMERA, _AHEAD)

    def __call__(self, spoken: Spoken) -> Mesh:
        """The mesh ``float32 [478, 3]`` of one frame."""
        return self._mesh(self._sitter.rest + spoken.expression, spoken.camera, spoken.gaze)

    def _mesh(self, expression: Array, camera: Array, gaze: Array) -> Mesh:
        points = self._sitter.model.points(camera, self._sitter.identity, expression)
        return whole_mesh(points, camera, gaze)


class NewLips:
    """Meshes of one person as tracked, whose mouth and jaw move as is spoken; all above the mouth stays as it is.

    Args:
        sitter: the person.
    """

    def __init__(self, sitter: Sitter) -> None:
        self._sitter = sitter
        self.share = mouth_share(sitter.model)

    def __call__(self, mesh: Mesh, expression: Array) -> Mesh:
        """The mesh ``float32 [478, 3]`` of a frame.

        Args:
            mesh: as tracked.
            expression: of :class:`Spoken`, ``float32 [n_exp]``.
        """
        model, sitter = self._sitter.model, self._sitter
        camera = fit_clip(mesh[None], model).camera[0]
        spoken = model.points(camera, sitter.identity, sitter.rest + expression)
        skin = mesh[:SKIN_POINTS]
        # Cameras have no place along depth.
        spoken[:, 2] += float((skin - spoken)[self.share < 0.5, 2].mean())
        new = mesh.copy()
        new[:SKIN_POINTS] += self.share[:, None] * (spoken - skin)
        return new


def mouth_share(model: FaceModel) -> Array:
    """How far each of the 468 points is the mouth's and the jaw's to move, ``float32 [468]``, 0 to 1."""
    high, low = model.mean[_TIP, 1], model.mean[_UNDER, 1]
    share = np.clip((model.mean[:, 1] - high) / (low - high), 0, 1)
    return np.asarray(share * share * (3 - 2 * share), np.float32)


def reposed(mesh: Mesh, camera: Array, other: Array) -> Mesh:
    """A mesh ``[478, 3]`` of one camera ``[6]`` as another camera ``[6]`` sees it."""
    turn, onto = rotation_matrices(camera[3:6]), rotation_matrices(other[3:6])
    shift, place = (np.array([*values[:2], 0.0]) for values in (camera, other))
    unposed = (mesh - shift) @ turn / np.exp(float(camera[2]))
    return np.asarray(np.exp(float(other[2])) * unposed @ onto.T + place, np.float32)
