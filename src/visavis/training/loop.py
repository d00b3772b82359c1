"""One training step, and the loop around it; the same whatever is learned."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from visavis.core.errors import VisavisError
from visavis.training.config import TrainConfig
from visavis.training.losses import discriminator_loss
from visavis.training.task import Task, TensorBatch

_WARM_UP = 100
_CLIP_NORM = 5.0
_PREFETCH = 6


class DivergedError(VisavisError):
    """A loss is not a number; the last good checkpoint is kept."""


@dataclass
class StepLog:
    """Losses of one step, already weighted, by name."""

    step: int
    losses: dict[str, float]
    seconds: float


def learning_rate_share(config: TrainConfig, step: int) -> float:
    """Share of the initial learning rate at ``step`` (AVFR-GAN, 'Implementation Details', or cosine)."""
    done = step / config.steps
    if config.schedule == "paper":
        return 0.1 ** ((done >= 0.6) + (done >= 0.9))
    warm = min(1.0, (step + 1) / min(_WARM_UP, config.steps))
    return warm * max(0.0, 0.5 * (1 + math.cos(math.pi * min(done, 1.0))))


class Trainer:
    """Holds optimisers and the averaged weights; :meth:`step` is the whole of the method.

    Args:
        config: settings of the run.
        task: what is learned.
        device: where to compute.
    """

    def __init__(self, config: TrainConfig, task: Task, device: torch.device) -> None:
        self.config, self.task, self.device = config, task, device
        task.to(device)
        self.averaged = deepcopy(task.network).eval().requires_grad_(False)
        self.optimiser = self._adam(task.network)
        self.judge_optimiser = self._adam(task.judge) if task.judge is not None else None
        self.steps_done = 0

    def _adam(self, network: nn.Module) -> torch.optim.Adam:
        return torch.optim.Adam(network.parameters(), self.config.learning_rate, betas=(0.5, 0.999))

    def step(self, batch: TensorBatch) -> dict[str, Tensor]:
        """Learn from one batch; returns the weighted losses, detached."""
        batch, task = batch.to(self.device), self.task
        self._set_learning_rate()
        task.network.train()
        with self._autocast():
            outcome = task.losses(batch, self.steps_done)
        losses = dict(outcome.losses)
        self.optimiser.zero_grad(set_to_none=True)
        torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(task.network.parameters(), _CLIP_NORM)
        self.optimiser.step()
        if outcome.real is not None and outcome.made is not None and task.judge is not None:
            losses["discriminator"] = self._judge_step(task.judge, outcome.real, outcome.made.detach())
        self._average()
        self.steps_done += 1
        return {name: loss.detach() for name, loss in losses.items()}

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bf16")

    def _set_learning_rate(self) -> None:
        rate = learning_rate_share(self.config, self.steps_done) * self.config.learning_rate
        for optimiser in (self.optimiser, self.judge_optimiser):
            for group in optimiser.param_groups if optimiser is not None else ():
                group["lr"] = rate

    def _judge_step(self, judge: nn.Module, real: Tensor, made: Tensor) -> Tensor:
        assert self.judge_optimiser is not None
        with self._autocast():
            logits = judge(torch.cat([real, made])).float()
        loss = discriminator_loss(*logits.chunk(2))
        self.judge_optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.judge_optimiser.step()
        return loss

    @torch.no_grad()
    def _average(self) -> None:
        # A short run must not be weighed down by its random start.
        decay = min(self.config.ema, (1 + self.steps_done) / (10 + self.steps_done))
        fresh = self.task.network.state_dict().values()
        for slow, fast in zip(self.averaged.state_dict().values(), fresh, strict=True):
            if slow.dtype.is_floating_point:
                slow.lerp_(fast, 1 - decay)
            else:
                slow.copy_(fast)


def batches(task: Task, first: int, last: int, count: int, threads: int = 2) -> Iterator[TensorBatch]:
    """Yield batches ``first`` to ``last - 1`` of ``count`` samples, made ahead by threads."""
    with ThreadPoolExecutor(threads) as pool:
        ahead: list[Future[TensorBatch]] = []
        for step in range(first, last):
            while len(ahead) < _PREFETCH and step + len(ahead) < last:
                ahead.append(pool.submit(task.batch, step + len(ahead), count))
            yield ahead.pop(0).result()


def run(trainer: Trainer, *, log: Callable[[StepLog], None], checkpoint: Callable[[], None]) -> None:
    """Train until the configured number of steps, or until ``stop_after_s``; checkpoints go through the call-backs."""
    config = trainer.config
    started = saved = mark = time.monotonic()
    sums: dict[str, Tensor] = {}
    for batch in batches(trainer.task, trainer.steps_done, config.steps, config.batch):
        losses = trainer.step(batch)
        for name, loss in losses.items():
            sums[name] = sums[name] + loss if name in sums else loss
        if trainer.steps_done % config.log_every == 0:
            means = {name: float(value) / config.log_every for name, value in sums.items()}
            bad = [name for name, value in means.items() if not math.isfinite(value)]
            if bad:
                raise DivergedError(
                    f"loss {', '.join(bad)} is not finite by step {trainer.steps_done}; the last checkpoint is kept"
                )
            log(StepLog(trainer.steps_done, means, (time.monotonic() - mark) / config.log_every))
            sums, mark = {}, time.monotonic()
        if time.monotonic() - saved > config.checkpoint_every_s:
            checkpoint()
            saved = time.monotonic()
        if config.stop_after_s and time.monotonic() - started > config.stop_after_s:
            break
    checkpoint()
