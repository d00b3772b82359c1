"""A speaker: sound in, frame by frame, and out how a speaking face moves."""

from __future__ import annotations

from collections import deque

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from visavis.face.measures import LIPS
from visavis.face.model3d import FaceModel, load_face_model
from visavis.motion.limits import softened
from visavis.motion.speech.config import SpeakerConfig
from visavis.motion.speech.heard import SpeakerSound
from visavis.motion.speech.idle import Idle
from visavis.motion.speech.mouth import Mouth, width_of
from visavis.motion.speech.network import FAMILY, SpeakerNetwork
from visavis.motion.speech.phi import HEAD_SCALE, REFERENCE_FRAMES, in_head_units, moved, spectrum
from visavis.motion.speech.rest import FaceSpace
from visavis.motion.speech.spoken import REST_CAMERA, Rhythm, Spoken
from visavis.motion.speech.sway import Sway
from visavis.nn.denormals import denormals_flushed
from visavis.weights.network import load_network
from visavis.weights.store import resolve

Array = NDArray[np.float32]
PACKAGED_NAME = "speaker-25"

#: Of a camera: kept up to here, and most. Turns in radians; a head that rests does not leave its crop.
_FREE = np.array([0.10, 0.10, 0.06, 0.16, 0.22, 0.14])
_MOST = np.array([0.18, 0.18, 0.12, 0.30, 0.40, 0.26])
_OPEN, _PACE = 0.03, 0.15
_BEGIN_FRAMES = 25
_REFERENCE_HOP = 32


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

    def rhythm_of(self, cameras: Array, heard: Array, opened: Array | None = None) -> Rhythm:
        """The rhythm of a reference clip; of a long one the mean of its parts.

        Args:
            cameras: ``float32 [T, 6]`` at 25 fps, as :func:`visavis.face.fitting.fit_clip` gives them; fewer than 64
                frames are seen forwards and backwards.
            heard: ``float32 [T, *hears.shape]``.
            opened: ``float32 [T]``, how wide the mouth is open (:meth:`visavis.motion.speech.rest.FaceSpace.opened`);
                None where nobody looked.
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
        width = 1.0 if opened is None else width_of(self.network, self._foretold(heard), opened)
        return Rhythm(np.asarray(code.numpy()), width)

    def _foretold(self, heard: Array) -> NDArray[np.float64]:
        """Openings of the mouth ``[T]`` as Psi predicts them for nobody in particular."""
        nobody = np.zeros(self.network.config.identity, np.float32)
        with torch.inference_mode():
            said = self.network.change(
                torch.from_numpy(np.asarray(heard, np.float32))[None], torch.from_numpy(nobody)[None]
            )
        rows = FaceSpace.of(self.model, nobody).measures.rows[LIPS]
        return np.asarray(said[0].double().numpy() @ rows.mean(0))

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
        self._mouth = Mouth(speaker.model, identity, network, rhythm.width)
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


def _pushed(line: deque[Tensor], item: Tensor) -> None:
    """Append; before the first there was nothing but the first."""
    for _ in range(1 if line else line.maxlen or 1):
        line.append(item)
