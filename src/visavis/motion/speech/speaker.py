"""A speaker: sound in, frame by frame, and out how a speaking face moves."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from visavis.face.measures import LIPS
from visavis.face.model3d import FaceModel, load_face_model
from visavis.motion.limits import softened
from visavis.motion.speech.config import SpeakerConfig
from visavis.motion.speech.head import HEAD_SCALE, REACH, REFERENCE_FRAMES, Layer, in_head_units, moved, spectrum
from visavis.motion.speech.heard import SpeakerSound
from visavis.motion.speech.idle import SIZES, Idle
from visavis.motion.speech.mouth import Mouth, Openings, width_of
from visavis.motion.speech.rest import FaceSpace
from visavis.motion.speech.spoken import REST_CAMERA, Rhythm, Spoken
from visavis.motion.speech.sway import Sway
from visavis.nn.arrays import on_host
from visavis.nn.engine import PLAIN
from visavis.nn.graph import Graph, Runner, Step, by_torch
from visavis.weights.store import resolve

if TYPE_CHECKING:
    from visavis.motion.speech.network import SpeakerNetwork

Array = NDArray[np.float32]
FAMILY = "speaker"
PACKAGED_NAME = "speaker-25"
#: Methods of :class:`visavis.motion.speech.network.SpeakerNetwork` that are all a stream asks of it.
GRAPHS = tuple(
    Graph(name, exact=True, steps=frozenset({Step.ANALYSE}))
    for name in ("notice", "say", "encode", "layer", "extrapolate")
)

#: Of a camera: kept up to here, and most. Turns in radians; a head that rests does not leave its crop.
_FREE = np.array([0.10, 0.10, 0.06, 0.16, 0.22, 0.14])
_MOST = np.array([0.18, 0.18, 0.12, 0.30, 0.40, 0.26])
_OPEN, _PACE = 0.03, 0.15
_BEGIN_FRAMES = 25
_REFERENCE_HOP = 32


class Speaker:
    """Makes speech into motion.

    Args:
        config: shape of the network.
        run: computes the network's graphs.
        hears: what it wants of the sound around each frame; made for the network by default.
        model: the 3D face whose coefficients it gives; the packaged one by default.
    """

    def __init__(
        self, config: SpeakerConfig, run: Runner, hears: SpeakerSound | None = None, model: FaceModel | None = None
    ) -> None:
        self.config, self.run = config, run
        self.hears = hears or SpeakerSound(config.hears)
        self.model = model or load_face_model()
        self.people = Openings(run.weight("predicted"), run.weight("real"))

    @classmethod
    def of(cls, network: SpeakerNetwork) -> Self:
        """Around a trained network, by torch."""
        from visavis.nn.torch_runner import TorchRunner

        return cls(network.config, TorchRunner(network.requires_grad_(False), PLAIN))

    @classmethod
    def load(cls, name: str = PACKAGED_NAME) -> Self:
        """Load a speaker by path or name, the packaged one by default, and compute it by torch.

        Raises:
            WeightsError: nothing of that name, damaged, or of another family or shape.
        """
        from visavis.motion.speech.network import SpeakerNetwork
        from visavis.weights.network import load_network

        return cls.of(load_network(resolve(name), FAMILY, SpeakerConfig, SpeakerNetwork))

    @property
    def network(self) -> SpeakerNetwork:
        """The network.

        Raises:
            ConfigError: its graphs are computed without it.
        """
        network: SpeakerNetwork = by_torch(self.run, FAMILY).network
        return network

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
        head, sound = in_head_units(cameras)[at], spectrum(np.asarray(heard, np.float32))[at]
        firsts = range(0, len(at) - REFERENCE_FRAMES + 1, _REFERENCE_HOP)
        parts = [(part[None, first : first + REFERENCE_FRAMES] for part in (head, sound)) for first in firsts]
        with self.run.computing(reduced=False):
            code = np.mean([on_host(self.run("encode", *part))[0] for part in parts], 0)
            width = 1.0 if opened is None else width_of(self.people, self._foretold(heard), opened)
        return Rhythm(code, width)

    def _foretold(self, heard: Array) -> NDArray[np.float64]:
        """Openings of the mouth ``[T]`` as Psi predicts them for nobody in particular."""
        nobody = np.zeros(self.config.identity, np.float32)
        saying = Saying(self, nobody)
        said = np.stack([saying.next(frame) for frame in np.asarray(heard, np.float32)])
        rows = FaceSpace.of(self.model, nobody).measures.rows[LIPS]
        return np.asarray(said.astype(np.float64) @ rows.mean(0))

    def speaking(self, identity: Array, *, rhythm: Rhythm | None = None, seed: int = 0, head: bool = True) -> Speaking:
        """Begin to speak.

        Args:
            identity: ``float32 [n_id]``.
            rhythm: of a reference clip; without one, of the learned ones that the seed picks.
            seed: of blinks, gaze and whatever else the sound does not tell.
            head: whether the head moves.
        """
        if rhythm is None:
            known = self.run.weight("phi.rhythms")
            rhythm = Rhythm(known[int(np.random.default_rng([seed, 3]).integers(len(known)))])
        return Speaking(self, np.asarray(identity, np.float32), rhythm, seed, head=head)


class Saying:
    """Psi as a stream: what it notices of past frames is kept, as far as it looks back.

    Args:
        speaker: whose network is used.
        identity: ``float32 [n_id]``.
    """

    def __init__(self, speaker: Speaker, identity: Array) -> None:
        self._run, self._identity = speaker.run, identity[None]
        self._noticed: deque[Array] = deque(maxlen=speaker.config.reach + 1)

    def next(self, heard: Array) -> Array:
        """Change from rest ``float32 [n_exp]`` at the next frame, of which ``float32 [n]`` is heard."""
        noticed = _pushed(self._noticed, on_host(self._run("notice", heard)))
        return on_host(self._run("say", noticed, self._identity))[0]


class Speaking:
    """One person who speaks; its state is bounded, so that a stream may be endless.

    Args:
        speaker: whose networks are used.
        identity, rhythm, seed, head: as of :meth:`Speaker.speaking`.
    """

    def __init__(self, speaker: Speaker, identity: Array, rhythm: Rhythm, seed: int, *, head: bool) -> None:
        self._run, self._head = speaker.run, head
        self._shape = speaker.hears.shape
        self._silence = speaker.hears.silence()
        self._saying = Saying(speaker, identity)
        self._sounds: deque[Array] = deque(maxlen=REACH + 1)
        with self._run.computing(reduced=False):
            layer: list[Any] = [on_host(part) for part in self._run("layer", np.asarray(rhythm.code, np.float32)[None])]
        self._layer = Layer(*layer)
        self._sway = Sway(np.random.default_rng([seed, 0]))
        self._idle = Idle({name: self._run.weight(f"idle_{name}") for name in SIZES}, seed)
        self._mouth = Mouth(speaker.model, identity, speaker.people, rhythm.width)
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
        with self._run.computing(reduced=False):
            change = self._saying.next(now)
            camera = self._moved(_pushed(self._sounds, spectrum(now)))
        idling = self._idle.next(self._speech, camera[3:])
        expression, opening = self._mouth(change, idling.lids, idling.brows)
        self._speech += _PACE * (float(opening > _OPEN) - self._speech)
        self._frames += 1
        camera = camera + idling.camera if self._head else np.zeros(6)
        return Spoken(expression, (REST_CAMERA + camera).astype(np.float32), idling.gaze.astype(np.float32))

    def _moved(self, sounds: Array) -> NDArray[np.float64]:
        """By how much the head is away from rest, ``[6]``; it begins at rest."""
        noise = self._sway.next().astype(np.float32)[None]
        if not self._head:
            return np.zeros(6)
        features, gates = (on_host(part) for part in self._run("extrapolate", sounds))
        head = moved(self._layer, features, gates * noise)[0, 0] * np.array(HEAD_SCALE)
        share = min((self._frames + 1) / _BEGIN_FRAMES, 1.0)
        head = head * share**2 * (3 - 2 * share)
        bent = [np.sign(x) * softened(abs(x), free, most) for x, free, most in zip(head, _FREE, _MOST, strict=True)]
        return np.array(bent)


def _pushed(line: deque[Array], item: Array) -> Array:
    """Append, and return the line ``[1, T, n]``; before the first there was nothing but the first."""
    for _ in range(1 if line else line.maxlen or 1):
        line.append(item)
    return np.stack(list(line))[None]
