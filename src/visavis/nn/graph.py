"""What another engine than torch may compute: methods of a network that are functions of tensors and of nothing else.

A family names such methods; it does not know who computes them. Arguments and results are tensors, None, and tuples and
dataclasses of these; the shapes of a method's tensors hardly ever change, so that it can be compiled for them.
"""

from __future__ import annotations

import types
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray

from visavis.core.errors import ConfigError
from visavis.nn.arrays import Tensor, mapped
from visavis.nn.engine import Engine

if TYPE_CHECKING:
    from torch import nn

    from visavis.nn.torch_runner import TorchRunner

#: How a value is built of tensors: one, None, or a sequence with the class that it is an instance of.
Structure = Any
_TENSOR = "tensor"


class Step(Enum):
    """What a generator does: see a frame's motion, prepare a person, make a picture."""

    ANALYSE = "analyse"
    PREPARE = "prepare"
    RENDER = "render"


@dataclass(frozen=True)
class Graph:
    """A method of a network that can be compiled.

    Attributes:
        name: of the method.
        gives: class of its result, which is a tensor where none is said.
        exact: stays in float32 at any precision, since it says where things are.
        lent: its result is used before it is called again by the same thread, so that an engine need not copy it.
        steps: in which it is called.
        brief: takes so little of a frame's time that one reading of it, with memory of its own, serves two frames
            that are rendered at the same time.
    """

    name: str
    gives: type[Any] | None = None
    exact: bool = False
    lent: bool = False
    steps: frozenset[Step] = frozenset(Step)
    brief: bool = False


class CompileGraphs(Protocol):
    """Has an engine compute graphs of a network; :func:`visavis.runtime.compiled.compile_graphs` does."""

    def __call__(self, network: nn.Module, graphs: Iterable[Graph], engine: Engine) -> None:
        """From here on, for a network whose weights do not change any more."""


class Runner(Protocol):
    """Computes the graphs of one network by their names: torch by the network itself, or an engine without torch.

    Arguments are built of NumPy arrays and of what it gave before. What it gives is built of arrays of its own, on its
    own device: :func:`visavis.nn.arrays.on_host` has their numbers.
    """

    def __call__(self, name: str, *arguments: object) -> Any:
        """The result of a graph."""

    def weight(self, name: str) -> NDArray[np.float32]:
        """The numbers of one tensor of the weights."""

    def expect(self, names: Iterable[str]) -> None:
        """Begin to make graphs ready in a thread, where that takes time: they will be called soon."""

    def let_go(self, names: Iterable[str]) -> None:
        """Free what graphs hold that are not expected to be called soon; they come back when they are."""

    def computing(self, *, reduced: bool) -> AbstractContextManager[object]:
        """What has to hold while it computes; in reduced precision only where that is allowed."""


def by_torch(runner: Runner, family: str) -> TorchRunner[Any]:
    """A runner that has a network of that family.

    Raises:
        ConfigError: it computes graphs without one.
    """
    if not hasattr(runner, "network"):
        raise ConfigError(f"{family}'s graphs are computed without their network: load it with --engine torch")
    return runner  # type: ignore[return-value]


def flattened(value: object) -> list[Any]:
    """All arrays in a value, in order."""
    found: list[Any] = []
    mapped(value, found.append)
    return found


def structure_of(value: object) -> Structure:
    """How a value is built: ``"tensor"``, None, or a list; it goes into JSON and back."""
    if value is None:
        return None
    parts = _parts(value)
    return _TENSOR if parts is None else [structure_of(part) for part in parts]


def rebuilt(like: object, tensors: Iterator[Any]) -> Any:
    """A value that is built as another one is, of other arrays."""
    return mapped(like, lambda _: next(tensors))


def built(hint: Any, structure: Structure, tensors: Iterator[Any]) -> Any:
    """A value of an annotated type, of what :func:`structure_of` said of another one.

    Raises:
        ValueError: the structure is not one of that type, as of a damaged file.
    """
    if structure is None:
        return None
    if structure == _TENSOR:
        return next(tensors)
    if get_origin(hint) is types.UnionType:
        hint = next(choice for choice in get_args(hint) if choice is not types.NoneType)
    if not is_dataclass(hint):
        return tuple(built(Tensor, part, tensors) for part in structure)
    hints = _hints(hint)  # type: ignore[arg-type]
    named = zip(fields(hint), structure, strict=True)
    return hint(**{field.name: built(hints[field.name], part, tensors) for field, part in named})  # type: ignore[operator]


@cache
def _hints(of: Any) -> dict[str, Any]:
    return get_type_hints(of)


def _parts(value: object) -> Sequence[object] | None:
    """What a value is built of; None of an array, which is not."""
    if isinstance(value, (tuple, list)):
        return value
    if is_dataclass(value):
        return [getattr(value, field.name) for field in fields(value)]
    if not hasattr(value, "shape"):
        raise TypeError(f"a graph takes tensors, None, tuples and dataclasses of them, not {type(value).__name__}")
    return None
