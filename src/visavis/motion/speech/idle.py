"""What a face does that its speech hardly tells: blinks, where the eyes look, brows, and breath.

Nothing of it is made up: how often, how long and how far is measured in people (:mod:`visavis.training.data.idle`) and
    lies in
the same weights as the learners. Which of it happens when, a seed decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visavis.motion.speech.sway import BANDS_HZ, CHANNELS_A_BAND, FPS, Sway

Array = NDArray[np.float64]

#: Tables of quantiles have so many values, from the least to the most.
_QUANTILES = 9
BLINK_STEPS = 16
#: Tables by name, and their shapes.
SIZES: dict[str, tuple[int, ...]] = {
    "blink_hz": (2,),  # blinks a second, in pauses and in speech
    "blink_frames": (_QUANTILES,),  # from when lids begin to fall to when they are up again
    "blink_depth": (_QUANTILES,),  # share of its opening that an eye loses
    "blink_shape": (BLINK_STEPS,),  # share of that loss over the time of a blink
    "gaze_middle": (2, 2),  # of a frontal face that looks at the camera
    "gaze_follow": (2,),  # what x and y do for each radian of the head's turn about y and x
    "gaze_spread": (2,),  # standard deviation of where eyes rest, in x and y
    "gaze_frames": (_QUANTILES,),  # how long they rest
    "brow_bands": (len(BANDS_HZ),),  # amplitude of brows in each band
    "brow_together": (1,),  # correlation of the two
    "breath": (3,),  # hertz, radians of pitch, and height in the crop
}
_DART_FRAMES = 2
_LEAST_APART = 8
_SHARES = np.linspace(0, 1, _QUANTILES)
_BREATH_WANDERS = 0.15
_MOST_GAZE = 0.8


@dataclass(frozen=True)
class Idling:
    """One frame.

    Attributes:
        lids: share of their usual opening, 0 shut to 1.
        gaze: ``[2, 2]``, see :mod:`visavis.face.gaze`.
        brows: ``[2]``, by how much the right and the left are raised, in units of the unposed face.
        camera: ``[6]``, what breathing adds to a camera.
    """

    lids: float
    gaze: Array
    brows: Array
    camera: Array


class Idle:
    """A stream of idle motion; its state is bounded.

    Args:
        tables: of :data:`SIZES`.
        seed: decides all that happens.
    """

    def __init__(self, tables: Mapping[str, NDArray[np.floating[Any]]], seed: int) -> None:
        self._tables = {name: np.asarray(tables[name], np.float64).reshape(shape) for name, shape in SIZES.items()}
        self._rng = np.random.default_rng([seed, 1])
        self._sway = Sway(np.random.default_rng([seed, 2]))
        self._blink: Array = np.zeros(0)
        self._since_blink = _LEAST_APART
        self._eyes = self._somewhere()
        self._from, self._dart = self._eyes, _DART_FRAMES
        self._rest = self._drawn("gaze_frames")
        self._phase = self._rng.uniform(0, 2 * np.pi)

    def next(self, speech: float, turn: Array) -> Idling:
        """The next frame.

        Args:
            speech: from 0, a pause, to 1, speech.
            turn: ``[3]``, rotation vector of the head.
        """
        return Idling(self._lids(speech), self._gaze(turn), self._brows(), self._breath())

    def _drawn(self, name: str) -> float:
        """A number as often as in the people of a table."""
        return float(np.interp(self._rng.random(), _SHARES, self._tables[name]))

    def _lids(self, speech: float) -> float:
        if not len(self._blink):
            paused, spoken = self._tables["blink_hz"]
            wait = _LEAST_APART / FPS
            hertz = paused + (spoken - paused) * min(max(speech, 0.0), 1.0)
            # The least time between two is taken out of the mean time, so that the rate is the table's.
            chance = 1 / (FPS * max(1 / max(hertz, 1e-3) - wait, 0.2))
            self._since_blink += 1
            if self._since_blink <= _LEAST_APART or self._rng.random() >= chance:
                return 1.0
            self._since_blink = 0
            frames = max(round(self._drawn("blink_frames")), 3)
            at = (np.arange(frames) + self._rng.random()) / frames * (BLINK_STEPS - 1)
            shape = np.interp(at, np.arange(BLINK_STEPS), self._tables["blink_shape"], right=0)
            self._blink = min(self._drawn("blink_depth"), 1.0) * shape / max(float(shape.max()), 0.5)
        shut, self._blink = float(self._blink[0]), self._blink[1:]
        return float(np.clip(1 - shut, 0, 1))

    def _somewhere(self) -> Array:
        return np.asarray(self._rng.standard_normal(2) * self._tables["gaze_spread"], np.float64)

    def _gaze(self, turn: Array) -> Array:
        self._rest -= 1
        if self._rest <= 0:
            self._from, self._eyes, self._dart = self._eyes, self._somewhere(), 0
            self._rest = max(self._drawn("gaze_frames"), _DART_FRAMES + 1)
        self._dart = min(self._dart + 1, _DART_FRAMES)
        at = self._from + (self._eyes - self._from) * (self._dart / _DART_FRAMES)
        at = at + self._tables["gaze_follow"] * np.array([turn[1], turn[0]])
        return np.asarray(np.clip(self._tables["gaze_middle"] + at, -_MOST_GAZE, _MOST_GAZE), np.float64)

    def _brows(self) -> Array:
        channels = self._sway.next()[0].reshape(len(BANDS_HZ), CHANNELS_A_BAND)
        both, right, left = self._tables["brow_bands"] @ channels[:, :3]
        together = float(np.clip(self._tables["brow_together"][0], 0, 1))
        common, own = np.sqrt(together), np.sqrt(1 - together)
        return np.array([common * both + own * right, common * both + own * left])

    def _breath(self) -> Array:
        hertz, pitch, height = self._tables["breath"]
        self._phase += 2 * np.pi * hertz / FPS * (1 + _BREATH_WANDERS * self._rng.standard_normal())
        self._phase %= 2 * np.pi
        # Breath goes in faster than out.
        wave = np.sin(self._phase + 0.4 * np.sin(self._phase))
        return np.array([0.0, height * wave, 0.0, pitch * wave, 0.0, 0.0])
