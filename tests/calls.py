"""What tests of calls share: a drawn caller, weights that are small, and a link that loses packets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction

import numpy as np
import torch

from made import tiny_mesh
from visavis.codec.sound import RATE_HZ
from visavis.drawn.synthetic import TalkingFace
from visavis.generators.avfr.config import AvfrConfig
from visavis.generators.avfr.generator import AvfrGenerator
from visavis.generators.base import Generator
from visavis.generators.keypoint import KeypointConfig, KeypointGenerator
from visavis.media.frame import Frame
from visavis.pipelines.call.decoder import CallDecoder
from visavis.pipelines.call.encoder import CallEncoder
from visavis.pipelines.call.settings import CallSettings
from visavis.pipelines.call.weights import WeightsId

FPS = Fraction(25)
TINY = WeightsId("tiny", "ab" * 32)


def keypoint() -> Generator:
    """The smallest network of the first order model."""
    torch.manual_seed(0)
    return KeypointGenerator(KeypointConfig.tiny())


def avfr() -> Generator:
    """The smallest network of AVFR, which hears."""
    torch.manual_seed(0)
    generator = AvfrGenerator(AvfrConfig.tiny())
    generator.network.mesh_model.mean.copy_(torch.from_numpy(tiny_mesh()))
    return generator


def encode(
    generator: Generator, frames: Iterable[Frame], settings: CallSettings, *, sound: bool = False, fps: Fraction = FPS
) -> list[bytes]:
    """The packets of a drawn caller, who speaks if ``sound``."""
    packets: list[bytes] = []
    voice = TalkingFace(1).sound(30.0, RATE_HZ).samples
    with CallEncoder(generator, TINY, fps=fps, settings=settings, has_sound=sound) as encoder:
        for number, frame in enumerate(frames):
            at, to = (round(n * RATE_HZ / fps) for n in (number, number + 1))
            packets += encoder.push(frame, voice[at:to] if sound else None)
        return packets + encoder.finish()


def decode(generator: Generator, packets: Iterable[bytes]) -> tuple[list[Frame], CallDecoder]:
    """All frames of packets, and the decoder that made them."""
    with CallDecoder(generator, TINY) as decoder:
        frames = [frame for packet in packets for frame in decoder.push(packet)]
        return frames + decoder.finish(), decoder


def lossy(packets: Iterable[bytes], share: float, *, burst: int = 1, seed: int = 0) -> Iterator[bytes]:
    """A link that loses ``share`` of the packets, ``burst`` in a row on average (a two-state chain), but no header."""
    noise = np.random.default_rng(seed)
    losing = False
    enter = share / (1 - share) / burst if share < 1 else 1.0
    for packet in packets:
        losing = noise.random() < ((1 - 1 / burst) if losing else enter)
        if not losing or packet[0] >> 5 == 0:
            yield packet
