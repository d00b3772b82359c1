"""One training step; the same whatever is learned and wherever it is computed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from visavis.core.errors import ConfigError
from visavis.training.config import TrainConfig
from visavis.training.machine import Machine
from visavis.training.pace import Pace
from visavis.training.task import Task, TensorBatch

_CLIP_NORM = 5.0
_BETAS = (0.5, 0.999)

#: What is real and what was made, one picture for each argument of the judge.
Pictures = tuple[tuple[Tensor, ...], tuple[Tensor, ...]]


def learning_rate_share(config: TrainConfig, step: int, done: float) -> float:
    """Share of the initial learning rate at ``step``, with ``done`` of the run behind (AVFR-GAN, or cosine)."""
    if config.schedule == "paper":
        return 0.1 ** ((done >= 0.6) + (done >= 0.9))
    warm = min(1.0, (step + 1) / min(config.warm_up, config.steps))
    return warm * max(0.0, 0.5 * (1 + math.cos(math.pi * min(done, 1.0))))


def _columns(pairs: Iterable[tuple[Tensor, Tensor]]) -> tuple[list[Tensor], list[Tensor]]:
    slow, fast = [], []
    for a, b in pairs:
        slow.append(a)
        fast.append(b)
    return slow, fast


def _part(network: nn.Module, name: str) -> nn.Module:
    try:
        return network.get_submodule(name)
    except AttributeError as error:
        known = ", ".join(part for part, _ in network.named_children())
        raise ConfigError(f"'frozen' names no part of the network: '{name}'; its parts are {known}") from error


class _Learner(nn.Module):
    """The task as one forward pass, through which several processes average their gradients."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.network = task.network
        self._task = [task]  # in a list, so that torch does not take the task's parts for its own

    def forward(
        self, kind: type[TensorBatch], tensors: tuple[Tensor, ...], number: int
    ) -> tuple[dict[str, Tensor], Pictures]:
        """Losses, and what a judge is to tell apart; plain containers, which Fabric can look into."""
        outcome = self._task[0].losses(kind(*tensors), number)
        return dict(outcome.losses), (outcome.real, outcome.made)


class Trainer:
    """Holds optimisers and the averaged weights; :meth:`step` is the whole of the method.

    Args:
        config: settings of the run.
        task: what is learned.
        machine: where it is computed.
        start_from: which weights the task's network holds already, for the checkpoints to tell; empty if new ones.
    """

    def __init__(self, config: TrainConfig, task: Task, machine: Machine, start_from: str = "") -> None:
        self.config, self.task, self.machine, self.start_from = config, task, machine, start_from
        task.to(machine.device)
        self.averaged = deepcopy(task.network).eval().requires_grad_(False)
        pairs = list(zip(self.averaged.state_dict().values(), task.network.state_dict().values(), strict=True))
        self._floats = _columns(pair for pair in pairs if pair[0].is_floating_point())
        self._counts = _columns(pair for pair in pairs if not pair[0].is_floating_point())
        if config.compile:
            for part in task.network.children():
                part.compile()
        self._frozen = [_part(task.network, name).requires_grad_(False) for name in config.frozen]
        self.optimiser = self._adam([weight for weight in task.network.parameters() if weight.requires_grad])
        self._learner = machine.setup(_Learner(task))
        self.judge_optimiser: torch.optim.Adam | None = None
        if task.judge is not None:
            self.judge_optimiser = self._adam(task.judge_groups())
            self._judge = machine.setup(task.judge)
        self.steps_done = 0
        self.pace = Pace(config)
        if self.pace.by_time and machine.world > 1:
            raise ConfigError("schedule_by 'time' has one clock: use one process, or a schedule by steps")
        self._bad_step = torch.full((), -1, device=machine.device)

    def _adam(self, parameters: Iterable[nn.Parameter] | list[dict[str, Any]]) -> torch.optim.Adam:
        fused = self.machine.device.type == "cuda"
        return torch.optim.Adam(parameters, self.config.learning_rate, betas=_BETAS, fused=fused)

    def numbers(self, step: int) -> list[int]:
        """Numbers of this process's batches of a step: one for each part that is accumulated.

        All processes together see the numbers that one process with as many parts would see.
        """
        parts, machine = self.config.accumulate, self.machine
        return [(step * parts + part) * machine.world + machine.rank for part in range(parts)]

    def step(self, parts: Sequence[TensorBatch]) -> dict[str, Tensor]:
        """Learn from the batches of :meth:`numbers`; returns the weighted losses, detached, as their mean."""
        network = self.task.network.train()
        for part in self._frozen:
            part.eval()
        self.task.done = self.pace.done(self.steps_done)
        self._set_learning_rate()
        self.optimiser.zero_grad(set_to_none=True)
        found: list[dict[str, Tensor]] = []
        pictures: list[Pictures] = []
        for number, batch in zip(self.numbers(self.steps_done), parts, strict=True):
            losses, shown = self._learn(batch.to(self.machine.device), number, last=len(found) == len(parts) - 1)
            found.append(losses)
            pictures.append(shown)
        norm = nn.utils.clip_grad_norm_(network.parameters(), _CLIP_NORM)
        self.optimiser.step()
        if pictures[0][0]:
            for losses, loss in zip(found, self._judge_step(pictures), strict=True):
                losses["discriminator"] = loss
        self._average()
        self.steps_done += 1
        means = {name: torch.stack([losses[name] for losses in found]).mean() for name in found[0]}
        self._watch(means, norm)
        return means

    def _learn(self, batch: TensorBatch, number: int, *, last: bool) -> tuple[dict[str, Tensor], Pictures]:
        """Add one batch's gradients; a judge's own are not wanted here."""
        if self.task.judge is not None:
            self.task.judge.requires_grad_(False)
        with self.machine.alone(self._learner, on=not last):
            with self.machine.autocast():
                losses, (real, made) = self._learner(type(batch), tuple(vars(batch).values()), number)
            total = torch.stack(list(losses.values())).sum()
            self.machine.backward(total / self.config.accumulate)
        return {name: loss.detach() for name, loss in losses.items()}, (real, tuple(x.detach() for x in made))

    def _judge_step(self, pictures: Sequence[Pictures]) -> list[Tensor]:
        """Let the judge learn to tell real pictures from those just made (equation 3)."""
        assert self.task.judge is not None and self.judge_optimiser is not None
        self.task.judge.requires_grad_(True)
        self.judge_optimiser.zero_grad(set_to_none=True)
        found = []
        for index, (real, made) in enumerate(pictures):
            with self.machine.alone(self._judge, on=index < len(pictures) - 1):
                with self.machine.autocast():
                    logits = self._judge(*[torch.cat(pair) for pair in zip(real, made, strict=True)])
                each = logits if isinstance(logits, tuple) else (logits,)
                loss = self.task.judge_loss(each)
                self.machine.backward(loss / self.config.accumulate)
            found.append(loss.detach())
        self.judge_optimiser.step()
        return found

    def _set_learning_rate(self) -> None:
        rate = learning_rate_share(self.config, self.steps_done, self.task.done) * self.config.learning_rate
        for optimiser in (self.optimiser, self.judge_optimiser):
            for group in optimiser.param_groups if optimiser is not None else ():
                group["lr"] = rate * group.get("share", 1.0)

    @torch.no_grad()
    def _average(self) -> None:
        # A short run must not be weighed down by its random start.
        decay = min(self.config.ema, (1 + self.steps_done) / (10 + self.steps_done))
        torch._foreach_lerp_(*self._floats, 1 - decay)
        if self._counts[0]:
            torch._foreach_copy_(*self._counts)

    def validate(self) -> dict[str, float]:
        """Measure the averaged weights, in the run's precision."""
        with torch.no_grad(), self.machine.autocast():
            return dict(self.task.validate(self.averaged))

    def _watch(self, losses: Mapping[str, Tensor], norm: Tensor) -> None:
        """Remember the first step that went wrong, without waiting for the device."""
        finite = torch.stack([*losses.values(), norm]).isfinite().all()
        now_bad = ~finite & (self._bad_step < 0)
        self._bad_step = torch.where(now_bad, self.steps_done, self._bad_step)

    def diverged_at(self) -> int | None:
        """Number of the first step whose losses or gradients were not finite, or None; waits for the device."""
        step = int(self._bad_step)
        return None if step < 0 else step
