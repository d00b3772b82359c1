"""What a run was started with, so that it can be repeated, and resumed with nothing else."""

from __future__ import annotations

import json
import platform
import subprocess
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from visavis.core.aside import write_whole
from visavis.core.errors import ConfigError, DataError, OutputError
from visavis.core.strict_json import loads
from visavis.training.config import TrainConfig
from visavis.training.machine import Machine
from visavis.training.start import Start
from visavis.training.tasks.registry import task_class

_FILE = "run.json"
_LIBRARIES = ("visavis", "torch", "numpy", "opencv-python", "opencv-contrib-python", "safetensors", "lightning-fabric")
# What may change when a run goes on; accumulated batches and processes count together, as batches a step.
_FREE = (
    *("log_every", "threads", "checkpoint_every_s", "stop_after_s", "steps", "run_s", "compile", "accumulate"),
    *("search_kernels", "validate_every_s", "validate_frames"),
)


def git_state() -> dict[str, Any] | None:
    """Commit of the checkout that this package runs from and whether it was changed; None outside a checkout."""
    here = Path(__file__).parent

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(here), *arguments], capture_output=True, text=True, check=True, timeout=20
        )
        return done.stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.SubprocessError):
        return None


def library_versions() -> dict[str, str]:
    """Versions of Python and of what a run depends on; what is not installed is left out."""
    found = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def describe_run(config: TrainConfig, machine: Machine, data: Path, start: Start | None) -> dict[str, Any]:
    """Settings, data, weights that it begins with, place, code and libraries of a run, as plain values."""
    return {
        "config": asdict(config),
        "data": str(data),
        "start_from": start.description() if start is not None else None,
        "device": str(machine.device),
        "batches_a_step": config.accumulate * machine.world,
        "git": git_state(),
        "versions": library_versions(),
    }


def record(out: Path, about: dict[str, Any]) -> None:
    """Write a run's description into its folder."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_whole(out / _FILE, (json.dumps(about, indent=2) + "\n").encode())
    except OSError as error:
        raise OutputError(f"{out}: cannot be made a folder ({error.strerror})") from error


def check_same(out: Path, about: dict[str, Any]) -> None:
    """Refuse to go on with settings that would lead elsewhere than the run's own.

    Raises:
        ConfigError: a setting differs that decides the weights.
        DataError: the run's description is damaged.
    """
    try:
        before = loads((out / _FILE).read_bytes())
        # A setting that came after the run began had its default, whatever is asked for now.
        old = {**asdict(TrainConfig()), **before["config"], "batches_a_step": before["batches_a_step"]}
        old["losses"] = {**asdict(task_class(str(old["task"])).losses_class()), **(old["losses"] or {})}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{out / _FILE}: cannot be read; the run cannot be resumed") from error
    now = json.loads(json.dumps({**about["config"], "batches_a_step": about["batches_a_step"]}))
    for name, value in now.items():
        if name not in _FREE and old.get(name, value) != value:
            raise ConfigError(
                f"{out}: was started with {name} = {_short(old[name], value)}; give the same settings to resume"
            )


def _short(old: Any, now: Any) -> str:
    """The old value; of a table, only the entries that differ."""
    if not (isinstance(old, dict) and isinstance(now, dict)):
        return str(old)
    return ", ".join(f"{key}: {old.get(key)}" for key in {**now, **old} if old.get(key) != now.get(key))
