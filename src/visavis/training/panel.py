"""Judges by name: which discriminators a recipe sets over a generator, what each sees, and how it learns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from visavis.core.config import check_ranges
from visavis.core.errors import ConfigError
from visavis.judges.discriminators import PatchDiscriminator, SpadeDiscriminator
from visavis.training.losses import (
    discriminator_loss,
    feature_matching,
    generator_adversarial_loss,
    hinge_discriminator_loss,
)

_RANGES = {
    "width": (1, 512),
    "blocks": (1, 8),
    "weight": (0, 1e6),
    "feature_matching": (0, 1e6),
    "rate": (0, 100),
}


@dataclass(frozen=True)
class JudgeConfig:
    """One discriminator, and what it counts.

    Attributes:
        network: `patch`, of AVFR-GAN, or `spade`, of SPADE: two scales, instance norm.
        width, blocks: of the network.
        sees: the whole picture, or the crop of the mouth, a quarter of the side.
        given: what is laid beside the picture as channels: nothing, the driving face's picture, or the sound features,
            the same at every place.
        loss: `softplus`, or `hinge`.
        weight: of its term in the generator's loss.
        feature_matching: weight of the L1 of its features.
        rate: its part of the run's learning rate.
        joins: share of the run after which it learns and counts.
    """

    network: Literal["patch", "spade"] = "patch"
    width: int = 32
    blocks: int = 4
    sees: Literal["picture", "mouth"] = "picture"
    given: Literal["nothing", "face", "sound"] = "nothing"
    loss: Literal["softplus", "hinge"] = "softplus"
    weight: float = 1.0
    feature_matching: float = 0.0
    rate: float = 1.0
    joins: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what no run can have."""
        check_ranges(self, {**_RANGES, "joins": (0, 1)})


def _network(config: JudgeConfig, condition: int) -> PatchDiscriminator | SpadeDiscriminator:
    if config.network == "spade":
        return SpadeDiscriminator(config.width, config.blocks, condition=condition)
    return PatchDiscriminator(config.width, config.blocks, condition=condition)


class Panel(nn.Module):
    """All judges of a run.

    Args:
        configs: by name, in the order in which :meth:`forward` takes what they see.
        conditions: channels of what each is given beside the picture, by :attr:`JudgeConfig.given`.

    Raises:
        ConfigError: a judge wants to be given what is not there.
    """

    def __init__(self, configs: Mapping[str, JudgeConfig], conditions: Mapping[str, int]) -> None:
        super().__init__()
        self.configs = dict(configs)
        for name, config in configs.items():
            if config.given not in {"nothing", *conditions}:
                there = ", ".join(["nothing", *conditions])
                raise ConfigError(f"'judges.{name}.given' is '{config.given}', and this task has: {there}")
        self.networks = nn.ModuleDict(
            {name: _network(config, conditions.get(config.given, 0)) for name, config in configs.items()}
        )

    def forward(self, *seen: Tensor) -> tuple[Tensor, ...]:
        """Return the logits of all judges, one after the other, ``scales`` tensors each.

        Args:
            seen: ``[B, 3 + n, h, w]`` for each judge; what is empty is not judged, and gives empty logits.
        """
        logits: list[Tensor] = []
        for network, x in zip(self.networks.values(), seen, strict=True):
            assert isinstance(network, (PatchDiscriminator, SpadeDiscriminator))
            logits += _tuple(network.judge(x)[0]) if x.numel() else [x.new_zeros(0)] * network.scales
        return tuple(logits)

    def loss(self, logits: Sequence[Tensor]) -> Tensor:
        """What the judges learn from: logits of :meth:`forward`, of real pictures and then of as many made ones."""
        terms, rest = [], list(logits)
        for name, network in self.networks.items():
            scales = int(network.scales)  # type: ignore[arg-type]
            own, rest = rest[:scales], rest[scales:]
            told = hinge_discriminator_loss if self.configs[name].loss == "hinge" else discriminator_loss
            terms += [told(*part.float().chunk(2)) / scales for part in own if part.numel()]
        return torch.stack(terms).sum()

    def groups(self) -> list[dict[str, Any]]:
        """Parameters for an optimiser, with each judge's part of the learning rate."""
        return [
            {"params": list(network.parameters()), "share": self.configs[name].rate}
            for name, network in self.networks.items()
        ]

    def joined(self, done: float) -> list[str]:
        """Names of the judges that count when so much of the run is done."""
        return [name for name, config in self.configs.items() if done >= config.joins]

    def judged(self, made: Mapping[str, Tensor], real: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What the judges add to the generator's losses, weighted, by name.

        Args:
            made, real: what each judge that has joined sees.
        """
        terms: list[Tensor] = []
        matching: list[Tensor] = []
        for name, fake in made.items():
            network, config = self.networks[name], self.configs[name]
            assert isinstance(network, (PatchDiscriminator, SpadeDiscriminator))
            logits, features = network.judge(fake)
            for part in _tuple(logits):
                # For the hinge the generator's term is the plain mean of the logits (equation 3 of HeadGAN).
                term = -part.float().mean() if config.loss == "hinge" else generator_adversarial_loss(part.float())
                terms.append(config.weight * term / network.scales)
            if config.feature_matching:
                with torch.no_grad():
                    _, wanted = network.judge(real[name])
                matching.append(config.feature_matching * feature_matching(features, wanted))
        losses = {"adversarial": torch.stack(terms).sum()} if terms else {}
        if matching:
            losses["feature_matching"] = torch.stack(matching).sum()
        return losses


def _tuple(logits: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return logits if isinstance(logits, tuple) else (logits,)
