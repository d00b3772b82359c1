"""Second half of AVFR-GAN's identity-aware generator."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visavis.generators.avfr.config import AvfrConfig
from visavis.nn.composite import Layers
from visavis.nn.norms import SpadeResBlock

_COMPOSITE_START = 1.0


class Decoder(nn.Module):
    """Second half of the identity-aware generator: Enc_dec and the identity code to a picture."""

    def __init__(self, config: AvfrConfig, enc_dec: int) -> None:
        super().__init__()
        self.config = config
        first, middle, last = config.widths
        aware = int(config.identity_aware)
        condition = config.condition_channels or enc_dec
        kernel = config.modulation_kernel
        self.squeeze = nn.Conv2d(enc_dec, condition, 1) if config.condition_channels else nn.Identity()
        self.join = nn.Conv2d(enc_dec + aware * last, last, 3, padding=1)
        self.bottleneck = nn.ModuleList(
            [SpadeResBlock(last, last, condition, modulation_kernel=kernel) for _ in range(config.bottleneck_blocks)]
        )
        self.up_middle = nn.Conv2d(last, middle, 3, padding=1)
        self.middle = SpadeResBlock(middle + aware * middle, middle, condition, modulation_kernel=kernel)
        self.up_first = nn.Conv2d(middle, first, 3, padding=1)
        self.first = SpadeResBlock(first + aware * first, first, condition, modulation_kernel=kernel)
        self.out = nn.Conv2d(first, 3 + config.composite, 3 if config.composite else 7, padding="same")
        if config.layers:
            self.layers = Layers(first)
        if config.composite:
            with torch.no_grad():
                self.out.bias[3] += _COMPOSITE_START  # type: ignore[index]

    def forward(
        self,
        enc_dec: Tensor,
        identity: tuple[Tensor, ...],
        warped: Tensor,
        background: Tensor | None = None,
        person: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Return a picture ``[B, 3, S, S]`` and, with a composite, the shares of it and of the other layers."""
        condition = self.squeeze(enc_dec)
        x = self.join(torch.cat([enc_dec, *identity[2:]], 1))
        for block in self.bottleneck:
            x = block(x, condition)
        x = _double(self.up_middle(x))
        x = self.middle(torch.cat([x, *identity[1:2]], 1), condition)
        x = _double(self.up_first(x))
        features = F.leaky_relu(self.first(torch.cat([x, *identity[:1]], 1), condition), 0.2)
        x = self.out(features)
        picture, keep = x[:, :3].float().sigmoid(), x[:, 3:].float()
        if not self.config.composite:
            return picture, None
        if background is not None and person is not None:
            return picture, self.layers(features, keep, warped, background, person)
        keep = keep.sigmoid()
        return picture, torch.cat([1 - keep, keep], 1)


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
