"""A speaker: sound in, frame by frame, and out how a speaking face moves."""

from __future__ import annotations

from collections import deque

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from visavis.face.measures import BROWS, LEFT_LIDS, LIPS, OTHERS, RIGHT_LIDS
from visavis.face.model3d import FaceModel, load_face_model
from visavis.motion.limits import softened
from visavis.motion.openings import USUAL_OPEN, USUAL_SHUT
from visavis.motion.speech.config import SpeakerConfig
from visavis.motion.speech.heard import SpeakerSound
from visavis.motion.speech.idle import Idle
from visavis.motion.speech.network import FAMILY, QUANTILES, SpeakerNetwork
from visavis.motion.speech.phi import HEAD_SCALE, REFERENCE_FRAMES, in_head_units, moved, spectrum
from visavis.motion.speech.rest import LID_PROFILE, FaceSpace
from visavis.motion.speech.spoken import REST_CAMERA, Rhythm, Spoken
from visavis.motion.speech.sway import Sway
from visavis.nn.denormals import denormals_flushed
from visavis.weights.network import load_network
from visavis.weights.store import resolve

Array = NDArray[np.float32]
PACKAGED_NAME = "speaker-25"

#: How far openings are stretched from the predicted range, which is narrow, to that of real mouths: wide ones so far,
#: and narrow ones, down from a median opening, the more the narrower, so that lips that touch do.
WIDENED = 0.3
#: Of a camera: kept up to here, and most. Turns in radians; a head that rests does not leave its crop.
_FREE = np.array([0.10, 0.10, 0.06, 0.16, 0.22, 0.14])
_MOST = np.array([0.18, 0.18, 0.12, 0.30, 0.40, 0.26])
#: Beyond so many standard deviations no coefficient goes.
_FARTHEST = 4.0
_OPEN, _PACE = 0.03, 0.15
_BEGIN_FRAMES = 25
_REFERENCE_HOP = 32
_SLACK = 4e-3


class Speaker:
    """Makes speech into motion.

    Args:
        network: trained.
        hears: what it wants of the sound around each frame; made for the network by default.
        model: the 3D face whose coefficients it gives; the packaged one by default.
    """

    def __init__(
        self, network: SpeakerNetwork, hears: SpeakerSound | None = None, model: FaceModel | None = None
    ) -> None:
        self.network = network.eval().requires_grad_(False)
        self.hears = hears or SpeakerSound(network.config.hears)
        self.model = model or load_face_model()

    @classmethod
    def load(cls, name: str = PACKAGED_NAME) -> Speaker:
        """Load a speaker by path or name; the packaged one by default.

        Raises:
            WeightsError: nothing of that name, damaged, or of another family or shape.
        """
        return cls(load_network(resolve(name), FAMILY, SpeakerConfig, SpeakerNetwork))

    def rhythm_of(self, cameras: Array, heard: Array) -> Rhythm:
        """The rhythm of a reference clip; of a long one the mean of its parts.

        Args:
            cameras: ``float32 [T, 6]`` at 25 fps, as :func:`visavis.face.fitting.fit_clip` gives them; fewer than 64
                frames are seen forwards and backwards.
            heard: ``float32 [T, *hears.shape]``.
        """
        if len(cameras) < 2 or len(cameras) != len(heard):
            raise ValueError(f"a rhythm needs 2 frames or more and their sound, not {len(cameras)} and {len(heard)}")
        there_and_back = np.arange(max(REFERENCE_FRAMES, len(cameras))) % (2 * len(cameras) - 2)
        at = np.minimum(there_and_back, 2 * len(cameras) - 2 - there_and_back)
        head = torch.from_numpy(in_head_units(cameras)[at])
        with torch.inference_mode():
            sound = spectrum(torch.from_numpy(np.asarray(heard, np.float32)))[torch.from_numpy(at)]
            parts = [part.unfold(0, REFERENCE_FRAMES, _REFERENCE_HOP).transpose(1, 2) for part in (head, sound)]
            code = self.network.phi.encoder(*parts).mean(0)
        return Rhythm(np.asarray(code.numpy()))

    def speaking(self, identity: Array, *, rhythm: Rhythm | None = None, seed: int = 0, head: bool = True) -> Speaking:
        """Begin to speak.

        Args:
            identity: ``float32 [n_id]``.
            rhythm: of a reference clip; without one, of the learned ones that the seed picks.
            seed: of blinks, gaze and whatever else the sound does not tell.
            head: whether the head moves.
        """
        if rhythm is None:
            known = self.network.phi.rhythms
            rhythm = Rhythm(known[int(np.random.default_rng([seed, 3]).integers(len(known)))].numpy())
        return Speaking(self, np.asarray(identity, np.float32), rhythm, seed, head=head)


class Speaking:
    """One person who speaks; its state is bounded, so that a stream may be endless.

    Args:
        speaker: whose networks are used.
        identity, rhythm, seed, head: as of :meth:`Speaker.speaking`.
    """

    def __init__(self, speaker: Speaker, identity: Array, rhythm: Rhythm, seed: int, *, head: bool) -> None:
        network = speaker.network
        self._network, self._head = network, head
        self._shape = speaker.hears.shape
        self._silence = speaker.hears.silence()
        self._identity = torch.from_numpy(identity)[None]
        self._noticed: deque[Tensor] = deque(maxlen=network.psi.reach + 1)
        self._sounds: deque[Tensor] = deque(maxlen=network.phi.extrapolator.reach + 1)
        with torch.inference_mode():
            self._layer = network.phi.encoder.layer(torch.from_numpy(np.asarray(rhythm.code, np.float32))[None])
        self._sway = Sway(np.random.default_rng([seed, 0]))
        self._idle = Idle({name: table.numpy() for name, table in network.idle().items()}, seed)
        self._mouth = _Mouth(speaker.model, identity, network)
        self._frames, self._speech = 0, 0.0

    def next(self, heard: Array | None) -> Spoken:
        """The next frame of 40 ms.

        Args:
            heard: ``float32 [*hears.shape]``, the feature of the sound around it; None is silence.
        """
        now = self._silence if heard is None else np.asarray(heard, np.float32)
        if now.shape != self._shape:
            raise ValueError(f"what is heard of a frame must be {self._shape}, not {now.shape}")
        if not np.isfinite(now).all():
            raise ValueError("what is heard of a frame must be finite")
        network = self._network
        with torch.inference_mode(), denormals_flushed():
            frame = torch.from_numpy(now)
            _pushed(self._noticed, network.psi.noticed(frame))
            _pushed(self._sounds, spectrum(frame))
            change = network.change_of(torch.stack(list(self._noticed))[None], self._identity)[0, -1].numpy()
            camera = self._moved()
        idling = self._idle.next(self._speech, camera[3:])
        expression, opening = self._mouth(change, idling.lids, idling.brows)
        self._speech += _PACE * (float(opening > _OPEN) - self._speech)
        self._frames += 1
        camera = camera + idling.camera if self._head else np.zeros(6)
        return Spoken(expression, (REST_CAMERA + camera).astype(np.float32), idling.gaze.astype(np.float32))

    def _moved(self) -> NDArray[np.float64]:
        """By how much the head is away from rest, ``[6]``; it begins at rest."""
        noise = torch.from_numpy(self._sway.next()).float()[None]
        if not self._head:
            return np.zeros(6)
        features, gates = self._network.phi.extrapolator(torch.stack(list(self._sounds))[None])
        head = moved(self._layer, features[:, -1:], gates[:, -1:] * noise)[0, 0].numpy() * np.array(HEAD_SCALE)
        share = min((self._frames + 1) / _BEGIN_FRAMES, 1.0)
        head = head * share**2 * (3 - 2 * share)
        bent = [np.sign(x) * softened(abs(x), free, most) for x, free, most in zip(head, _FREE, _MOST, strict=True)]
        return np.array(bent)


class _Mouth:
    """From what Psi says to an expression: the mouth as wide as mouths are, lids and brows as idle motion has them."""

    def __init__(self, model: FaceModel, identity: Array, network: SpeakerNetwork) -> None:
        space = FaceSpace.of(model, identity).space
        self._most = _FARTHEST * model.expression_scale.astype(np.float64)
        held = np.zeros(OTHERS.stop, bool)
        for part in (LIPS, RIGHT_LIDS, LEFT_LIDS, BROWS, [OTHERS.start]):
            held[part] = True
        self._rows = space.measures.rows[held]
        along = space.spread @ self._rows.T
        self._along = along @ np.linalg.inv(self._rows @ along + _SLACK**2 * np.eye(len(self._rows)))
        predicted, real = (table.double().numpy() for table in (network.predicted, network.real))
        self._from = np.maximum.accumulate(predicted) + 1e-9 * np.arange(len(predicted))
        share = WIDENED + (1 - WIDENED) * np.clip(1 - 2 * np.array(QUANTILES), 0, 1)
        wide = (1 - share) * self._from + share * np.maximum.accumulate(real)
        self._to = np.maximum.accumulate(np.maximum(wide, 0))

    def __call__(self, change: Array, lids: float, brows: NDArray[np.float64]) -> tuple[Array, float]:
        """Change ``[n_exp]``, and how wide the mouth is open."""
        shape = np.clip(change.astype(np.float64), -self._most, self._most)
        measured = self._rows @ shape
        gaps = np.maximum(measured[LIPS], 0)
        opening = self.opened(float(measured[LIPS].mean()))
        wanted = measured.copy()
        wanted[LIPS] = gaps * (opening / max(float(gaps.mean()), 1e-6)) if gaps.any() else opening
        wanted[RIGHT_LIDS] = wanted[LEFT_LIDS] = -(USUAL_OPEN - USUAL_SHUT) * (1 - lids) * LID_PROFILE
        wanted[LEFT_LIDS.stop + 1 :] = brows  # after the mouth's width, which stays Psi's
        return (shape + self._along @ (wanted - measured)).astype(np.float32), opening

    def opened(self, predicted: float) -> float:
        """An opening as wide as real ones are where the predicted one is as wide as predicted ones are."""
        last = self._from[-1]
        return float(np.interp(predicted, self._from, self._to)) + max(predicted - last, 0.0)


def _pushed(line: deque[Tensor], item: Tensor) -> None:
    """Append; before the first there was nothing but the first."""
    for _ in range(1 if line else line.maxlen or 1):
        line.append(item)
