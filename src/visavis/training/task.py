"""What a run learns: the contract between the loop and the things that it can train.

A new task is one file in ``training/tasks/`` with a class that keeps this contract, and one line in
``training/tasks/registry.py``. The loop knows nothing of faces: it asks for a batch, for its losses, and for a picture
of how things stand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from typing_extensions import Self

if TYPE_CHECKING:
    from visavis.training.config import TrainConfig
    from visavis.training.panel import JudgeConfig


@dataclass(frozen=True)
class TensorBatch:
    """Base of all batches: a frozen dataclass of tensors, whose first axis counts the samples."""

    def to(self, device: torch.device) -> Self:
        """Return the same batch on ``device``."""
        return type(self)(*[getattr(self, part.name).to(device, non_blocking=True) for part in fields(self)])


@dataclass(frozen=True)
class Outcome:
    """What one batch gives.

    Attributes:
        losses: weighted losses by name; their sum is what the network learns from.
        real, made: what the judge is to tell apart: pictures ``[B, 3, h, w]``, one for each of its arguments; empty
            without a judge, or before it joins.
    """

    losses: Mapping[str, Tensor] = field(default_factory=dict)
    real: tuple[Tensor, ...] = ()
    made: tuple[Tensor, ...] = ()


class Task(Protocol):
    """Something that a run can learn.

    Attributes:
        family: name of the weights' family, as in the checkpoint's header.
        model_class: dataclass that ``[model]`` of the settings is built from.
        losses_class: dataclass that ``[losses]`` is built from.
        presets: shapes by name, for ``preset`` in ``[model]``; the first is used where there is no ``[model]``.
        data_class: dataclass that ``[data]`` is built from, or None where the task has no such table.
        judges: discriminators by name, for ``[judges.NAME]``; those of them are there that the recipe names, and all
            of them where it has no such table. None where the task has its judges from ``[losses]``, or none.
        of_data: names of settings of the shape and of tensors of the network that belong to the data and not to the
            weights; a run that starts from weights has its own.
        pools: whether its samples may come from a pool, see :class:`visavis.training.config.TrainConfig`.
        network: what learns. Its running average is what is saved for use.
        judge: network that tells real pictures from made ones, or None; gives logits, one tensor or a tuple of them.
        done: share of the run that is done; the trainer sets it before each step.
    """

    family: ClassVar[str]
    model_class: ClassVar[type]
    losses_class: ClassVar[type]
    presets: ClassVar[Mapping[str, Callable[[], Any]]]
    data_class: ClassVar[type | None]
    judges: ClassVar[Mapping[str, JudgeConfig] | None]
    of_data: ClassVar[tuple[str, ...]]
    pools: ClassVar[bool]
    network: nn.Module
    judge: nn.Module | None
    done: float

    @classmethod
    def start(cls, config: TrainConfig, data: Path, stored: Mapping[str, Tensor], say: Callable[[str], None]) -> Self:
        """Read the data and build the networks, with torch's generator seeded by the run's seed.

        Args:
            config: settings of the run.
            data: folder of shards.
            stored: what :meth:`fixed` returned when the run began, or :meth:`fixed_in` of the weights that it starts
                from; empty for a new run from new weights.
            say: called with a line or two on what was found.

        Raises:
            DataError: no shards, damaged ones, or none of the split.
        """

    def to(self, device: torch.device) -> None:
        """Move networks and whatever else the losses need to ``device``."""

    def batch(self, step: int, count: int) -> TensorBatch:
        """Return batch number ``step`` of ``count`` samples; it depends on the seed and the number alone."""

    def losses(self, batch: Any, step: int) -> Outcome:
        """Return the losses of a batch; whatever is random in them depends on the seed and the number alone."""

    def judge_loss(self, logits: Sequence[Tensor]) -> Tensor:
        """What the judge learns from: each of its logits is of real pictures, then of as many that were made."""

    def judge_groups(self) -> list[dict[str, Any]]:
        """The judge's parameters for its optimiser; a group's ``share`` is its part of the learning rate, 1 without."""

    def fixed(self) -> Mapping[str, Tensor]:
        """What was learned from the data before the first step, and must be the same after a stop."""

    @classmethod
    def fixed_in(cls, model: Any, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """What of :meth:`fixed` the weights of a network of shape ``model`` hold; may be empty."""

    def plain_config(self) -> Mapping[str, Any]:
        """The network's shape, for the checkpoint's header."""

    def meta(self) -> Mapping[str, Any]:
        """What else the checkpoint should tell."""

    def sheet(self, network: nn.Module) -> NDArray[np.uint8] | None:
        """Draw what ``network`` makes of the same few samples, ``uint8 [H, W, 3]``; None without any."""

    def validate(self, network: nn.Module) -> Mapping[str, float]:
        """Measure ``network`` on samples that are not learned from; empty without any."""
