"""What a talking head asks of a speaker; :class:`visavis.motion.speech.speaker.Speaker` is one."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from visavis.audio.feature import SoundFeature
from visavis.audio.recogniser import GRAPHS as CHARACTER_GRAPHS
from visavis.audio.recogniser import PACKAGED_NAME as CHARACTERS
from visavis.audio.recogniser import PARTS_OF_A_FRAME, CharacterConfig, CharacterRecogniser
from visavis.audio.speech import SpeechFeatures
from visavis.core.config import build
from visavis.generators.base import Generator, Prior
from visavis.motion.kind import refuse_meshes
from visavis.motion.speech.config import SpeakerConfig
from visavis.motion.speech.heard import SpeakerSound
from visavis.motion.speech.speaker import GRAPHS as SPEAKER_GRAPHS
from visavis.motion.speech.speaker import PACKAGED_NAME as SPEAKER
from visavis.motion.speech.speaker import Speaker
from visavis.motion.speech.spoken import Rhythm, Spoken
from visavis.nn.engine import Engine
from visavis.pipelines.load import packaged_runner
from visavis.weights.checkpoint import load
from visavis.weights.store import resolve

Array = NDArray[np.float32]
#: How a person moves in speaking, from :meth:`Speaks.rhythm_of`; None where nothing tells it.
Rhythmic = Rhythm | None


class Voice(Protocol):
    """One person who speaks, frame by frame of 40 ms."""

    def next(self, heard: Array | None) -> Spoken:
        """How the face moves in the next frame; None is silence."""


class Speaks(Protocol):
    """Makes sound into how a face moves."""

    @property
    def hears(self) -> SoundFeature:
        """What it takes of the sound around each frame."""

    def rhythm_of(self, cameras: Array, heard: Array, opened: Array | None = None) -> Rhythmic:
        """The rhythm of a reference clip.

        Args:
            cameras: ``float32 [T, 6]``.
            heard: ``float32 [T, *hears.shape]``.
            opened: ``float32 [T]``, how wide the mouth is open; None where nobody looked.
        """

    def speaking(self, identity: Array, *, rhythm: Rhythmic = None, seed: int = 0, head: bool = True) -> Voice:
        """Begin to speak as a person of that identity ``float32 [n_id]``."""


def check_speaks(generator: Generator) -> None:
    """Refuse a generator whose motion has no mesh that speech could move.

    Raises:
        ConfigError: it has none.
    """
    if Prior.MESH not in generator.needs:
        raise refuse_meshes("speech moves faces by one, and its motion has none")


def load_speaker(engine: Engine | None = None) -> Speaks:
    """The packaged speaker, which computes in fp32 on the CPU.

    Args:
        engine: who computes; None chooses for this machine.

    Raises:
        ConfigError: an engine that is not there.
        WeightsError: its weights are missing or damaged.
    """
    # Networks so small are slower in several threads, which wait for each other.
    chosen = replace((engine or Engine()).chosen(), precision="fp32", threads=1, streams=1)
    path = resolve(SPEAKER)
    header = load(path, tensors=False)
    runner = packaged_runner(path, header, SPEAKER_GRAPHS, chosen)
    if runner is None:
        return Speaker.load()
    config = build(SpeakerConfig, header.config)
    return Speaker(config, runner, SpeakerSound(config.hears, _speech_features(chosen)))


def _speech_features(engine: Engine) -> SpeechFeatures | None:
    """By the packaged recogniser; None where torch has to compute it."""
    path = resolve(CHARACTERS)
    header = load(path, tensors=False)
    runner = packaged_runner(path, header, CHARACTER_GRAPHS, engine)
    if runner is None:
        return None
    return SpeechFeatures(CharacterRecogniser(build(CharacterConfig, header.config), runner, PARTS_OF_A_FRAME))
