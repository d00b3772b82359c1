"""What all tasks share that redraw frames of a person by a motion: networks, losses, judges, what a run keeps."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from visavis.training.config import TrainConfig
from visavis.training.panel import JudgeConfig
from visavis.training.perceived import Perceived, Truth
from visavis.training.task import Outcome, TensorBatch

SHEET_CLIPS = 6
# Samples on which the weight of the perceptual term is measured.
_MEASURED_BATCHES, _MEASURED_SAMPLES = 4, 16


class HasPicture(Protocol):
    """What a network made of a batch."""

    @property
    def picture(self) -> Tensor:
        """``[B, 3, S, S]`` in [0, 1]."""


B = TypeVar("B", bound=Truth)
D = TypeVar("D", bound=HasPicture)


class RedrawingTask(Generic[B, D]):
    """Base of the tasks whose samples are frames to be redrawn; most of :class:`visavis.training.task.Task`.

    Args:
        config: settings of the run.
    """

    family: ClassVar[str]
    model_class: ClassVar[type]
    losses_class: ClassVar[type]
    presets: ClassVar[Mapping[str, Callable[[], Any]]]
    data_class: ClassVar[type | None] = None
    judges: ClassVar[Mapping[str, JudgeConfig] | None] = None
    of_data: ClassVar[tuple[str, ...]] = ()
    pools: ClassVar[bool] = False

    judge: nn.Module | None = None
    done: float = 0.0

    def __init__(self, config: TrainConfig) -> None:
        torch.manual_seed(config.seed)
        self.config = config
        self.network = self.build()
        self.perceived = self.perceives()

    @abstractmethod
    def build(self) -> nn.Module:
        """Return a new network."""

    @abstractmethod
    def draw(self, network: nn.Module, batch: B) -> D:
        """Redraw the driving pictures of a batch."""

    @abstractmethod
    def terms(self, drawn: D, batch: B, step: int) -> dict[str, Tensor]:
        """Weighted losses by name, those that count, without the perceptual term and the judges'.

        Args:
            drawn: what :meth:`draw` gave.
            batch: of what.
            step: seeds what is random in them.
        """

    def perceives(self) -> Perceived | None:
        """The perceptual term, where there is one."""
        return None

    @abstractmethod
    def batch(self, step: int, count: int) -> TensorBatch:
        """Batch number ``step`` of ``count`` samples; of clips on the device, which frames it holds."""

    @abstractmethod
    def whole(self, batch: Any) -> B:
        """What :meth:`batch` gave, with its pictures."""

    def judged(self, drawn: D, batch: B) -> Outcome:
        """What the judges add to the losses, and what they are to learn from."""
        return Outcome()

    def to(self, device: torch.device) -> None:
        """Move the networks to ``device``."""
        for network in (self.network, self.judge):
            if network is not None:
                network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if self.perceived is not None:
            self.perceived.network.to(device)

    def losses(self, batch: Any, step: int) -> Outcome:
        """The family's own terms, the perceptual one, and the judges'."""
        whole = self.whole(batch)
        drawn = self.draw(self.network, whole)
        losses = self.terms(drawn, whole, step)
        if self.perceived is not None and self.perceived.counts:
            losses["perceptual"] = self.perceived.term(drawn.picture, whole, self._first())
        said = self.judged(drawn, whole)
        return Outcome({**losses, **said.losses}, said.real, said.made)

    def _first(self) -> Iterator[tuple[Tensor, B]]:
        """The first batches of the run, as the network draws them now."""
        network = deepcopy(self.network)  # batch norm of the copy alone takes notice
        device = next(network.parameters()).device
        for number in range(_MEASURED_BATCHES):
            batch = self.whole(self.batch(number, min(self.config.batch, _MEASURED_SAMPLES)).to(device))
            yield self.draw(network, batch).picture, batch

    def fixed(self) -> Mapping[str, Tensor]:
        """The weight of the perceptual term where it was measured."""
        return {} if self.perceived is None else self.perceived.fixed()

    def restore(self, stored: Mapping[str, Tensor]) -> None:
        """Take what :meth:`fixed` gave when the run began; nothing of a new run."""
        if self.perceived is not None:
            self.perceived.restore(stored)

    @classmethod
    def fixed_in(cls, model: Any, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Nothing, where the network carries nothing that was learned from the data beforehand."""
        return {}

    def plain_config(self) -> Mapping[str, Any]:
        """The network's shape."""
        return asdict(self.config.model)

    def meta(self) -> Mapping[str, Any]:
        """The weights of the losses, the judges by name, and which perceptual network there was."""
        name = "none" if self.perceived is None else getattr(self.perceived.network, "name", "none")
        found = {"losses": asdict(self.config.losses), "perceptual": name}
        if self.config.judges is not None:
            found["judges"] = {name: asdict(config) for name, config in self.config.judges.items()}
        return found


def in_columns(columns: Sequence[Tensor]) -> NDArray[np.uint8]:
    """Pictures ``[B, 3, S, S]`` in [0, 1] of each column side by side, a row a sample."""
    shown = torch.cat([column.detach().float().cpu() for column in columns], 3)
    pixels = (shown.permute(0, 2, 3, 1).flatten(0, 1) * 255).round().clamp(0, 255)
    return np.asarray(pixels.numpy().astype(np.uint8))
