"""The network that hears characters (:mod:`visavis.audio.recogniser`), by torch."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from visavis.audio.characters import CHARACTERS
from visavis.audio.mel import MEL_BANDS
from visavis.audio.recogniser import STEM_KERNELS, STEM_STRIDE, CharacterConfig
from visavis.nn.cost import gmac


class CharacterNetwork(nn.Module):
    """Log-mel spectrogram to logits of 27 characters and the blank.

    Two strided convolutions, then residual blocks of a convolution in time for each channel and two across channels.

    Convention:
        Mel ``[B, 80, M]`` in [0, 1] gives ``[B, 28, (M - mel_frames) // 4 + 1]``; nothing is padded.
    """

    def __init__(self, config: CharacterConfig) -> None:
        super().__init__()
        self.config = config
        first, second = STEM_KERNELS
        self.stem = nn.Sequential(
            nn.Conv1d(MEL_BANDS, config.stem, first, stride=STEM_STRIDE, bias=False),
            nn.BatchNorm1d(config.stem),
            nn.ReLU(),
            nn.Conv1d(config.stem, config.width, second, stride=STEM_STRIDE, bias=False),
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
def folded(network: CharacterNetwork) -> CharacterNetwork:
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
