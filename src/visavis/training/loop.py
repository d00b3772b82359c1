"""The loop around the step: batches made ahead, logs, checkpoints, and stopping in time."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from torch import Tensor

from visavis.core.errors import VisavisError
from visavis.nn.denormals import denormals_flushed
from visavis.training.task import Task, TensorBatch
from visavis.training.trainer import Trainer

_AHEAD = 3  # batches a thread
_AGREE_EVERY = 10


class DivergedError(VisavisError):
    """A loss or a gradient is not a number; the last good checkpoint is kept."""


@dataclass(frozen=True)
class StepLog:
    """How things stand after a step.

    Attributes:
        step: steps done.
        losses: weighted losses by name, the mean since the last log.
        seconds: of one step, the mean since the last log.
        left_s: seconds until the run is at its end, if it goes on at this pace.
    """

    step: int
    losses: dict[str, float]
    seconds: float
    left_s: float = 0.0


def batches(task: Task, numbers: Iterable[int], count: int, threads: int) -> Iterator[TensorBatch]:
    """Yield the batches of these numbers, ``count`` samples each, made ahead by threads."""
    with ThreadPoolExecutor(threads) as pool:
        ahead: deque[Future[TensorBatch]] = deque()
        try:
            for number in numbers:
                ahead.append(pool.submit(task.batch, number, count))
                if len(ahead) >= _AHEAD * threads:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            for future in ahead:
                future.cancel()


def run(
    trainer: Trainer,
    *,
    log: Callable[[StepLog], None],
    checkpoint: Callable[[], None],
    validate: Callable[[], None] = lambda: None,
    began: float | None = None,
) -> None:
    """Train until the configured steps or time, or until ``stop_after_s``; checkpoints go through the call-backs.

    Args:
        trainer: of the run.
        log: called with each log line.
        checkpoint: called when one is due, and at the end.
        validate: called when a measurement is due, before the first step and at the end included.
        began: from when ``stop_after_s`` counts, on the clock of :func:`time.monotonic`; by default from now.

    Raises:
        DivergedError: a loss or gradient is not finite. Nothing that comes of it has been checkpointed.
    """
    config, clock, interval = trainer.config, _Clock(trainer, began), _Interval(trainer)
    numbers = (number for step in range(trainer.steps_done, config.steps) for number in trainer.numbers(step))
    source = batches(trainer.task, numbers, config.batch, config.threads)
    if config.validate_every_s and not trainer.steps_done:
        validate()
    trainer.pace.start(began)
    while trainer.steps_done < config.steps:
        drawn = [next(source) for _ in range(config.accumulate)]
        with denormals_flushed():
            interval.add(trainer.step(drawn))
        last = trainer.steps_done == config.steps or clock.is_up()
        save = last or clock.save_is_due()
        tell = last or trainer.steps_done % config.log_every == 0
        if save or tell:
            _refuse_divergence(trainer, interval)
        if tell:
            log(interval.summary())
            interval = _Interval(trainer)
        if config.validate_every_s and (last or clock.validation_is_due()):
            validate()
            clock.validated()
        if save:
            checkpoint()
            clock.saved()
        if last:
            break


class _Clock:
    """When to save and when to stop; of several processes the first one's clock holds."""

    def __init__(self, trainer: Trainer, began: float | None) -> None:
        self._trainer, self._saved = trainer, time.monotonic()
        self._validated = self._saved
        self._began = self._saved if began is None else began

    def is_up(self) -> bool:
        pace = self._trainer.pace
        if pace.by_time and pace.done(self._trainer.steps_done) >= 1:
            return True
        limit = self._trainer.config.stop_after_s
        return bool(limit) and self._passed(self._began, limit)

    def save_is_due(self) -> bool:
        return self._passed(self._saved, self._trainer.config.checkpoint_every_s)

    def saved(self) -> None:
        self._saved = time.monotonic()

    def validation_is_due(self) -> bool:
        return self._passed(self._validated, self._trainer.config.validate_every_s)

    def validated(self) -> None:
        self._validated = time.monotonic()

    def _passed(self, since: float, limit_s: float) -> bool:
        machine = self._trainer.machine
        if machine.world > 1 and self._trainer.steps_done % _AGREE_EVERY:
            return False  # asking the first process costs time
        return machine.agree(time.monotonic() - since > limit_s)


def _refuse_divergence(trainer: Trainer, interval: _Interval) -> None:
    step = trainer.diverged_at()
    if step is None:
        return
    bad = [name for name, value in interval.means().items() if not math.isfinite(value)] or ["the gradient"]
    raise DivergedError(f"step {step}: {', '.join(bad)} is not finite; the last checkpoint before it is kept")


class _Interval:
    """Sums of losses since the last log; kept on the device, since reading them waits for it."""

    def __init__(self, trainer: Trainer) -> None:
        self._trainer, self._started, self._sums = trainer, time.monotonic(), dict[str, Tensor]()
        self._counts = dict[str, int]()
        self.steps = 0

    def add(self, losses: dict[str, Tensor]) -> None:
        for name, loss in losses.items():
            self._sums[name] = self._sums[name] + loss if name in self._sums else loss
            self._counts[name] = self._counts.get(name, 0) + 1
        self.steps += 1

    def means(self) -> dict[str, float]:
        # A judge may have joined on the way.
        return {name: float(value) / self._counts[name] for name, value in self._sums.items()}

    def summary(self) -> StepLog:
        seconds = (time.monotonic() - self._started) / self.steps
        step = self._trainer.steps_done
        return StepLog(step, self.means(), seconds, self._trainer.pace.left_s(step, seconds))
