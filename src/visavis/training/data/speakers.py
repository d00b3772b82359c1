"""Speaking faces from shards: how they move as coefficients of the 3D face, and their sound."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from visavis.core.errors import DataError
from visavis.data.shards import ClipRecord, read
from visavis.data.sound import SAMPLES_A_FRAME
from visavis.face.fitting import fit_clip
from visavis.face.gaze import gaze_of
from visavis.face.measures import BROWS, LEFT_LIDS, RIGHT_LIDS
from visavis.face.model3d import FaceModel, load_face_model
from visavis.motion.openings import EyeRange
from visavis.motion.speech.rest import FaceSpace
from visavis.training.data.idle import IdleClip

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class SpeakerClip:
    """One clip of T frames at 25 fps.

    Attributes:
        person: who it is.
        identity: ``[n_id]``.
        change: ``[T, n_exp]``, expression as change from the person's resting face.
        camera: ``[T, 6]``.
        seen: ``bool [T]``.
        sound: ``[640 T]``, the speaker's own at 16 kHz; frame k's time is that of sample ``640 k``. None without.
        idle: what it tells of blinks, gaze and brows.
    """

    person: str
    identity: Floats
    change: Floats
    camera: Floats
    seen: NDArray[np.bool_]
    sound: Floats | None
    idle: IdleClip

    def __len__(self) -> int:
        return len(self.change)

    def earlier(self, frames: int) -> SpeakerClip:
        """The same with its sound earlier by so many frames (later where negative), cut to what has both."""
        if self.sound is None or not frames:
            return self
        early, late = max(frames, 0), max(-frames, 0)
        count = len(self) - early - late
        face = slice(late, late + count)
        sound = self.sound[SAMPLES_A_FRAME * early : SAMPLES_A_FRAME * (early + count)]
        return replace(self, change=self.change[face], camera=self.camera[face], seen=self.seen[face], sound=sound)


def load_speakers(folder: Path, split: str, shortest: int = 1) -> list[SpeakerClip]:
    """Read the split's clips of ``shortest`` frames or more; sound is that of the clips alone in which its speaker is
    seen.

    Raises:
        DataError: no shards, or no clip in which somebody is heard who is seen.
    """
    model = load_face_model()
    clips = [
        clip
        for record in read(folder)
        if record.info["split"] == split and len(clip := _decode(record, model)) >= shortest
    ]
    if not any(clip.sound is not None for clip in clips):
        raise DataError(f"{folder}: no clip of split '{split}' with its speaker's sound and {shortest} frames")
    return clips


def _decode(record: ClipRecord, model: FaceModel) -> SpeakerClip:
    priors = record.decoded()
    fit = fit_clip(priors.mesh, model)
    space = FaceSpace.of(model, fit.identity)
    shape = fit.expression.astype(np.float64)
    gaps = space.measures(shape)
    eyes = [EyeRange.over(gaps[:, eye].mean(1)) for eye in (RIGHT_LIDS, LEFT_LIDS)]
    rest = space.at_rest(shape, [eye.opened for eye in eyes]).mean(0)
    lids = [
        (gaps[:, at].mean(1) - eye.shut) / (eye.opened - eye.shut)
        for at, eye in zip((RIGHT_LIDS, LEFT_LIDS), eyes, strict=True)
    ]
    sound = record.sound() if record.info.get("sound_is_speech") else None
    gaze = gaze_of(priors.mesh, fit.camera).astype(np.float64)
    speech = None if sound is None else loud(sound, len(gaps))
    return SpeakerClip(
        str(record.info["identity"]),
        fit.identity,
        (fit.expression - rest).astype(np.float32),
        fit.camera,
        priors.seen,
        sound,
        IdleClip(np.mean(lids, 0), gaze, gaps[:, BROWS], fit.camera.astype(np.float64), speech),
    )


def loud(sound: Floats, frames: int) -> NDArray[np.bool_]:
    """Whether somebody speaks at each frame: ``bool [frames]``, by the level over a third of a second."""
    power = np.square(sound[: frames * SAMPLES_A_FRAME].astype(np.float64))
    power = np.pad(power, (0, frames * SAMPLES_A_FRAME - len(power))).reshape(frames, -1).mean(1)
    level = np.log10(np.convolve(power, np.ones(9) / 9, "same") + 1e-9)
    low, high = np.percentile(level, [5, 95])
    return np.asarray(level > low + 0.35 * (high - low))
