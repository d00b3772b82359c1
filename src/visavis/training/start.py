"""Where a run begins when not with new weights: with those of an earlier run, which must be of its family and shape."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from visavis.core.config import build
from visavis.core.errors import ConfigError, WeightsError
from visavis.training.config import TrainConfig
from visavis.training.task import Task
from visavis.training.tasks.registry import task_class
from visavis.weights.checkpoint import Checkpoint, load, load_into, sha256
from visavis.weights.store import resolve

_MOST_NAMED = 3
_MARK_DIGITS = 12


@dataclass(frozen=True)
class Start:
    """Weights that a run begins with.

    Attributes:
        name: as the settings name them, a name or a path.
        path: of their file.
        sha256: of that file, in hex.
        fixed: what the task does not learn from its data, since the weights were trained with it.
        own: names of tensors that a new network keeps, since they belong to its data.
        weights: without what belongs to the data that they were trained on.
        partly: whether the network may have other tensors, which it then keeps.
    """

    name: str
    path: Path
    sha256: str
    fixed: Mapping[str, Tensor]
    own: Collection[str]
    weights: Checkpoint
    partly: bool = False

    def load_into(self, network: nn.Module) -> None:
        """Copy the weights into a new network, which keeps of its own what belongs to its data.

        Raises:
            WeightsError: a tensor is missing, unknown, or of another shape.
        """
        now, theirs = network.state_dict(), self.weights.tensors
        own = {name: tensor for name, tensor in now.items() if name in self.own}
        if self.partly:
            theirs = {
                name: tensor for name, tensor in theirs.items() if name in now and now[name].shape == tensor.shape
            }
            own = {name: tensor for name, tensor in now.items() if name in self.own or name not in theirs}
        load_into(network, replace(self.weights, tensors={**theirs, **own}), self.path)

    def description(self) -> dict[str, str]:
        """For the run's record."""
        return {"name": self.name, "sha256": self.sha256}

    def mark(self) -> str:
        """For the header of the run's weights; of a path it tells the file alone."""
        return f"{Path(self.name).name} ({self.sha256[:_MARK_DIGITS]})"


def find_start(config: TrainConfig) -> Start | None:
    """Read the weights that the settings name; None where a run begins with new ones.

    Raises:
        ConfigError: they are of another family or shape than the run's.
        WeightsError: there are none of that name, or they are damaged.
    """
    if not config.start_from:
        return None
    path, task = resolve(config.start_from), task_class(config.task)
    weights = load(path)
    if weights.family != task.family:
        raise ConfigError(
            f"start_from '{config.start_from}': is of family '{weights.family}', and the run's task '{config.task}' "
            f"trains family '{task.family}'"
        )
    if not config.start_partly:
        _check_shape(config, task, weights, path)
    tensors = {name: tensor for name, tensor in weights.tensors.items() if name not in task.of_data}
    return Start(
        config.start_from,
        path,
        sha256(path),
        fixed=task.fixed_in(config.model, tensors),
        own=task.of_data,
        weights=replace(weights, tensors=tensors),
        partly=config.start_partly,
    )


def _check_shape(config: TrainConfig, task: type[Task], weights: Checkpoint, path: Path) -> None:
    try:
        theirs: dict[str, Any] = asdict(build(task.model_class, weights.config))
    except ConfigError as error:
        raise WeightsError(f"{path}: its config describes no network of family '{task.family}' ({error})") from error
    ours = asdict(config.model)
    differing = [name for name in ours if ours[name] != theirs[name] and name not in task.of_data]
    if differing:
        named = differing[:_MOST_NAMED]
        more = f", and {len(differing) - len(named)} more differ" if len(differing) > len(named) else ""
        raise ConfigError(
            f"start_from '{config.start_from}': its network has {_listed(theirs, named)}, and [model] says "
            f"{_listed(ours, named)}{more}"
        )


def _listed(shape: Mapping[str, Any], names: list[str]) -> str:
    return ", ".join(f"{name} = {shape[name]}" for name in names)
