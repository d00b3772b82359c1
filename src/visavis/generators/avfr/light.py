"""A decoder for processors without much to spare: nothing is computed at full size but the blending of layers. Ours.

What the source is known by is narrowed once a source (:class:`Narrow`), so that a frame carries few features along. The
decoder is a small U of residual blocks at S/2, S/4 and S/8 without modulation: the driving mesh's drawing is one more
input. Its last features are unfolded to S: what its picture differs by from the moved source, and what it and the
layers behind it count there.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visavis.generators.avfr.config import FOLD, AvfrConfig

_MADE = 3  # channels of the decoder's own picture, before the shares of the layers behind it
_STARTS = (-1.0, -1.0)  # initial logits of the moved source and of the background beside the decoder's 0


class Narrow(nn.Module):
    """The source's features, narrowed to what is carried along: 1x1 convolutions, which a warp commutes with."""

    def __init__(self, config: AvfrConfig) -> None:
        super().__init__()
        _, middle, last = config.widths
        half, quarter = config.light_carried
        self.at_half = nn.Conv2d(middle, half, 1)
        self.at_quarter = nn.Conv2d(config.channels + last, quarter, 1)

    def forward(self, features: Tensor, identity: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return features ``[B, c, S/4, S/4]`` to be warped into Enc_motion, and those of identity at S/2 alone.

        Args:
            features: of the appearance encoder.
            identity: of the identity encoder; the last two, at S/2 and S/4, are read.
        """
        return self.at_quarter(torch.cat([features, identity[-1]], 1)), (self.at_half(identity[-2]),)


def _normed(inside: int, outside: int, kernel: int = 1, stride: int = 1) -> nn.Sequential:
    """A convolution and its batch norm, which melt into one where the network is folded; without, Adam runs away."""
    conv = nn.Conv2d(inside, outside, kernel, stride=stride, padding=kernel // 2)
    return nn.Sequential(conv, nn.BatchNorm2d(outside))


class _Block(nn.Module):
    """Residual block of two 3x3 convolutions; keeps shape."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = _normed(channels, channels, 3), _normed(channels, channels, 3)
        nn.init.constant_(self.conv2[1].weight, 0.2)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(F.relu(self.conv1(x)))  # type: ignore[no-any-return]


def _blocks(channels: int, count: int) -> nn.Sequential:
    return nn.Sequential(*[_Block(channels) for _ in range(count)])


class LightDecoder(nn.Module):
    """Enc_dec and carried features to a picture and the shares of layers, at S/2 and below.

    Args:
        config: shape of the network.
        enc_dec: channels of Enc_dec.
    """

    def __init__(self, config: AvfrConfig, enc_dec: int) -> None:
        super().__init__()
        half, quarter, eighth = config.light_widths
        few, some, many = config.light_blocks
        self._drawing = slice(config.light_carried[1], config.light_carried[1] + FOLD**2)
        self.join = _normed(enc_dec, quarter)
        self.at_quarter = _blocks(quarter, some // 2)
        self.down = _normed(quarter, eighth, 3, stride=2)
        self.at_eighth = _blocks(eighth, many)
        self.up_eighth = _normed(eighth, 4 * quarter)
        self.merged = _blocks(quarter, some - some // 2)
        self.up_quarter = _normed(quarter, 4 * half)
        # Beside what is carried at S/2: the moved source and its person, folded from S, and the drawing.
        self.join_half = _normed(config.light_carried[0] + 4 * 4 + 4, half)
        self.at_half = _blocks(half, few)
        self.out = nn.Conv2d(half, 4 * (_MADE + len(_STARTS)), 3, padding=1)
        with torch.no_grad():
            self.out.weight.mul_(0.05)
            assert self.out.bias is not None
            self.out.bias.zero_()
            for number, logit in enumerate(_STARTS):
                first = 4 * (_MADE + number)
                self.out.bias[first : first + 4] = logit

    def forward(
        self, enc_dec: Tensor, identity: tuple[Tensor, ...], warped: Tensor, background: Tensor, person: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return a picture ``[B, 3, S, S]`` in [0, 1], and the shares of it and of the other layers.

        Args:
            enc_dec: Enc_dec ``[B, enc_dec, S/4, S/4]``: first Enc_motion, then the driving drawing.
            identity: features carried along at S/2.
            warped: the source moved, ``[B, 3, S, S]``.
            background: ``[B, 3, S, S]``; no input, a layer alone.
            person: the source's segmentation moved, ``[B, 1, S, S]``.
        """
        x = self.at_quarter(F.relu(self.join(enc_dec)))
        deep = self.at_eighth(F.relu(self.down(x)))
        x = self.merged(x + F.pixel_shuffle(self.up_eighth(deep), 2))
        beside = [*identity, F.pixel_unshuffle(warped, 2), F.pixel_unshuffle(person, 2)]
        drawing = F.pixel_shuffle(enc_dec[:, self._drawing], 2)
        x = F.pixel_shuffle(self.up_quarter(x), 2) + self.join_half(torch.cat([*beside, drawing], 1))
        x = F.relu(self.at_half(F.relu(x)))
        shares = self._unfolded(x, slice(4 * _MADE, None))
        shares = torch.cat([torch.zeros_like(shares[:, :1]), shares], 1).softmax(1)
        return (warped + self._unfolded(x, slice(4 * _MADE))).clamp(0, 1), shares

    def _unfolded(self, x: Tensor, channels: slice) -> Tensor:
        """Some channels of the last convolution, at S. In parts: to cut its result in two takes longer on a CPU."""
        assert self.out.bias is not None
        return F.pixel_shuffle(F.conv2d(x, self.out.weight[channels], self.out.bias[channels], padding=1), 2).float()
