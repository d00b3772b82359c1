"""Does the mouth open when the driver's does, as far, and does it close? Openings through time, from meshes.

People read contacts: closed lips are closed, closed lids are closed. A spectrum (:mod:`.dynamics`) does not see when
things happen, and a mean distance of landmarks hardly sees a mouth that stays shut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from visavis.face.mesh import MIDDLE_LIP_PAIRS, mean_gap

Array = NDArray[np.float32]
Track = NDArray[np.float64]

_FOREHEAD, _CHIN = 10, 152
#: Pairs of upper and lower lid, then the corners, of the right and the left eye: the eye aspect ratio's points.
LIDS = (((160, 144), (158, 153), (33, 133)), ((385, 380), (387, 373), (362, 263)))

LIPS_CLOSED = 0.015
LEAST_MOUTH_RANGE = 0.02
LEAST_LID_RANGE = 0.08
_CLOSED_SHARE = 0.6
_RANGE = (5, 95)


def mouth_opening(mesh: Array) -> float:
    """Mean gap of the three middle pairs of inner-lip points over the height of the face (points 10 and 152)."""
    height = max(float(np.linalg.norm(mesh[_FOREHEAD] - mesh[_CHIN])), 1e-6)
    return mean_gap(mesh, MIDDLE_LIP_PAIRS) / height


def lid_opening(mesh: Array) -> tuple[float, float]:
    """Eye aspect ratio (Soukupova and Cech 2016) of the right and the left eye: about 0.3 open, below 0.15 closed."""
    ratios = []
    for (up_a, low_a), (up_b, low_b), (left, right) in LIDS:
        height = np.linalg.norm(mesh[up_a] - mesh[low_a]) + np.linalg.norm(mesh[up_b] - mesh[low_b])
        ratios.append(float(height) / (2 * max(float(np.linalg.norm(mesh[left] - mesh[right])), 1e-6)))
    return ratios[0], ratios[1]


@dataclass(frozen=True)
class Contact:
    """Frames of windows in which lips meet, to be added up over clips.

    Attributes:
        real: frames in which the driver's lips are closed.
        matched: those of them in which the rendered lips are closed too.
    """

    real: int = 0
    matched: int = 0

    def __add__(self, other: Contact) -> Contact:
        return Contact(self.real + other.real, self.matched + other.matched)

    @property
    def share(self) -> float | None:
        """Share of the driver's closed frames that are closed; None when the driver never closes the lips."""
        return self.matched / self.real if self.real else None


@dataclass(frozen=True)
class Openings:
    """What one window says.

    Attributes:
        values: ``mouth_correlation`` and ``mouth_range`` where the driver's mouth moves, ``lid_correlation`` where its
            lids do, ``lid_least``, ``lid_least_driver`` and ``lid_gap`` where it closes the eyes.
        contact: of the lips.
    """

    values: dict[str, float] = field(default_factory=dict)
    contact: Contact = field(default_factory=Contact)


def compare_openings(made: Sequence[Array], real: Sequence[Array]) -> Openings:
    """Compare meshes ``[478, 3]`` of a rendered face and its driver at the same times."""
    values = {}
    mouth, wanted = (np.array([mouth_opening(mesh) for mesh in meshes]) for meshes in (made, real))
    if spread(wanted) >= LEAST_MOUTH_RANGE:
        values["mouth_correlation"] = correlation(mouth, wanted)
        values["mouth_range"] = spread(mouth) / spread(wanted)
    closed = wanted < LIPS_CLOSED
    contact = Contact(int(closed.sum()), int((closed & (mouth < LIPS_CLOSED)).sum()))
    lids, lids_wanted = (np.array([lid_opening(mesh) for mesh in meshes]) for meshes in (made, real))
    if np.ptp(lids_wanted.mean(1)) >= LEAST_LID_RANGE:
        values["lid_correlation"] = float(np.mean([correlation(lids[:, eye], lids_wanted[:, eye]) for eye in (0, 1)]))
    least, least_wanted = lids.min(0), lids_wanted.min(0)
    if least_wanted.mean() < _CLOSED_SHARE * np.percentile(lids_wanted.mean(1), 75):
        values["lid_least"], values["lid_least_driver"] = float(least.mean()), float(least_wanted.mean())
        values["lid_gap"] = float(np.abs(least - least_wanted).mean())
    return Openings(values, contact)


def spread(track: Track) -> float:
    """Range of a track ``float64 [T]`` between its 5th and 95th percentile."""
    low, high = np.percentile(track, _RANGE)
    return float(high - low)


def correlation(made: Track, real: Track) -> float:
    """Pearson's correlation of two tracks; 0 when one of them does not move."""
    a, b = made - made.mean(), real - real.mean()
    lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / lengths if lengths > 1e-9 else 0.0
