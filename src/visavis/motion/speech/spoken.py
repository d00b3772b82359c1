"""What speech says of one frame: a face's change from rest, a head, and where the eyes look."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

#: Camera of a head that looks at the viewer from the middle of the crop, as large as crops have it (the medians of 440
#: clips): ``tx, ty, log scale, rotation vector``.
REST_CAMERA: Array = np.array([0.0, 0.03, -1.18, 0.0, 0.0, 0.0], np.float32)
REST_CAMERA.setflags(write=False)
#: Seconds from one frame to the next.
FRAME_S = 0.04


@dataclass(frozen=True, eq=False)
class Spoken:
    """How a face moves in one frame of 40 ms; it belongs to nobody yet.

    Attributes:
        expression: ``float32 [n_exp]``, coefficients of the packaged 3D face (:mod:`visavis.face.model3d`), as change
            from a resting face: lips closed, eyes usually open. Whoever speaks adds their own resting expression. Lids
            fall from a gap of :data:`visavis.motion.openings.USUAL_OPEN`.
        camera: ``float32 [6]``, that of a head that rests at :data:`REST_CAMERA`, moved by the rhythm.
        gaze: ``float32 [2, 2]``, see :func:`visavis.face.gaze.gaze_of`.
    """

    expression: Array
    camera: Array
    gaze: Array


@dataclass(frozen=True, eq=False)
class Rhythm:
    """How somebody moves with their speech.

    Attributes:
        code: ``float32 [code]``, of the head, from which :class:`visavis.motion.speech.phi.RhythmEncoder` makes the
            weights of a layer.
        width: of the mouth's openings, over other people's.
    """

    code: Array
    width: float = 1.0
