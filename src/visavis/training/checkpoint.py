"""Checkpoints of a run: everything that going on needs, written aside and renamed; the one before is kept too."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from visavis.core.aside import write_whole
from visavis.core.config import build
from visavis.core.errors import ConfigError, DataError, OutputError, WeightsError
from visavis.core.strict_json import loads
from visavis.training.loop import DivergedError
from visavis.training.trainer import Trainer
from visavis.weights.checkpoint import check_header, load, load_into, save, sha256

WEIGHTS = "weights.safetensors"
_STATE = "state.safetensors"
_PROGRESS = "progress.json"
_FIXED = "fixed."


def holds_run(out: Path) -> bool:
    """Whether a run has left a checkpoint in a folder."""
    return (out / _PROGRESS).is_file()


def write(trainer: Trainer, out: Path) -> None:
    """Write everything a resumed run needs aside, then rename it into place as one folder.

    Whatever moment the process is killed at, the pointer in ``progress.json`` names a complete checkpoint.

    Raises:
        DivergedError: weights are not finite; what was written before stays.
        OutputError: the disk is full, or the folder cannot be written to.
    """
    folder = out / f"step-{trainer.steps_done:08d}"
    if holds_run(out) and last_checkpoint(out) == folder and folder.is_dir():
        return  # the state of this very step; removing it to write it again could lose it
    _refuse_infinite(trainer)
    try:
        _write(trainer, folder, out)
    except (OSError, SafetensorError) as error:
        raise OutputError(f"{folder}: the checkpoint cannot be written ({error})") from error


def _refuse_infinite(trainer: Trainer) -> None:
    for network in (trainer.task.network, trainer.averaged):
        for name, tensor in network.state_dict().items():
            if not tensor.isfinite().all():
                raise DivergedError(f"step {trainer.steps_done}: {name} is not finite; the last checkpoint is kept")


def _write(trainer: Trainer, folder: Path, out: Path) -> None:
    task, config = trainer.task, trainer.config
    earlier = _progress(out) if holds_run(out) else None
    aside = out / ".writing"
    _remove(aside)
    aside.mkdir()
    state = {f"network.{name}": tensor for name, tensor in task.network.state_dict().items()}
    state |= _optimiser_state("optimiser", trainer.optimiser)
    if task.judge is not None and trainer.judge_optimiser is not None:
        state |= {f"judge.{name}": tensor for name, tensor in task.judge.state_dict().items()}
        state |= _optimiser_state("judge_optimiser", trainer.judge_optimiser)
    state |= {f"{_FIXED}{name}": tensor for name, tensor in task.fixed().items()}
    save_file({name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()}, aside / _STATE)
    meta = {"steps": trainer.steps_done, "precision": config.precision, **task.meta()}
    if trainer.pace.by_time:
        meta["seconds"] = trainer.pace.used_s()
    if trainer.start_from:
        meta["start_from"] = trainer.start_from
    save(aside / WEIGHTS, trainer.averaged.state_dict(), family=task.family, config=task.plain_config(), meta=meta)
    hashes = {file.name: _settled(file) for file in sorted(aside.iterdir())}
    _remove(folder)
    aside.rename(folder)
    now = Pointer(trainer.steps_done, folder.name, hashes)
    before = earlier.now if earlier is not None and earlier.now.checkpoint != folder.name else None
    # The pointer moves last: whatever it names is complete.
    _point(out, Progress(now, before))
    publish(out)
    for other in set(out.glob("step-*")) - {out / pointer.checkpoint for pointer in (now, before) if pointer}:
        _remove(other)


def _settled(file: Path) -> str:
    """Have a file on the disk, and return its hash."""
    with file.open("rb") as written:
        os.fsync(written.fileno())
    return sha256(file)


def _point(out: Path, progress: Progress) -> None:
    before = {} if progress.before is None else {"before": asdict(progress.before)}
    write_whole(out / _PROGRESS, json.dumps({**asdict(progress.now), **before}).encode())


def publish(out: Path) -> None:
    """Give the last checkpoint's weights their place at the top of the run's folder."""
    weights, link = last_checkpoint(out) / WEIGHTS, out / f".{WEIGHTS}"
    link.unlink(missing_ok=True)
    try:
        link.hardlink_to(weights)
    except OSError:  # not every file system has links
        shutil.copyfile(weights, link)
    link.replace(out / WEIGHTS)


def _remove(folder: Path) -> None:
    if folder.is_dir():
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()


def _optimiser_state(name: str, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    state = optimiser.state_dict()["state"]
    return {f"{name}.{i}.{key}": torch.as_tensor(value) for i, values in state.items() for key, value in values.items()}


@dataclass(frozen=True)
class Pointer:
    """Which checkpoint of a run is meant.

    Attributes:
        steps: done by then.
        checkpoint: name of its folder.
        hashes: SHA-256 of its files, in hex; empty in runs from before there were any.
    """

    steps: int
    checkpoint: str
    hashes: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Progress:
    """The last complete checkpoint of a run, and the one before it."""

    now: Pointer
    before: Pointer | None = None


def _progress(out: Path) -> Progress:
    try:
        values = loads((out / _PROGRESS).read_bytes())
        before = values.pop("before", None)
        return Progress(build(Pointer, values), None if before is None else build(Pointer, before))
    except (OSError, ValueError, TypeError, AttributeError, ConfigError) as error:
        raise DataError(f"{out}: its {_PROGRESS} cannot be read; the run cannot be resumed") from error


def last_checkpoint(out: Path) -> Path:
    """Folder of the last complete checkpoint of a run."""
    return out / Path(_progress(out).now.checkpoint).name


def go_back(out: Path, say: Callable[[str], None] = lambda line: None) -> None:
    """If a run's last checkpoint is damaged, have the run go on from the one before, and say so.

    Raises:
        DataError: the pointer to them cannot be read.
        WeightsError: both are damaged.
    """
    progress = _progress(out)
    damage = _damage(out, progress.now)
    if damage is None:
        return
    where = out / progress.now.checkpoint
    if progress.before is None or _damage(out, progress.before) is not None:
        raise WeightsError(f"{where}: the checkpoint is damaged ({damage}), and there is no other to go on from")
    _point(out, Progress(progress.before))
    say(f"{where} is damaged ({damage}): going on from {progress.before.checkpoint}, the one before")


def _damage(out: Path, pointer: Pointer) -> str | None:
    """What is wrong with a checkpoint; None when nothing is."""
    folder = out / Path(pointer.checkpoint).name
    try:
        load(folder / WEIGHTS, tensors=False)
        check_header(folder / _STATE)
        with safe_open(str(folder / _STATE), framework="pt"):
            pass
        wrong = [name for name, digest in pointer.hashes.items() if sha256(folder / Path(name).name) != digest]
    except FileNotFoundError:
        return f"{_STATE} is missing"
    except (OSError, WeightsError, SafetensorError) as error:
        return str(error).removeprefix(f"{folder}/")[:200]
    return f"{wrong[0]} is not what was written" if wrong else None


def load_state(out: Path) -> dict[str, Tensor]:
    """Read the last checkpoint's state.

    Raises:
        DataError: the pointer to it cannot be read.
        WeightsError: it is damaged.
    """
    try:
        return load_file(last_checkpoint(out) / _STATE)
    except DataError:
        raise
    except Exception as error:  # safetensors raises its own kinds
        raise WeightsError(f"{last_checkpoint(out)}: the checkpoint is damaged ({error})") from error


def _part(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name[len(prefix) :]: tensor for name, tensor in state.items() if name.startswith(prefix)}


def stored_by_task(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What the task had learned from the data before the first step; empty for a new run."""
    return _part(state, _FIXED)


def restore(trainer: Trainer, state: Mapping[str, Tensor], out: Path) -> None:
    """Put a trainer where the run in ``out`` was, from its state.

    Raises:
        ConfigError: the state is another network's, or was judged by another perceptual network.
        WeightsError: the checkpoint's weights are damaged.
    """
    task = trainer.task
    weights = last_checkpoint(out) / WEIGHTS
    averaged = load(weights)
    # Settings cannot tell: which network is taken when none is named depends on what this machine's cache holds.
    judged, judging = (meta.get("perceptual") for meta in (averaged.meta, task.meta()))
    if judged != judging:
        raise ConfigError(f"{out}: was started with the perceptual network '{judged}', and here is '{judging}'")
    try:
        task.network.load_state_dict(_part(state, "network."))
        _restore_optimiser(trainer.optimiser, _part(state, "optimiser."))
        if task.judge is not None and trainer.judge_optimiser is not None:
            task.judge.load_state_dict(_part(state, "judge."))
            _restore_optimiser(trainer.judge_optimiser, _part(state, "judge_optimiser."))
        load_into(trainer.averaged, averaged, weights)
    except (RuntimeError, WeightsError) as error:
        raise ConfigError(f"{out}: was started with another network; give the same settings to resume") from error
    trainer.steps_done = int(averaged.meta["steps"])
    trainer.pace.used_before_s = float(averaged.meta.get("seconds", 0.0))
    trainer.start_from = str(averaged.meta.get("start_from", ""))


def _restore_optimiser(optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    values = optimiser.state_dict()
    learned = [p for group in optimiser.param_groups for p in group["params"]]
    entries: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        number, _, key = name.partition(".")
        parameter = learned[int(number)]
        # The memory layout decides the order of sums and roundings; it must be the uninterrupted run's.
        alike = torch.empty_like(parameter).copy_(tensor) if tensor.shape == parameter.shape else tensor
        entries.setdefault(int(number), {})[key] = alike.detach()
    values["state"] = entries
    optimiser.load_state_dict(values)
