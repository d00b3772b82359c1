"""Blocks of HeadGAN (appendix B, figure 7)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visavis.nn import norms
from visavis.nn.warp import channels_last

_EPS = 1e-5


def _statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and inverse deviation ``[B, C, 1, 1]`` of the channels of ``x [B, C, h, w]``, for instance norm.

    torch's own instance norm copies features out of the layout that convolutions want, and back.
    """
    variance, mean = torch.var_mean(x, (2, 3), correction=0, keepdim=True)
    return mean.float(), (variance.float() + _EPS).rsqrt()


class Encoder(nn.Module):
    """First rows of tables 2 and 3: a 7x7 convolution and two 3x3 of stride 2, each with instance norm and ReLU.

    Args:
        inside: channels of the input.
        widths: of the three outputs.
    """

    def __init__(self, inside: int, widths: tuple[int, int, int]) -> None:
        super().__init__()
        first, second, third = widths
        self.convs = nn.ModuleList(
            [
                nn.Conv2d(inside, first, 7, padding=3),
                nn.Conv2d(first, second, 3, stride=2, padding=1),
                nn.Conv2d(second, third, 3, stride=2, padding=1),
            ]
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return h1, h2, h3: features of ``x [B, inside, s, s]`` at s, s/2 and s/4."""
        features = []
        for conv in self.convs:
            x = conv(x)
            mean, scale = _statistics(x)
            x = F.relu(torch.addcmul((-mean * scale).to(x.dtype), x, scale.to(x.dtype)))
            features.append(x)
        return features[0], features[1], features[2]


class Spade(norms.Spade):
    """SPADE in one pass over the features.

    Gamma's bias begins near 1, where the plain one adds the 1 each time.
    """

    one = 0.0

    def __init__(self, channels: int, condition_channels: int, hidden: int, kernel: int) -> None:
        super().__init__(channels, condition_channels, hidden, kernel)
        _begin_at_one(self.gamma_beta, channels)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Return ``x [B, C, h, w]`` normalised and modulated; ``condition`` has the same h and w."""
        gamma, beta = self.gamma_beta(F.relu(self.shared(condition))).chunk(2, 1)
        return torch.addcmul(beta, self.norm(x), gamma)


def _begin_at_one(last: nn.Conv2d | nn.Linear, channels: int) -> None:
    with torch.no_grad():
        assert last.bias is not None
        last.bias[:channels] += 1


class SpadeBlock(nn.Module):
    """Figure 7: SPADE, LeakyReLU, 3x3 convolution, twice.

    Args:
        channels: of input and output.
        condition: channels of what modulates.
        hidden, kernel: of :class:`visavis.nn.norms.Spade`.
        residual: add the input; not in the paper.
    """

    def __init__(self, channels: int, condition: int, *, hidden: int, kernel: int, residual: bool) -> None:
        super().__init__()
        self.norms = nn.ModuleList([Spade(channels, condition, hidden, kernel) for _ in range(2)])
        self.convs = nn.ModuleList([nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2)])
        self.residual = residual

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Return ``[B, C, h, w]`` for ``x`` of that shape and ``condition [B, c, h, w]``."""
        y = x
        for norm, conv in zip(self.norms, self.convs, strict=True):
            y = conv(F.leaky_relu(norm(y, condition), 0.2))
        return x + y if self.residual else y


class AdaIn(nn.Module):
    """Adaptive instance normalisation (Huang and Belongie 2017): gamma and beta of each channel from a vector."""

    def __init__(self, channels: int, code: int) -> None:
        super().__init__()
        self.gamma_beta = nn.Linear(code, 2 * channels)
        _begin_at_one(self.gamma_beta, channels)

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        """Return ``x [B, C, h, w]`` normalised and modulated by ``code [B, n]``."""
        gamma, beta = self.gamma_beta(code)[:, :, None, None].chunk(2, 1)
        mean, scale = _statistics(x)
        scale = scale * gamma
        return torch.addcmul((beta - mean * scale).to(x.dtype), x, scale.to(x.dtype))


class AdaInBlock(nn.Module):
    """Figure 7 with AdaIN in place of SPADE.

    Args:
        channels: of input and output.
        code: length of the vector that modulates.
        residual: add the input; not in the paper.
    """

    def __init__(self, channels: int, code: int, *, residual: bool) -> None:
        super().__init__()
        self.norms = nn.ModuleList([AdaIn(channels, code) for _ in range(2)])
        self.convs = nn.ModuleList([nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2)])
        self.residual = residual

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        """Return ``[B, C, h, w]`` for ``x`` of that shape and ``code [B, n]``."""
        y = x
        for norm, conv in zip(self.norms, self.convs, strict=True):
            y = conv(F.leaky_relu(norm(y, code), 0.2))
        return x + y if self.residual else y


class Up(nn.Module):
    """PixelShuffle: twice the side and a quarter of the channels; a 1x1 convolution before it where widths differ."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.widen = nn.Conv2d(inside, 4 * outside, 1) if inside != 4 * outside else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Return ``[B, outside, 2 h, 2 w]`` for ``x [B, inside, h, w]``."""
        return channels_last(F.pixel_shuffle(self.widen(x), 2))
