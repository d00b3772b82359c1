"""From sound to characters, 27 numbers for every 40 ms, in the place of HeadGAN's DeepSpeech.

A small convolutional network, trained with connectionist temporal classification (Graves et al. 2006) on synthesised
speech. It hears almost half a second to either side of a part and nothing else: no padding, no state and no statistics
of the whole, so that a stream and a whole clip give the same numbers.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from visavis.audio.characters import BLANK, CHARACTERS, PART_SAMPLES
from visavis.audio.mel import FFT_SAMPLES, MEL_BANDS, STEP_SAMPLES, log_mel
from visavis.core.config import check_ranges
from visavis.nn.cost import gmac
from visavis.nn.denormals import denormals_flushed
from visavis.weights.network import load_network
from visavis.weights.store import resolve

FAMILY = "characters"
PACKAGED_NAME = "characters-16"
_STEPS_A_PART = PART_SAMPLES // STEP_SAMPLES
_STRIDE = 2
_MOST_PARTS_AT_ONCE = 1500


@dataclass(frozen=True)
class CharacterConfig:
    """Shape of a :class:`CharacterNetwork`.

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


_STEM_KERNELS = (4, 4)
#: Mel frames that the stem turns into one part: ten, symmetric around the four of the part.
_STEM_FRAMES = _STEM_KERNELS[0] + _STRIDE * (_STEM_KERNELS[1] - 1)


class CharacterNetwork(nn.Module):
    """Log-mel spectrogram to logits of 27 characters and the blank.

    Two strided convolutions, then residual blocks of a convolution in time for each channel and two across channels.

    Convention:
        Mel ``[B, 80, M]`` in [0, 1] gives ``[B, 28, (M - mel_frames) // 4 + 1]``; nothing is padded.
    """

    def __init__(self, config: CharacterConfig) -> None:
        super().__init__()
        self.config = config
        first, second = _STEM_KERNELS
        self.stem = nn.Sequential(
            nn.Conv1d(MEL_BANDS, config.stem, first, stride=_STRIDE, bias=False),
            nn.BatchNorm1d(config.stem),
            nn.ReLU(),
            nn.Conv1d(config.stem, config.width, second, stride=_STRIDE, bias=False),
            nn.BatchNorm1d(config.width),
        )
        self.blocks = nn.ModuleList([_Block(config) for _ in range(config.blocks)])
        self.out = nn.Conv1d(config.width, len(CHARACTERS) + 1, 1)

    def gmac(self) -> dict[str, dict[str, float]]:
        """1e9 multiply-accumulates of one part of 40 ms."""
        mel = torch.rand(1, MEL_BANDS, self.config.mel_frames)
        return {"per_part": {"network": gmac(lambda: self(mel))}}

    def forward(self, mel: Tensor) -> Tensor:
        """Return logits ``[B, 28, P]``; class 27 is the blank."""
        x = self.stem(2 * mel - 1)
        for block in self.blocks:
            x = block(x)
        return self.out(x.relu())


class _Block(nn.Module):
    def __init__(self, config: CharacterConfig) -> None:
        super().__init__()
        width, inside = config.width, config.wider * config.width
        self.margin = config.kernel // 2
        self.time = nn.Conv1d(width, width, config.kernel, groups=width, bias=False)
        self.norm = nn.BatchNorm1d(width)
        self.widen = nn.Conv1d(width, inside, 1)
        self.drop = nn.Dropout(config.dropout)
        self.join = nn.Conv1d(inside, width, 1, bias=False)
        self.join_norm = nn.BatchNorm1d(width)

    def forward(self, x: Tensor) -> Tensor:
        inside = self.widen(self.norm(self.time(x))).relu()
        middle = x[..., self.margin : x.shape[-1] - self.margin]
        return middle + self.join_norm(self.join(self.drop(inside)))


@torch.no_grad()
def _folded(network: CharacterNetwork) -> CharacterNetwork:
    """A copy in evaluation mode that computes the same in fewer steps."""
    made = deepcopy(network).eval()
    stem: list[Any] = list(made.stem)
    fused = [fuse_conv_bn_eval(stem[0], stem[1]), stem[2], fuse_conv_bn_eval(stem[3], stem[4])]
    made.stem = nn.Sequential(*fused)
    blocks: list[Any] = list(made.blocks)
    for block in blocks:
        block.time, block.norm = fuse_conv_bn_eval(block.time, block.norm), nn.Identity()
        block.join, block.join_norm = fuse_conv_bn_eval(block.join, block.join_norm), nn.Identity()
    return made.requires_grad_(False)


class CharacterRecogniser:
    """Our recogniser; keeps the contract of :class:`visavis.audio.characters.Recogniser`.

    Args:
        network: trained; a copy is used, whose batch norms are part of its convolutions.
    """

    def __init__(self, network: CharacterNetwork) -> None:
        self.network = _folded(network)
        self.reach_samples = network.config.reach_samples

    @classmethod
    def load(cls, path: Path | None = None) -> CharacterRecogniser:
        """Load the network of a file, or the packaged one.

        Raises:
            WeightsError: no such file, damaged, or of another family or shape.
        """
        return cls(load_network(path or resolve(PACKAGED_NAME), FAMILY, CharacterConfig, CharacterNetwork))

    def logits(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Evidence ``float32 [P, 27]``, see :class:`visavis.audio.characters.Recogniser`."""
        parts = (len(samples) - 2 * self.reach_samples) // PART_SAMPLES
        rows = [
            self._some(samples, first, min(_MOST_PARTS_AT_ONCE, parts - first))
            for first in range(0, parts, _MOST_PARTS_AT_ONCE)
        ]
        return np.concatenate([np.zeros((0, len(CHARACTERS)), np.float32), *rows])

    def _some(self, samples: NDArray[np.float32], first: int, count: int) -> NDArray[np.float32]:
        begin = first * PART_SAMPLES
        heard = samples[begin : begin + count * PART_SAMPLES + 2 * self.reach_samples]
        with torch.inference_mode(), denormals_flushed():
            scores = self.network(torch.from_numpy(log_mel(heard))[None])[0].T
            return np.asarray((scores[:, :BLANK] - scores[:, BLANK:]).numpy())
