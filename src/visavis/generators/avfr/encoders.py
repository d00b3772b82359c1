"""The two encoders of AVFR-GAN's source: what the dense motion warps, and what says who it is."""

from __future__ import annotations

from torch import Tensor, nn

from visavis.generators.avfr.config import AvfrConfig
from visavis.nn.blocks import SameBlock
from visavis.nn.norms import SpadeResBlock


class AppearanceEncoder(nn.Module):
    """Source features at S/4 that the dense motion warps (the first order model's encoder)."""

    def __init__(self, config: AvfrConfig) -> None:
        super().__init__()
        first, middle, _ = config.widths
        self.first = SameBlock(3, first, kernel_size=7, padding=3)
        self.down = nn.Sequential(_halve(first, middle), _halve(middle, config.channels))

    def forward(self, picture: Tensor) -> Tensor:
        return self.down(self.first(picture))  # type: ignore[no-any-return]


def _halve(inside: int, outside: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inside, outside, 3, stride=2, padding=1), nn.BatchNorm2d(outside), nn.ReLU(inplace=True)
    )


class IdentityEncoder(nn.Module):
    """First half of the identity-aware generator: residual SPADE blocks over F_s, modulated by F_s."""

    def __init__(self, config: AvfrConfig) -> None:
        super().__init__()
        first, middle, last = config.widths
        kernel = config.modulation_kernel
        self.first = nn.Conv2d(3, first, 3, padding=1)
        self.down = nn.ModuleList([nn.Conv2d(first, middle, 3, stride=2, padding=1)])
        self.down.append(nn.Conv2d(middle, last, 3, stride=2, padding=1))
        self.blocks = nn.ModuleList([SpadeResBlock(w, w, 3, modulation_kernel=kernel) for w in config.widths])

    def forward(self, picture: Tensor) -> tuple[Tensor, ...]:
        """Return features at S, S/2 and S/4; the last is the identity code."""
        x = self.blocks[0](self.first(picture), picture)
        features = [x]
        for down, block in zip(self.down, self.blocks[1:], strict=True):
            x = block(down(x), picture)
            features.append(x)
        return tuple(features)
