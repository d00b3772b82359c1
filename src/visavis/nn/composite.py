"""Layers behind and before the decoder's picture: the background that stays, and the source that moves. Ours.

A portrait's background rarely moves with the head, so the surest guess for a place that shows background is what the
source shows there, or, where the person stood, what the source shows around it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_MARGIN = 9  # pixels by which a segmentation is widened, so that no rim of the person is taken for background
_BACKGROUND_START = -3.0  # initial logit of the background: the network learns where to use it


def fill_behind(picture: Tensor, person: Tensor) -> Tensor:
    """Return the picture without the person, whose place is filled from around it (pull-push over a pyramid).

    Args:
        picture: ``[B, 3, S, S]`` in [0, 1].
        person: segmentation ``[B, 1, S, S]`` in [0, 1], 1 is person.
    """
    # The largest of a square is the largest of its rows' largest, at a quarter of the work.
    wide = F.max_pool2d(person, (1, _MARGIN), stride=1, padding=(0, _MARGIN // 2))
    known = 1 - F.max_pool2d(wide, (_MARGIN, 1), stride=1, padding=(_MARGIN // 2, 0))
    return fill_holes(picture * known, known, picture.mean((2, 3), keepdim=True))


def fill_holes(colour: Tensor, known: Tensor, far: Tensor | None = None) -> Tensor:
    """Return maps whose holes are filled from around them (pull-push over a pyramid).

    Args:
        colour: ``[B, C, S, S]``, what is known times `known`.
        known: ``[B, 1, S, S]`` in [0, 1], 0 in holes.
        far: ``[B, C, 1, 1]``, what is taken where nothing is known at all; by default the mean of what is.
    """
    levels = [(colour, known)]
    while levels[-1][1].shape[-1] % 2 == 0 and levels[-1][1].shape[-1] > 2:
        levels.append((F.avg_pool2d(levels[-1][0], 2), F.avg_pool2d(levels[-1][1], 2)))
    filled = far
    if filled is None:
        filled = colour.mean((2, 3), keepdim=True) / known.mean((2, 3), keepdim=True).clamp_min(1e-4)
    for part, share in reversed(levels):
        coarse = F.interpolate(filled, share.shape[2:], mode="bilinear", align_corners=False)
        # A place that is known in part is trusted twice that much, else the fill would be grey for long.
        trust = (2 * share).clamp(0, 1)
        filled = trust * part / share.clamp_min(1e-4) + (1 - trust) * coarse
    return filled


class Layers(nn.Module):
    """Shares of the decoder's picture, the warped source and the background in every pixel.

    Args:
        features: channels of the decoder's last features.
        width: channels between the two convolutions.
    """

    def __init__(self, features: int, width: int = 12) -> None:
        super().__init__()
        self.first = nn.Conv2d(features + 7, width, 3, padding=1)
        self.last = nn.Conv2d(width, 2, 3, padding=1)
        nn.init.zeros_(self.last.weight)
        with torch.no_grad():
            assert self.last.bias is not None
            self.last.bias.copy_(torch.tensor([0.0, _BACKGROUND_START]))

    def forward(self, features: Tensor, keep: Tensor, warped: Tensor, background: Tensor, person: Tensor) -> Tensor:
        """Return the shares ``[B, 3, S, S]``, which sum to 1.

        Args:
            features: ``[B, features, S, S]``.
            keep: logits of the warped source against the decoder's picture, ``[B, 1, S, S]``.
            warped, background: ``[B, 3, S, S]`` in [0, 1].
            person: the source's segmentation, warped, ``[B, 1, S, S]``.
        """
        # In two convolutions: to lay all channels side by side first takes as long as one of them.
        own, weight = features.shape[1], self.first.weight
        beside = torch.cat([warped, background, person], 1)
        seen = F.conv2d(features, weight[:, :own], self.first.bias, padding=1)
        seen = seen + F.conv2d(beside, weight[:, own:], padding=1)
        shift = self.last(F.leaky_relu(seen, 0.2)).float()
        return torch.cat([torch.zeros_like(keep), keep + shift[:, :1], shift[:, 1:]], 1).softmax(1)


def blend(layers: Sequence[Tensor], shares: Tensor) -> Tensor:
    """Sum of pictures ``[B, 3, S, S]``, each weighted by its share of ``[B, len(layers), S, S]``."""
    picture = layers[0] * shares[:, :1]
    for i, layer in enumerate(layers[1:], 1):
        picture = torch.addcmul(picture, layer, shares[:, i : i + 1])
    return picture
