"""From sound to characters, 27 numbers for every 40 ms, in the place of HeadGAN's DeepSpeech.

A small convolutional network, trained with connectionist temporal classification (Graves et al. 2006) on synthesised
speech. It hears almost half a second to either side of a part and nothing else: no padding, no state and no statistics
of the whole, so that a stream and a whole clip give the same numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from visavis.audio.characters import BLANK, CHARACTERS, PART_SAMPLES
from visavis.audio.mel import FFT_SAMPLES, STEP_SAMPLES, log_mel
from visavis.audio.speech import PARTS
from visavis.core.config import check_ranges
from visavis.nn.arrays import on_host
from visavis.nn.engine import PLAIN
from visavis.nn.graph import Graph, Runner, Step, by_torch
from visavis.weights.store import resolve

if TYPE_CHECKING:
    from visavis.audio.character_network import CharacterNetwork

FAMILY = "characters"
PACKAGED_NAME = "characters-16"
_STEPS_A_PART = PART_SAMPLES // STEP_SAMPLES
#: Of the two convolutions that the network begins with.
STEM_KERNELS, STEM_STRIDE = (4, 4), 2
#: Mel frames that they turn into one part: ten, symmetric around the four of the part.
_STEM_FRAMES = STEM_KERNELS[0] + STEM_STRIDE * (STEM_KERNELS[1] - 1)
_MOST_PARTS_AT_ONCE = 1500
#: What a graph of fixed shapes hears at once: the parts of one frame's sound.
PARTS_OF_A_FRAME = 2 * PARTS
#: Methods of :class:`visavis.audio.character_network.CharacterNetwork` that are all it is asked.
GRAPHS = (Graph("forward", exact=True, steps=frozenset({Step.ANALYSE})),)


@dataclass(frozen=True)
class CharacterConfig:
    """Shape of a :class:`visavis.audio.character_network.CharacterNetwork`.

    Attributes:
        stem: channels at 20 ms.
        width: channels at 40 ms.
        wider: how many times as many channels each block has inside.
        kernel: parts that each block looks at, an odd number.
        blocks: how many blocks.
        dropout: between blocks, in training.
    """

    stem: int = 128
    width: int = 192
    wider: int = 2
    kernel: int = 5
    blocks: int = 5
    dropout: float = 0.05

    def __post_init__(self) -> None:
        sizes = {"stem": (1, 2048), "width": (1, 2048), "wider": (1, 16), "kernel": (1, 63), "blocks": (1, 64)}
        check_ranges(self, {**sizes, "dropout": (0, 0.9)})
        if self.kernel % 2 == 0:
            raise ValueError(f"'kernel' must be odd, not {self.kernel}")

    @property
    def context(self) -> int:
        """Parts that are heard on either side of a part, besides the stem's own margin."""
        return self.blocks * (self.kernel // 2)

    @property
    def mel_frames(self) -> int:
        """Mel frames that one part hears."""
        return _STEM_FRAMES + 2 * _STEPS_A_PART * self.context

    @property
    def reach_samples(self) -> int:
        """Samples before and after a part that it hears."""
        return ((self.mel_frames - 1) * STEP_SAMPLES + FFT_SAMPLES - PART_SAMPLES) // 2

    @classmethod
    def tiny(cls) -> CharacterConfig:
        """The smallest, for tests."""
        return cls(stem=8, width=12, wider=1, kernel=3, blocks=2, dropout=0.0)


class CharacterRecogniser:
    """Our recogniser; keeps the contract of :class:`visavis.audio.characters.Recogniser`.

    Args:
        config: shape of the network.
        run: computes the network's graphs.
        at_once: the one number of parts that these are of; None where they take any.
    """

    def __init__(self, config: CharacterConfig, run: Runner, at_once: int | None = None) -> None:
        self.run, self._at_once = run, at_once
        self.reach_samples = config.reach_samples

    @classmethod
    def of(cls, network: CharacterNetwork) -> Self:
        """Around a trained network, by torch; a copy is used, whose batch norms are part of its convolutions."""
        from visavis.audio.character_network import folded
        from visavis.nn.torch_runner import TorchRunner

        return cls(network.config, TorchRunner(folded(network), PLAIN))

    @classmethod
    def load(cls, path: Path | None = None) -> Self:
        """Load the network of a file, or the packaged one, and compute it by torch.

        Raises:
            WeightsError: no such file, damaged, or of another family or shape.
        """
        from visavis.audio.character_network import CharacterNetwork
        from visavis.weights.network import load_network

        return cls.of(load_network(path or resolve(PACKAGED_NAME), FAMILY, CharacterConfig, CharacterNetwork))

    @property
    def network(self) -> CharacterNetwork:
        """The network.

        Raises:
            ConfigError: its graphs are computed without it.
        """
        network: CharacterNetwork = by_torch(self.run, FAMILY).network
        return network

    def logits(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Evidence ``float32 [P, 27]``, see :class:`visavis.audio.characters.Recogniser`."""
        parts = max((len(samples) - 2 * self.reach_samples) // PART_SAMPLES, 0)
        most = self._at_once or _MOST_PARTS_AT_ONCE
        rows = [self._some(samples, first, min(most, parts - first)) for first in range(0, parts, most)]
        return np.concatenate([np.zeros((0, len(CHARACTERS)), np.float32), *rows])

    def _some(self, samples: NDArray[np.float32], first: int, count: int) -> NDArray[np.float32]:
        begin = first * PART_SAMPLES
        heard = samples[begin : begin + count * PART_SAMPLES + 2 * self.reach_samples]
        # No part hears what is put behind the last one's reach.
        heard = np.pad(heard, (0, ((self._at_once or count) - count) * PART_SAMPLES))
        with self.run.computing(reduced=False):
            scores = on_host(self.run("forward", log_mel(heard)[None]))[0].T[:count]
        return scores[:, :BLANK] - scores[:, BLANK:]
