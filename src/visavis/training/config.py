"""Settings of a training run, read from TOML."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from visavis.core.config import build, check_ranges, load_toml, override
from visavis.core.errors import ConfigError
from visavis.training.panel import JudgeConfig
from visavis.training.task import Task
from visavis.training.tasks.registry import task_class

_TABLES = ("model", "losses", "data", "judges")
_BESIDE = re.compile(r"[^/\\\0]+")
#: The most is what counts are for: beyond it they are a slip of the finger, or would fill the memory.
_RANGES = {
    "steps": (1, 1 << 40),
    "batch": (1, 1 << 16),
    "accumulate": (1, 1 << 16),
    "threads": (1, 1 << 10),
    "ema": (0, 1),
    "far_share": (0, 1),
    "jitter": (0, 1),
    "seed": (0, (1 << 63) - 1),
    "pool": (0, 1 << 24),
    "drivings": (1, 1 << 16),
}


@dataclass(frozen=True)
class TrainConfig:
    """One run.

    Attributes:
        model: shape of the network, a dataclass of the task's own; None only until :func:`from_values` has built it.
        losses: weight of each loss, likewise.
        data: how samples are drawn, likewise; None for a task without such a table.
        judges: discriminators by name; None for a task that has none, or has them from `losses`.
        task: what is learned, a name of :mod:`visavis.training.tasks.registry`.
        steps: optimiser steps in all; `epochs` of the paper are this run's steps divided into 100 parts.
        batch: samples of one process at a time.
        accumulate: how many such batches make a step.
        learning_rate: at the start.
        schedule: `paper` drops tenfold at 60 and 90 of 100 parts; `cosine` falls to zero with a warm-up.
        warm_up: steps of the cosine's warm-up.
        schedule_by: `steps`, or `time`: then the schedule, and the losses that join later, go by the share of the time
            that is done, and the run is at its end when the time is.
        run_s: seconds of steps of the whole run by time, over all its leases; 0 for what was used before and what is
            left until `stop_after_s`.
        compile: let torch.compile fuse the parts of the network; pays on a GPU and in long runs.
        ema: decay of the averaged weights, which are the ones that are saved for use.
        precision: `fp32` or `bf16` (autocast; keypoints stay in fp32).
        split: which split of the shards to learn from.
        stride: every how many frames one is kept in memory.
        seed: of everything random.
        checkpoint_every_s: seconds between checkpoints.
        log_every: steps between log lines.
        threads: that make batches ahead; one keeps about 60 samples a second coming.
        memory: where decoded clips live: `host`, where threads make batches; `device`, where batches are gathered by
            the GPU itself; `auto` takes the device if it is a GPU with room enough.
        search_kernels: let cuDNN search for the fastest kernels first; takes half a minute, pays in long runs.
        validate_every_s: seconds between measurements on the validation clips; 0 for none.
        validate_frames: how many frames are measured each time.
        stop_after_s: stop with a checkpoint after so many seconds, reading the data included; 0 for never.
        region_weight: how much more the mouth and the eyes count.
        far_share: how often the source is the one of several candidates that differs most from the driving frame.
        jitter: strength of the colour transforms.
        mirrored: how often a pair is seen in a mirror, its meshes fitted anew.
        perceptual: network of the perceptual loss: `lpips`, `vgg19`, `face-128`, `efficientnet-lite0`, a file of
            weights of one of these, or `none`; empty for the first of the first three that is at hand.
        start_from: name or path of the weights that the network begins with, of the same family and shape; empty for
            new weights.
        start_partly: the shape may be another one: what `start_from` has of the same name and shape is taken, and the
            rest is new.
        frozen: parts of the network that stay as they begin.
        pool: how many different pairs of frames there are in all; 0 for new ones for ever. What frozen parts make of a
            pair is kept in memory, so that a pair that comes again costs the other parts alone.
        drivings: how many pairs of the pool share a source.
        teacher: name or path of weights of the same family whose results are targets too (`losses.teacher`,
            `losses.teacher_grid`); empty for none. Needs a `pool`, since what it makes of a pair is kept.
    """

    model: Any = None
    losses: Any = None
    data: Any = None
    judges: Any = None
    task: str = "avfr"
    steps: int = 20_000
    batch: int = 8
    accumulate: int = 1
    learning_rate: float = 1e-3
    schedule: Literal["paper", "cosine"] = "paper"
    warm_up: int = 100
    schedule_by: Literal["steps", "time"] = "steps"
    run_s: float = 0.0
    ema: float = 0.999
    compile: bool = False
    precision: Literal["fp32", "bf16"] = "fp32"
    split: str = "train"
    stride: int = 5
    seed: int = 0
    checkpoint_every_s: float = 300.0
    log_every: int = 20
    threads: int = 2
    memory: Literal["host", "device", "auto"] = "host"
    search_kernels: bool = False
    validate_every_s: float = 0.0
    validate_frames: int = 300
    stop_after_s: float = 0.0
    region_weight: float = 2.0
    far_share: float = 0.5
    jitter: float = 0.1
    mirrored: float = 0.0
    perceptual: str = ""
    start_from: str = ""
    start_partly: bool = False
    frozen: tuple[str, ...] = ()
    pool: int = 0
    drivings: int = 8
    teacher: str = ""

    def __post_init__(self) -> None:
        """Refuse counts that no run can have."""
        for name in ("steps", "batch", "accumulate", "stride", "log_every", "threads", "warm_up", "validate_frames"):
            if getattr(self, name) < 1:
                raise ConfigError(f"'{name}' must be at least 1, not {getattr(self, name)}")
        for name in ("checkpoint_every_s", "stop_after_s", "region_weight", "jitter", "seed"):
            if getattr(self, name) < 0:
                raise ConfigError(f"'{name}' must not be negative, not {getattr(self, name)}")
        if not 0 < self.learning_rate <= 1:
            raise ConfigError(f"'learning_rate' must be above 0 and at most 1, not {self.learning_rate}")
        check_ranges(self, _RANGES)
        if self.teacher and not self.pool:
            raise ConfigError("'teacher' needs a 'pool' of pairs: what it makes of each is kept")


def read_config(path: Path, settings: Sequence[str] = ()) -> TrainConfig:
    """Read a run's settings from TOML, with ``key=value`` settings in place of the file's.

    Raises:
        ConfigError: no such file, an unknown task, preset or key, or a wrong value.
    """
    return from_values(override(_with_base(path), settings))


def _with_base(path: Path) -> dict[str, Any]:
    """Read a file, on top of the one beside it that its ``extends`` names; tables are merged key by key."""
    values = load_toml(path)
    base = values.pop("extends", None)
    if base is None:
        return values
    if not isinstance(base, str) or base == path.name:
        raise ConfigError(f"{path}: 'extends' must name another file beside it, not {base!r}")
    if not _BESIDE.fullmatch(base):
        raise ConfigError(f"{path}: 'extends' must name another file beside it, not {base!r}")
    merged = load_toml(path.parent / base)
    if "extends" in merged:
        raise ConfigError(f"{path.parent / base}: is extended by {path.name} and may not extend another itself")
    for key, value in values.items():
        table = merged.get(key)
        merged[key] = {**table, **value} if isinstance(value, dict) and isinstance(table, dict) else value
    return merged


def from_values(values: Mapping[str, Any]) -> TrainConfig:
    """Build settings from plain values; their tables are built by the task that is named."""
    task = task_class(str(values.get("task", "avfr")))
    plain = {key: value for key, value in values.items() if key not in _TABLES}
    config = build(TrainConfig, plain)
    if config.pool and not task.pools:
        raise ConfigError(f"'pool': task '{config.task}' draws new samples for ever")
    losses: Any = build(task.losses_class, _table(values, "losses"), "losses.")
    for name, value in asdict(losses).items():
        if isinstance(value, (int, float)) and value < 0:
            raise ConfigError(f"'losses.{name}' must not be negative, not {value}")
    return replace(
        config, model=_model(task, values), losses=losses, data=_data(task, values), judges=_judges(task, values)
    )


def _data(task: type[Task], values: Mapping[str, Any]) -> Any:
    """``[data]`` of a task that has one."""
    if task.data_class is None:
        if values.get("data") is not None:
            raise ConfigError(f"unknown setting 'data': task '{values.get('task', 'avfr')}' has no such table")
        return None
    return build(task.data_class, _table(values, "data"), "data.")


def _judges(task: type[Task], values: Mapping[str, Any]) -> dict[str, JudgeConfig] | None:
    """``[judges.NAME]``: changes of the task's own judge of that name, or a new one; the task's own without a table."""
    if task.judges is None:
        if values.get("judges") is not None:
            raise ConfigError(f"unknown setting 'judges': task '{values.get('task', 'avfr')}' has no such tables")
        return None
    if "judges" not in values:
        return dict(task.judges)
    table = _table(values, "judges")
    return {name: _judge(task.judges.get(name, JudgeConfig()), name, table) for name in table}


def _judge(usual: JudgeConfig, name: str, table: Mapping[str, Any]) -> JudgeConfig:
    return build(JudgeConfig, {**asdict(usual), **_table(table, name)}, f"judges.{name}.")


def _model(task: Any, values: Mapping[str, Any]) -> Any:
    """The network's shape: a preset with changes, a table that says all that is not default, or the first preset."""
    if "model" not in values:
        return next(iter(task.presets.values()))()
    table = dict(_table(values, "model"))
    preset = table.pop("preset", None)
    if preset is None:
        return build(task.model_class, table, "model.")
    if preset not in task.presets:
        raise ConfigError(f"unknown preset '{preset}' of model; known are: {', '.join(task.presets)}")
    return build(task.model_class, {**asdict(task.presets[preset]()), **table}, "model.")


def _table(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table = values.get(name, {})
    if not isinstance(table, Mapping):
        raise ConfigError(f"'{name}' must be a table of settings")
    return table
