"""A training run in a folder: settings, data, machine, and going on where it stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from visavis.core.errors import ConfigError, OutputError
from visavis.core.lock import Lock
from visavis.training.checkpoint import (
    WEIGHTS,
    go_back,
    holds_run,
    last_checkpoint,
    load_state,
    publish,
    restore,
    stored_by_task,
    write,
)
from visavis.training.config import TrainConfig, read_config
from visavis.training.identity import check_same, describe_run, record
from visavis.training.journal import Journal
from visavis.training.loop import StepLog
from visavis.training.loop import run as run_loop
from visavis.training.machine import Machine, open_machine, part_with_others
from visavis.training.start import Start, find_start
from visavis.training.tasks.registry import task_class
from visavis.training.trainer import Trainer


@dataclass(frozen=True)
class TrainReport:
    """What a run came to.

    Attributes:
        steps: done in all.
        seconds: that this process took over its steps.
        samples_per_s: over those seconds.
        losses: weighted losses of the last log line; empty if there was none.
        weights: file of the averaged weights.
        checkpoint: folder to resume from.
        device, precision: where and how it was computed.
        perceptual: network of the perceptual loss, ``none`` without one.
    """

    steps: int
    seconds: float
    samples_per_s: float
    losses: dict[str, float]
    weights: str
    checkpoint: str
    device: str
    precision: str
    perceptual: str

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def train(
    config_path: Path,
    data: Path,
    settings: Sequence[str] = (),
    *,
    steps: int | None = None,
    resume: bool = False,
    out: Path,
    device: str = "auto",
    devices: int = 1,
    say: Callable[[str], None] = lambda line: None,
    saved: Callable[[], None] = lambda: None,
) -> TrainReport | None:
    """Train as a TOML file says; returns what it came to, in the first of several processes.

    Args:
        config_path: settings of :class:`TrainConfig`.
        data: folder of shards.
        settings: ``key=value`` in place of the file's.
        steps: in place of the file's steps.
        resume: go on from the checkpoint in ``out``, or begin if there is none yet.
        out: folder of the run; holds the averaged weights, the state to resume from, the log and sheets.
        device: auto, cpu or cuda.
        devices: how many; more than one needs Lightning Fabric.
        say: called with each line of progress.
        saved: called after each checkpoint, when it is in its place.

    Raises:
        ConfigError: unknown or wrong settings, weights to start from that do not fit them, or a folder that holds
            another run.
        DataError: no shards, or damaged ones.
        OutputError: the folder cannot be written to, or another run works in it.
        WeightsError: no such weights to start from, or damaged ones.
        DivergedError: losses or weights are no longer finite.
    """
    began, config = time.monotonic(), read_config(config_path, settings)
    if steps is not None:
        config = replace(config, steps=steps)
    if holds_run(out) and not resume:
        raise ConfigError(f"{out}: holds a run already; add --resume to go on with it, or choose another --out")
    start = None if holds_run(out) else find_start(config)
    machine = open_machine(device, config.precision, devices, search_kernels=config.search_kernels)
    try:
        with _alone_in(out) if machine.rank == 0 else nullcontext():
            return _train(config, data, out, machine, start, began, say, saved)
    finally:
        part_with_others()


def _train(
    config: TrainConfig,
    data: Path,
    out: Path,
    machine: Machine,
    start: Start | None,
    began: float,
    say: Callable[[str], None],
    saved: Callable[[], None],
) -> TrainReport | None:
    if machine.rank > 0:
        state = load_state(out) if holds_run(out) else {}
        trainer = _trainer(config, data, machine, start, state, out, lambda line: None)
        run_loop(trainer, log=lambda entry: None, checkpoint=lambda: None, began=began)
        return None
    state = _begin(out, describe_run(config, machine, data, start), say)
    trainer = _trainer(config, data, machine, start, state, out, say)
    if start is not None:
        say(f"starts from {trainer.start_from}")
    if state:
        say(f"resumed at step {trainer.steps_done}")
    return _run(trainer, out, began, say, saved)


def _run(
    trainer: Trainer, out: Path, began: float, say: Callable[[str], None], saved: Callable[[], None]
) -> TrainReport:
    """Run the loop with all that a run writes."""
    config, machine, task = trainer.config, trainer.machine, trainer.task
    samples = config.batch * config.accumulate * machine.world
    started, first, logged = time.monotonic(), trainer.steps_done, dict[str, float]()
    steps = 0 if trainer.pace.by_time else config.steps
    with Journal(out, steps=steps, samples=samples, resumed_at=first, say=say) as journal:

        def log(entry: StepLog) -> None:
            logged.update(entry.losses)
            journal.log(entry)

        def validate() -> None:
            values = trainer.validate()
            if values:
                journal.validation(trainer.steps_done, values)

        def checkpoint() -> None:
            write(trainer, out)
            sheet = task.sheet(trainer.averaged)
            if sheet is not None:
                journal.sheet(trainer.steps_done, sheet)
            saved()

        run_loop(trainer, log=log, checkpoint=checkpoint, validate=validate, began=began)
    seconds = time.monotonic() - started
    return TrainReport(
        steps=trainer.steps_done,
        seconds=seconds,
        samples_per_s=(trainer.steps_done - first) * samples / seconds,
        losses=logged,
        weights=str(out / WEIGHTS),
        checkpoint=str(last_checkpoint(out)),
        device=str(machine.device),
        precision=config.precision,
        perceptual=str(task.meta().get("perceptual", "none")),
    )


def _alone_in(out: Path) -> Lock:
    """Hold a run's folder, made if need be, against any other run."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        return Lock(out)
    except OSError as error:
        raise OutputError(f"{out}: cannot be made a folder ({error.strerror})") from error


def _begin(out: Path, about: dict[str, Any], say: Callable[[str], None]) -> dict[str, Tensor]:
    """The state to go on from, empty for a new run, whose description is written down."""
    if holds_run(out):
        check_same(out, about)
        go_back(out, say)
        state = load_state(out)
        publish(out)  # the process may have been killed just before
        return state
    record(out, about)
    return {}


def _trainer(
    config: TrainConfig,
    data: Path,
    machine: Machine,
    start: Start | None,
    state: Mapping[str, Tensor],
    out: Path,
    say: Callable[[str], None],
) -> Trainer:
    torch.manual_seed(config.seed)
    stored = stored_by_task(state) if start is None else start.fixed
    task = task_class(config.task).start(config, data, stored, say)
    if start is not None:
        start.load_into(task.network)
    trainer = Trainer(config, task, machine, "" if start is None else start.mark())
    if state:
        restore(trainer, state, out)
    return trainer
