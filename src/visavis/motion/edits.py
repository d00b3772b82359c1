"""Expressions set by hand: what usually moves along does, and lips and lids do not cross."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from visavis.face.expression import ExpressionSpace
from visavis.face.measures import GAPS, LEFT_LIDS, LIPS, OTHER_NAMES, OTHERS, RIGHT_LIDS
from visavis.motion.amounts import Edits

Array = NDArray[np.float64]
#: Mean gap of the inner lips, in unposed units, that a mouth opened by hand comes to on top.
_OPENED = 0.30
#: What is left of a gap of lids that are shut by hand, in unposed units.
_LIDS_MEET = 0.018
_SMILE = ("mouth width", "right corner", "left corner")


def edited_shape(space: ExpressionSpace, shape: Array, edits: Edits) -> Array:
    """Shape coefficients ``[n]`` with the mouth opened, a smile and lids closed as told."""
    if not edits.of_face:
        return shape
    wanted = space.measures(shape)
    held = np.zeros(OTHERS.stop, bool)
    held[GAPS] = True
    if edits.mouth:
        # Highest in the middle of the lips, as any mouth.
        middle = np.sin(np.linspace(0, np.pi, LIPS.stop + 2))[1:-1]
        wanted[LIPS] = np.maximum(wanted[LIPS] + edits.mouth * _OPENED * middle / middle.mean(), 0)
    if edits.smile:
        for name in _SMILE:
            at = OTHER_NAMES.index(name)
            wider = name == "mouth width"
            most = space.expressions.highest[at] if wider else space.expressions.lowest[at]
            wanted[OTHERS.start + at] += edits.smile * float(most)
            held[OTHERS.start + at] = True
    if edits.blink:
        for lids in (RIGHT_LIDS, LEFT_LIDS):
            wanted[lids] = np.maximum((1 - edits.blink) * wanted[lids], np.minimum(wanted[lids], _LIDS_MEET))
    return space.reach(shape, held, wanted[held])
