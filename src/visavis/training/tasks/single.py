"""What tasks share that teach one network, without a judge and without anything learned beforehand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from visavis.training.config import TrainConfig


class SingleNetwork:
    """The half of :class:`visavis.training.task.Task` that does not depend on what is learned.

    Args:
        config: settings of the run, whose seed is set before the network is built.
        network: class that is built from ``config.model``.
    """

    of_data: ClassVar[tuple[str, ...]] = ()
    pools: ClassVar[bool] = False
    data_class: ClassVar[type | None] = None
    judges: ClassVar[None] = None
    network: nn.Module
    judge: nn.Module | None = None
    done: float = 0.0

    def __init__(self, config: TrainConfig, network: type[nn.Module]) -> None:
        torch.manual_seed(config.seed)
        self.config = config
        self.network = network(config.model)

    def to(self, device: torch.device) -> None:
        """Move the network to ``device``."""
        self.network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def fixed(self) -> Mapping[str, Tensor]:
        """Nothing is learned beforehand."""
        return {}

    @classmethod
    def fixed_in(cls, model: Any, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Nothing is learned beforehand."""
        return {}

    def validate(self, network: nn.Module) -> Mapping[str, float]:
        """Nothing is measured."""
        return {}

    def judge_loss(self, logits: Sequence[Tensor]) -> Tensor:
        """There is no judge."""
        raise NotImplementedError

    def judge_groups(self) -> list[dict[str, Any]]:
        """There is no judge."""
        return []

    def plain_config(self) -> Mapping[str, Any]:
        """The network's shape."""
        return asdict(self.config.model)

    def meta(self) -> Mapping[str, Any]:
        """The weights of the losses."""
        return {"losses": asdict(self.config.losses)}


def in_rows(rows: Sequence[Tensor]) -> NDArray[np.uint8]:
    """Lay out pictures ``[B, 3, S, S]`` in [0, 1], those of each batch side by side: ``uint8 [R S, B S, 3]``."""
    pictures = torch.stack([row.float().cpu() for row in rows]).clamp(0, 1)
    return np.asarray((255 * pictures).round().byte().permute(0, 3, 1, 4, 2).flatten(0, 1).flatten(1, 2).numpy())
