"""The non-linear composition module (section 4.3, figure 6): FlowNet, and the decoder G.

Names of the paper: ``phi`` are features that modulate the decoder, of the landmark image (by weights from the
embedding), of the projected picture and of the matched one (by weights of its own).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visavis.generators.rhythmic.config import RhythmicConfig
from visavis.generators.rhythmic.embedding import Theta
from visavis.nn.blocks import DownBlock, Hourglass
from visavis.nn.warp import channels_last

_SLOPE = 0.2
_EPS = 1e-5
_FLOW_LEVELS = 3
_SMALL_START = 0.1  # of the usual size: what a flow or a paint adds begins small
_TRUST_START = 4.0  # initial logit of the projector's shift outside the face
#: Initial logits of the decoder's picture, the projected, the matched and the background.
_SHARES_START = (2.0, 1.0, -2.0, -3.0)


@dataclass(frozen=True)
class Flow:
    """What FlowNet says of a picture.

    Attributes:
        shift: where its places lie, less their own, ``float32 [B, 2, r, r]`` in units of [-1, 1].
        attention: logits of how much it is worth, ``[B, 1, r, r]``.
        trust: share of the projector's shift outside the face, ``[B, 1, r, r]`` in [0, 1].
    """

    shift: Tensor
    attention: Tensor
    trust: Tensor


@dataclass(frozen=True)
class Flows:
    """What FlowNet says of the projected picture and of the matched one."""

    projected: Flow
    matched: Flow


class FlowNet(nn.Module):
    """A U-Net at half of the landmark images' side, from two landmark images and a picture to a flow."""

    def __init__(self, config: RhythmicConfig) -> None:
        super().__init__()
        inside = 2 * config.drawn + 3 + 2
        self.net = Hourglass(config.flow_width, inside, _FLOW_LEVELS, 8 * config.flow_width)
        self.out = nn.Conv2d(self.net.out_filters, 4, 3, padding=1)
        with torch.no_grad():
            assert self.out.bias is not None
            self.out.weight *= _SMALL_START
            self.out.bias.copy_(torch.tensor([0.0, 0.0, 0.0, _TRUST_START]))

    def forward(self, own: Tensor, wanted: Tensor, picture: Tensor, surface: Tensor) -> Flow:
        """Return how to move a picture.

        Args:
            own: its landmark image, ``[B, c, r, r]``.
            wanted: the target's.
            picture: ``[B, 3, r, r]`` in [0, 1].
            surface: where it shows a projected face and how well that was seen, ``[B, 2, r, r]``.
        """
        seen = F.avg_pool2d(torch.cat([own, wanted, picture, surface], 1), 2)
        found = self.out(self.net(channels_last(seen))).float()
        found = F.interpolate(found, scale_factor=2, mode="bilinear", align_corners=False)
        pixel = 2 / seen.shape[-1]
        return Flow(pixel * found[:, :2], found[:, 2:3], found[:, 3:].sigmoid())


def convolved(x: Tensor, weight: Tensor, stride: int = 1) -> Tensor:
    """Convolve each sample ``x [B, c, h, w]`` with weights of its own, ``[B, n, c, k, k]``."""
    batch, outside, _, kernel, _ = weight.shape
    height, width = -(-x.shape[2] // stride), -(-x.shape[3] // stride)
    seen = x
    if kernel > 1:
        # Written out as a matrix product: engines take a convolution's weights for constants, and here they are not.
        around = F.pad(x, [kernel // 2] * 4)
        rows, columns = stride * (height - 1) + 1, stride * (width - 1) + 1
        shifts = [(i, j) for i in range(kernel) for j in range(kernel)]
        seen = torch.stack([around[..., i : i + rows : stride, j : j + columns : stride] for i, j in shifts], 2)
    found = weight.reshape(batch, outside, -1) @ seen.reshape(batch, -1, height * width)
    return found.reshape(batch, outside, height, width)


class Features(nn.Module):
    """phi of a picture and its attention, by fixed weights: at r/2, r/4, ... down to where the decoder begins."""

    def __init__(self, config: RhythmicConfig) -> None:
        super().__init__()
        widths = [4, *[config.hidden] * config.steps]
        self.downs = nn.ModuleList([DownBlock(a, b) for a, b in pairwise(widths)])

    def forward(self, picture: Tensor, attention: Tensor) -> list[Tensor]:
        """Return N feature maps, coarsest first, of ``[B, 3, r, r]`` and ``[B, 1, r, r]``."""
        x, found = channels_last(torch.cat([picture, attention.sigmoid()], 1)), []
        for down in self.downs:
            x = down(x)
            found.append(x)
        return found[::-1]


def landmark_features(landmark: Tensor, theta: Sequence[Theta]) -> list[Tensor]:
    """phi of the target's landmark image, by weights theta_S from the embedding; coarsest first."""
    x, found = landmark, []
    for layer in reversed(theta):
        x = F.leaky_relu(convolved(x, layer.features, stride=2), _SLOPE)
        found.append(x)
    return found[::-1]


def normalised(x: Tensor) -> Tensor:
    """``x [B, C, h, w]`` with mean 0 and deviation 1 in each channel of each sample, in the layout that it has."""
    variance, mean = torch.var_mean(x, (2, 3), correction=0, keepdim=True)
    scale = (variance.float() + _EPS).rsqrt()
    return torch.addcmul((-mean.float() * scale).to(x.dtype), x, scale.to(x.dtype))


def parallel_spade(x: Tensor, modulations: Sequence[Tensor]) -> Tensor:
    """The sum of SPADE blocks beside each other on the same features.

    Each is ``norm(x) * (1 + gamma) + beta``; the norm has no weights, so scales and biases can be summed first.

    Args:
        x: ``[B, C, h, w]``.
        modulations: of each block gamma and beta, ``[B, 2 C, h, w]``.
    """
    total = modulations[0]
    for modulation in modulations[1:]:
        total = total + modulation
    gamma, beta = total.chunk(2, 1)
    return torch.addcmul(beta, normalised(x).to(beta.dtype), len(modulations) + gamma)


class Up(nn.Module):
    """Twice the side: a convolution and a shuffle, of which the transposed convolution of 4x4 is a special case."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.widen = nn.Conv2d(inside, 4 * outside, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``[B, outside, 2 h, 2 w]`` for ``x [B, inside, h, w]``."""
        return channels_last(F.pixel_shuffle(self.widen(x), 2))


class Decoder(nn.Module):
    """G: N layers of parallel SPADE blocks, from the appearance e_y to a picture."""

    def __init__(self, config: RhythmicConfig) -> None:
        super().__init__()
        self.config = config
        kernel, hidden = config.modulation_kernel, config.hidden
        self.ups = nn.ModuleList([Up(a, b) for a, b in pairwise(config.widths)])
        if config.composition:
            self.modulate = nn.ModuleList(
                [
                    nn.ModuleList([nn.Conv2d(hidden, 2 * width, kernel, padding=kernel // 2) for _ in range(2)])
                    for width in config.widths[:-1]
                ]
            )
        width = config.widths[-1]
        if config.fold == 2:
            self.grow, width = Up(width, config.finish), config.finish
        layers = 3 + config.layers
        if config.composite:
            self.join = nn.Conv2d(width + 3 * (layers - 1) + config.layers, config.finish, 3, padding=1)
            self.out = nn.Conv2d(config.finish, 3 + layers, 3, padding=1)
            with torch.no_grad():
                assert self.out.bias is not None
                self.out.weight *= _SMALL_START
                self.out.bias.copy_(torch.tensor([0.0] * 3 + list(_SHARES_START[:layers])))
        else:
            self.out = nn.Conv2d(width, 3, 7, padding=3)

    def forward(
        self,
        appearance: Tensor,
        theta: Sequence[Theta],
        landmark: Tensor,
        pictures: Sequence[Sequence[Tensor]],
        beside: Tensor,
    ) -> tuple[Tensor, Tensor | None]:
        """Return what G paints, ``[B, 3, S, S]`` before its last activation, and logits of the layers' shares.

        Args:
            appearance: e_y, ``[B, C, s, s]``.
            theta: from the embedding, coarsest first.
            landmark: l_t, ``[B, c, r, r]``.
            pictures: phi of the projected and of the matched picture, coarsest first.
            beside: what the last stage sees at full size, ``[B, n, S, S]``.
        """
        x, lines = appearance, landmark_features(landmark, theta)
        for level, up in enumerate(self.ups):
            modulations = [convolved(lines[level], theta[level].modulation)]
            if self.config.composition:
                fixed: Any = self.modulate[level]
                modulations += [conv(features[level]) for conv, features in zip(fixed, pictures, strict=True)]
            x = up(F.leaky_relu(parallel_spade(x, modulations), _SLOPE))
        if self.config.fold == 2:
            x = self.grow(F.leaky_relu(x, _SLOPE))
        x = F.leaky_relu(x, _SLOPE)
        if not self.config.composite:
            return self.out(x).float(), None
        x = F.leaky_relu(self.join(torch.cat([x, channels_last(beside.to(x.dtype))], 1)), _SLOPE)
        out = self.out(x).float()
        return out[:, :3], out[:, 3:]
