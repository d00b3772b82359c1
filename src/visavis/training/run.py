"""A training run in a folder: settings, log, sheets, and going on where it stopped."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import cv2
import torch

from visavis.core.errors import ConfigError, OutputError
from visavis.training.checkpoint import WEIGHTS, holds_run, load_state, restore, stored_by_task, write
from visavis.training.config import read_config
from visavis.training.loop import StepLog, Trainer
from visavis.training.loop import run as run_loop
from visavis.training.tasks.registry import task_class


def train(
    config_path: Path,
    data: Path,
    settings: Sequence[str] = (),
    *,
    steps: int | None = None,
    resume: bool = False,
    out: Path,
    device: str = "auto",
    say: Callable[[str], None] = lambda line: None,
) -> Path:
    """Train as a TOML file says; returns the path of the weights.

    Args:
        config_path: settings of :class:`TrainConfig`.
        data: folder of shards.
        settings: ``key=value`` in place of the file's.
        steps: in place of the file's steps.
        resume: go on from the checkpoint in ``out``.
        out: folder of the run; holds the averaged weights, the state to resume from, and log.jsonl.
        device: auto, cpu or cuda.
        say: called with each line of progress.

    Raises:
        ConfigError: unknown or wrong settings, or a folder that holds another run.
        DataError: no shards, or damaged ones.
    """
    config = read_config(config_path, settings)
    if steps is not None:
        config = replace(config, steps=steps)
    if device not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"--device {device}: choose auto, cpu or cuda")
    where = torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")
    started_before = holds_run(out)
    if started_before and not resume:
        raise ConfigError(f"{out}: holds a run already; add --resume to go on with it, or choose another --out")
    state = load_state(out) if started_before else {}
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{out}: cannot be made a folder ({error.strerror})") from error
    torch.manual_seed(config.seed)
    task = task_class(config.task).start(config, data, stored_by_task(state), say)
    trainer = Trainer(config, task, where)
    if started_before:
        restore(trainer, state, out)
        say(f"resumed at step {trainer.steps_done}")
    del state
    with (out / "log.jsonl").open("a", encoding="utf-8") as journal:

        def log(entry: StepLog) -> None:
            journal.write(json.dumps(asdict(entry)) + "\n")
            journal.flush()
            left_s = (config.steps - entry.step) * entry.seconds
            losses = " ".join(f"{name} {value:.4f}" for name, value in entry.losses.items())
            say(
                f"step {entry.step}/{config.steps}  {config.batch / entry.seconds:.1f} samples/s  "
                f"{left_s / 60:.0f} min left  {losses}"
            )

        def checkpoint() -> None:
            write(trainer, out)
            sheet = task.sheet(trainer.averaged)
            if sheet is not None:
                cv2.imwrite(str(out / "sheet.png"), sheet[..., ::-1])

        run_loop(trainer, log=log, checkpoint=checkpoint)
    return out / WEIGHTS
