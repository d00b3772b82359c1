"""What is said at any moment of a video, whatever its rate: speech of 25 frames a second, and between them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from visavis.audio.window import SoundWindow
from visavis.core.closing import Closing
from visavis.core.errors import MediaError
from visavis.media.reader import SoundReader
from visavis.motion.kind import Mesh, Meshes
from visavis.motion.spoken_face import NewLips, Sitter
from visavis.pipelines.actor import STEP
from visavis.pipelines.speaks import Speaks

Array = NDArray[np.float32]


class Said(Closing):
    """How a mouth moves through a file's speech.

    Args:
        path: the file.
        speaker: makes sound into motion.
        seed: of what sound does not tell.

    Raises:
        MediaError: it has no sound.
    """

    def __init__(self, path: Path, speaker: Speaks, seed: int = 0) -> None:
        self._sound = SoundReader(path, speaker.hears.rate_hz)
        if not self._sound.has_sound:
            self._sound.close()
            raise MediaError(f"{path}: has no sound in it")
        self._speaker, self._seed = speaker, seed
        self._window = SoundWindow(self._sound, speaker.hears)
        self._lips: NewLips | None = None
        self._next = 0

    def close(self) -> None:
        """Close the file."""
        self._sound.close()

    def by(self, meshes: Meshes) -> None:
        """Begin: the one who speaks has these meshes."""
        sitter = Sitter(meshes)
        self._lips = NewLips(sitter)
        self._voice = self._speaker.speaking(sitter.identity, seed=self._seed, head=False)
        self._before = self._after = np.zeros_like(sitter.rest)

    @property
    def lips(self) -> NewLips:
        """What makes the mouth say it; there once :meth:`by` was called."""
        assert self._lips is not None
        return self._lips

    def __call__(self, mesh: Mesh, at: Fraction) -> Mesh:
        """The mesh ``float32 [478, 3]`` at a time, with the mouth of what is said; times must not decrease."""
        return self.lips(mesh, self.expression(at))

    def expression(self, at: Fraction) -> Array:
        """The change from rest ``float32 [n_exp]`` at a time; times must not decrease."""
        while self._next == 0 or (self._next - 1) * STEP < at:
            heard = self._window.at(self._next * STEP)
            self._before, self._after = self._after, self._voice.next(heard).expression
            self._next += 1
        since = float(at / STEP) - (self._next - 2)
        return np.asarray(self._before + min(max(since, 0.0), 1.0) * (self._after - self._before), np.float32)
