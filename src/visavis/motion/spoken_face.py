"""What is spoken as meshes: a face of one's own that moves as the speech says, or another's whose mouth alone does."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from visavis.face.fitting import fit_clip
from visavis.face.gaze import whole_mesh
from visavis.face.mesh import LIPS
from visavis.face.model3d import FaceModel, load_face_model, rigid_weights, rotation_matrices
from visavis.face.types import SKIN_POINTS
from visavis.motion.kind import Mesh, Meshes
from visavis.motion.morphable_kind import MorphableKind
from visavis.motion.openings import USUAL_OPEN
from visavis.motion.shape import ShapeTransfer
from visavis.motion.speech.rest import FaceSpace
from visavis.motion.speech.spoken import REST_CAMERA, Spoken

Array = NDArray[np.float32]

#: Heights of the mean face, between the nose's tip and under it: above the first nothing is the mouth's, below the
#: second all is.
_TIP, _UNDER = 4, 2
#: Half the width of the face's middle, in units of the mean face, beside which the share sinks to the lower lip's.
_MIDDLE, _LIP = 0.5, 14
_AROUND_LIPS = 0.15
#: A gaze straight at the viewer.
_AHEAD = np.zeros((2, 2), np.float32)
#: A face that was seen for so many frames is as well known by them as by its picture.
_FRAMES_TO_KNOW = 25
#: So many frames at rest leave a transfer no doubt of what rest is.
RESTING_FRAMES = 250


class Sitter:
    """Who is moved: identity, and the resting expression with lips closed and eyes usually open.

    Args:
        meshes: of the person as pictured, ``float32 [478, 3]`` each in [-1, 1] over a crop; one is enough.
        known: more meshes of the person, from which it is seen how that face usually rests; may be none.
        model: the packaged 3D face by default.

    Attributes:
        identity: ``float32 [n_id]``.
        rest: ``float32 [n_exp]``, as pictured: from there on a transfer counts.
        usual: ``float32 [n_exp]``, as it usually is: from there on speech moves.
    """

    def __init__(self, meshes: Meshes, known: Meshes = (), model: FaceModel | None = None) -> None:
        self.model = model or load_face_model()
        fit = fit_clip(np.stack(meshes), self.model)
        kind = MorphableKind(len(self.model.identity), len(self.model.expression), self.model, gaze=True)
        usual = np.median(fit.expression, 0)
        self.identity = fit.identity
        space = kind.space_of_identity(fit.identity)
        assert space is not None
        self.rest = np.asarray(ShapeTransfer(space, usual.astype(np.float64)).source_rest, np.float32)
        self.usual = self._usual(fit.expression, known)

    def _usual(self, pictured: Array, known: Meshes) -> Array:
        """The mean of faces with their lips closed; what was seen for long outweighs what is pictured."""
        space = FaceSpace.of(self.model, self.identity)

        def closed(expression: Array) -> NDArray[np.float64]:
            return space.at_rest(expression.astype(np.float64), [USUAL_OPEN, USUAL_OPEN]).mean(0)

        rest = closed(pictured)
        if len(known):
            share = len(known) / (len(known) + _FRAMES_TO_KNOW)
            rest = rest + share * (closed(fit_clip(np.stack(known), self.model).expression) - rest)
        return np.asarray(rest, np.float32)


class SpokenFace:
    """Meshes of one person who speaks.

    Args:
        sitter: the person.

    Attributes:
        resting: the mesh ``float32 [478, 3]`` of the person at rest, frontal in the middle of the crop.
    """

    def __init__(self, sitter: Sitter) -> None:
        self._sitter = sitter
        # Lids of what is spoken fall from the usual opening: from a wider one they would not meet. How wide the
        # person's own eyes are is the transfer's to keep, which goes by shares.
        space = FaceSpace.of(sitter.model, sitter.identity)
        self._rest = space.at_rest(sitter.rest.astype(np.float64), [USUAL_OPEN, USUAL_OPEN]).astype(np.float32)
        self.resting: Mesh = self._mesh(self._rest, REST_CAMERA, _AHEAD)

    def __call__(self, spoken: Spoken) -> Mesh:
        """The mesh ``float32 [478, 3]`` of one frame."""
        return self._mesh(self._sitter.usual + spoken.expression, spoken.camera, spoken.gaze)

    def _mesh(self, expression: Array, camera: Array, gaze: Array) -> Mesh:
        points = self._sitter.model.points(camera, self._sitter.identity, expression)
        return whole_mesh(points, camera, gaze)


class NewLips:
    """Meshes of one person as tracked, whose mouth and jaw move as is spoken; all above the mouth stays as it is.

    Args:
        sitter: the person.

    Attributes:
        share: ``float32 [468]``, how far each point is the mouth's and the jaw's to move, 0 to 1.
    """

    def __init__(self, sitter: Sitter) -> None:
        self._sitter = sitter
        self.share = mouth_share(sitter.model)
        self._lips = _near_lips(sitter.model)

    def __call__(self, mesh: Mesh, expression: Array) -> Mesh:
        """The mesh ``float32 [478, 3]`` of a frame.

        Args:
            mesh: as tracked.
            expression: of :class:`Spoken`, ``float32 [n_exp]``.
        """
        model, sitter = self._sitter.model, self._sitter
        fit = fit_clip(mesh[None], model)
        camera = fit.camera[0]
        seen = model.points(camera, sitter.identity, fit.expression[0])
        spoken = model.points(camera, sitter.identity, sitter.usual + expression)
        # What the model misses of a jaw or a cheek is the person's and stays; between lips it would be a gap.
        missed = mesh[:SKIN_POINTS] - seen
        missed[:, 2] = 0
        new = mesh.copy()
        new[:SKIN_POINTS] += self.share[:, None] * (spoken - seen) - self._lips[:, None] * missed
        return new


def mouth_share(model: FaceModel) -> Array:
    """How far each of the 468 points is the mouth's and the jaw's to move, ``float32 [468]``, 0 to 1.

    All that is below the nose is, but of the face's sides only what is below the mouth: there is the jaw.
    """
    high, low, mouth = (float(model.mean[point, 1]) for point in (_TIP, _UNDER, _LIP))
    x, y = np.abs(model.mean[:, 0]), model.mean[:, 1]
    lower = (mouth - high) * np.clip((x - _MIDDLE) / (x.max() - _MIDDLE), 0, 1)
    share = np.clip((y - high - lower) / (low - high), 0, 1)
    return np.asarray(share * share * (3 - 2 * share), np.float32)


def _near_lips(model: FaceModel) -> Array:
    """How near each of the 468 points is to the lips, ``float32 [468]``: 1 on them, falling softly around."""
    lips = model.mean[list(LIPS)]
    nearest = np.square(model.mean[:, None] - lips).sum(-1).min(1)
    return np.exp(-nearest / (2 * _AROUND_LIPS**2)).astype(np.float32)


def reposed(mesh: Mesh, camera: Array, other: Array) -> Mesh:
    """A mesh ``[478, 3]`` of one camera ``[6]`` as another camera ``[6]`` sees it."""
    turn, onto = rotation_matrices(camera[3:6]), rotation_matrices(other[3:6])
    # Cameras have no place along depth: the model's origin lies in the middle of what is rigid.
    depth = float(rigid_weights() @ mesh[:SKIN_POINTS, 2])
    shift, place = np.array([*camera[:2], depth]), np.array([*other[:2], 0.0])
    unposed = (mesh - shift) @ turn / np.exp(float(camera[2]))
    return np.asarray(np.exp(float(other[2])) * unposed @ onto.T + place, np.float32)
