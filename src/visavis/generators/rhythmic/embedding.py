"""The hybrid embedding module (section 4.2, figure 4, equations 3 to 7).

Names of the paper: ``l_k`` and ``y_k`` are landmark images and pictures of the K references, ``l_t`` the target's
landmark image, ``alpha_k`` the activation maps, ``q`` feature maps, ``e`` what is made of them, ``theta`` the weights
that the decoder works with.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visavis.generators.rhythmic.config import RhythmicConfig
from visavis.nn.blocks import DownBlock, SameBlock

_HALVINGS = 2  # of the feature maps q
_SLOPE = 0.2


@dataclass(frozen=True)
class Known:
    """What the embedding knows of the references before there is a target.

    Attributes:
        activations: E_A(l_k), ``[B, K, C, h, w]``.
        picture, landmark: the refined features q', ``[B, K, C, h, w]``.
        picture_gate, landmark_gate: ConvGate(q), ``[B, C, h, w]``.
    """

    activations: Tensor
    picture: Tensor
    landmark: Tensor
    picture_gate: Tensor
    landmark_gate: Tensor


@dataclass(frozen=True)
class Theta:
    """Weights of one layer of the decoder, for each sample its own.

    Attributes:
        modulation: theta_gamma and theta_beta, ``[B, 2 C, hidden, k, k]``.
        features: theta_S, ``[B, hidden, c, 3, 3]``.
    """

    modulation: Tensor
    features: Tensor


@dataclass(frozen=True)
class Embedded:
    """What the embedding says of a target.

    Attributes:
        appearance: e_y, ``[B, C, s, s]``, where the decoder begins.
        theta: of the N layers, coarsest first.
        alpha: activation maps ``[B, K, C, h, w]``, which sum to 1 over K.
    """

    appearance: Tensor
    theta: tuple[Theta, ...]
    alpha: Tensor


def activation(references: Tensor, target: Tensor) -> Tensor:
    """Equation 3: ``[B, K, C, h, w]`` of E_A(l_k) ``[B, K, C, h, w]`` and E_A(l_t) ``[B, C, h, w]``."""
    return (references * target[:, None]).float().softmax(1)


def attention_combine(alpha: Tensor, refined: Tensor, gate: Tensor) -> Tensor:
    """Equation 6: ``[B, C, h, w]`` of maps and features ``[B, K, C, h, w]`` and the gated features ``[B, C, h, w]``."""
    return (alpha.to(refined.dtype) * refined).sum(1) + gate


def _downwards(inside: int, outside: int) -> nn.Sequential:
    """Two convolutions, each to half of the side."""
    return nn.Sequential(DownBlock(inside, outside), DownBlock(outside, outside))


class Exchange(nn.Module):
    """Information exchange: features of both modalities, joined and narrowed by two bottleneck layers, refine each."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = SameBlock(2 * channels, channels, 1, 0)
        self.second = SameBlock(channels, channels, 1, 0)
        self.refine = nn.ModuleList([SameBlock(2 * channels, channels) for _ in range(2)])

    def forward(self, picture: Tensor, landmark: Tensor) -> tuple[Tensor, Tensor]:
        """Return q' of ``[N, C, h, w]`` each."""
        hybrid = self.second(self.first(torch.cat([picture, landmark], 1)))
        one, two = (
            refine(torch.cat([own, hybrid], 1)) for refine, own in zip(self.refine, (picture, landmark), strict=True)
        )
        return one, two


class ConvGate(nn.Module):
    """Features of K references, laid one behind the other and narrowed by two bottleneck layers.

    Args:
        channels: of the features.
        references: K; 0 to see each reference by itself and take the mean, for any number of them.
    """

    def __init__(self, channels: int, references: int) -> None:
        super().__init__()
        self.references = references
        inside = channels * max(references, 1)
        middle = max(channels, inside // 2)
        self.first, self.second = nn.Conv2d(inside, middle, 1), nn.Conv2d(middle, channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Return ``[B, C, h, w]`` of ``[B, K, C, h, w]``."""
        if self.references:
            return self.second(F.leaky_relu(self.first(features.flatten(1, 2)), _SLOPE))  # type: ignore[no-any-return]
        gated = self.second(F.leaky_relu(self.first(features.flatten(0, 1)), _SLOPE))
        return gated.reshape(features.shape).mean(1)  # type: ignore[no-any-return]


class Embedding(nn.Module):
    """E_A, E_I and E_L: references and a target's landmark image to e_y and e_l (equations 3, 4 and 6)."""

    def __init__(self, config: RhythmicConfig) -> None:
        super().__init__()
        channels = config.embedding
        self.attends = config.attention
        self.activation = _downwards(config.drawn, channels) if config.attention else None
        self.picture, self.landmark = _downwards(3, channels), _downwards(config.drawn, channels)
        self.exchange = Exchange(channels)
        count = config.references if config.gate == "all" else 0
        self.picture_gate, self.landmark_gate = ConvGate(channels, count), ConvGate(channels, count)
        self.picture_out, self.landmark_out = (_finish(channels, config) for _ in range(2))

    def know(self, pictures: Tensor, landmarks: Tensor) -> Known:
        """Compute what depends on the references alone.

        Args:
            pictures: y_k, ``[B, K, 3, r, r]`` in [0, 1].
            landmarks: l_k, ``[B, K, c, r, r]``.
        """
        picture, landmark = self.picture(pictures.flatten(0, 1)), self.landmark(landmarks.flatten(0, 1))
        fine_picture, fine_landmark = self.exchange(picture, landmark)

        def each(x: Tensor) -> Tensor:
            return x.reshape(*pictures.shape[:2], *x.shape[1:])

        activations = each(picture) if self.activation is None else each(self.activation(landmarks.flatten(0, 1)))
        return Known(
            activations,
            each(fine_picture),
            each(fine_landmark),
            self.picture_gate(each(picture)),
            self.landmark_gate(each(landmark)),
        )

    def forward(self, known: Known, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return e_y, e_l ``[B, C, s, s]`` and alpha.

        Args:
            known: of the references.
            target: l_t, ``[B, c, r, r]``.
        """
        if self.activation is None:
            alpha = torch.full_like(known.activations, 1 / known.activations.shape[1])
        else:
            alpha = activation(known.activations, self.activation(target))
        picture = attention_combine(alpha, known.picture, known.picture_gate)
        landmark = attention_combine(alpha, known.landmark, known.landmark_gate)
        return self.picture_out(picture), self.landmark_out(landmark), alpha


def _finish(channels: int, config: RhythmicConfig) -> nn.Sequential:
    """From q to e: convolutions down to where the decoder begins."""
    width = config.widths[0]
    blocks: list[nn.Module] = []
    for level in range(max(config.steps - _HALVINGS, 0)):
        blocks.append(DownBlock(channels if level == 0 else width, width))
    blocks.append(nn.Conv2d(width if blocks else channels, width, 3, padding=1))
    return nn.Sequential(*blocks)


class _Mlp(nn.Module):
    """From an embedding's places, channel by channel, to the weights of one convolution (part of E_FP).

    To what depends on the references come weights that do not, so that an untrained network is a plain one.
    """

    def __init__(self, places: int, width: int, outside: int, inside: int, kernel: int) -> None:
        super().__init__()
        self.kernel = (inside, kernel, kernel)
        self.first, self.second = nn.Linear(places, width), nn.Linear(width, inside * kernel**2)
        self.base = nn.Parameter(torch.empty(outside, *self.kernel))
        nn.init.kaiming_uniform_(self.base, a=5**0.5)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``[B, outside, inside, k, k]`` of ``[B, outside, places]``."""
        found = self.second(F.leaky_relu(self.first(x), _SLOPE))
        return self.base + found.reshape(len(x), *self.base.shape)  # type: ignore[no-any-return]


def _of_unit_size(x: Tensor) -> Tensor:
    """Embeddings of one scale: weights that are made of vanishing ones would be the same for all people."""
    return F.layer_norm(x.float(), x.shape[1:])


class Fusion(nn.Module):
    """E_F: e_l and e_y to the weights of all layers of the decoder (equation 7)."""

    def __init__(self, config: RhythmicConfig) -> None:
        super().__init__()
        self.grid, width = config.grid, config.widths[0]
        places = self.grid**2
        self.picture = nn.ModuleList([nn.Conv2d(width, width, 1) for _ in range(config.steps)])
        self.landmark = nn.ModuleList([nn.Conv2d(width, width, 1) for _ in range(config.steps)])
        self.picture_heads, self.landmark_heads = nn.ModuleList(), nn.ModuleList()
        self.modulation, self.features = nn.ModuleList(), nn.ModuleList()
        self.hidden = config.hidden
        for level in range(config.steps):
            scales = 2 * config.widths[level]
            # The finest layer sees the landmark image itself.
            inside = config.drawn if level == config.steps - 1 else config.hidden
            self.picture_heads.append(nn.Conv2d(width, scales + config.hidden, 1))
            self.landmark_heads.append(nn.Conv2d(width, scales + config.hidden, 1))
            self.modulation.append(_Mlp(places, config.mixing, scales, config.hidden, config.modulation_kernel))
            self.features.append(_Mlp(places, config.mixing, config.hidden, inside, 3))

    def forward(self, landmark: Tensor, picture: Tensor) -> tuple[Theta, ...]:
        """Return the weights of the N layers, of e_l and e_y ``[B, C, s, s]``."""
        picture, landmark = (_of_unit_size(F.adaptive_avg_pool2d(e, self.grid)) for e in (picture, landmark))
        found = []
        for level in range(len(self.modulation)):
            picture = _of_unit_size(F.leaky_relu(self.picture[level](picture), _SLOPE))
            landmark = _of_unit_size(F.leaky_relu(self.landmark[level](landmark), _SLOPE))
            likely = self.landmark_heads[level](landmark).flatten(2).float().softmax(-1)
            # The number of places makes up for the softmax, whose values have that many to share 1 among.
            mixed = likely.shape[-1] * likely * self.picture_heads[level](picture).flatten(2)
            scales, features = mixed[:, : -self.hidden], mixed[:, -self.hidden :]
            found.append(Theta(self.modulation[level](scales), self.features[level](features)))
        return tuple(found)
