"""Models with something taken away from them as they run: ``NAME:deaf``, ``NAME:memoryless``."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from visavis.audio.feature import SoundFeature
from visavis.core.errors import ConfigError
from visavis.face.types import Observation
from visavis.generators.base import Generator, Person, Prior, References
from visavis.media.frame import Pixels
from visavis.motion.kind import MotionKind
from visavis.motion.layout import Motion
from visavis.nn.cost import Cost
from visavis.nn.engine import Engine
from visavis.nn.graph import CompileGraphs, Step

DEAF, MEMORYLESS = "deaf", "memoryless"
WAYS = (DEAF, MEMORYLESS)


def parts_of(name: str) -> tuple[str, tuple[str, ...]]:
    """Split ``NAME:deaf:memoryless`` into the weights' name and what they do without; a file so named goes first."""
    ways: tuple[str, ...] = ()
    while not os.path.isfile(name):
        weights, _, way = name.rpartition(":")
        if not weights or way not in WAYS:
            break
        name, ways = weights, (way, *ways)
    return name, ways


class Ablated:
    """A generator that hears nothing, or sees the present motion in place of past ones. It is not trained for either.

    Args:
        generator: the whole one.
        ways: some of ``WAYS``.

    Raises:
        ConfigError: it lacks what is to be taken away.
    """

    def __init__(self, generator: Generator, ways: Sequence[str]) -> None:
        if DEAF in ways and generator.hears is None:
            raise ConfigError(f"--model: a {generator.family} network without sound cannot be made {DEAF}")
        if MEMORYLESS in ways and not generator.memory:
            raise ConfigError(f"--model: a {generator.family} network without memory cannot be made {MEMORYLESS}")
        self._generator, self._ways = generator, frozenset(ways)

    @property
    def family(self) -> str:
        """As of the whole one."""
        return self._generator.family

    @property
    def size(self) -> int:
        """As of the whole one."""
        return self._generator.size

    @property
    def kind(self) -> MotionKind:
        """As of the whole one."""
        return self._generator.kind

    @property
    def needs(self) -> frozenset[Prior]:
        """As of the whole one."""
        return self._generator.needs

    @property
    def needs_of_driver(self) -> frozenset[Prior]:
        """As of the whole one."""
        return self._generator.needs_of_driver

    @property
    def hears(self) -> SoundFeature | None:
        """None when deaf."""
        return None if DEAF in self._ways else self._generator.hears

    @property
    def references(self) -> References:
        """As of the whole one."""
        return self._generator.references

    @property
    def memory(self) -> int:
        """None when memoryless."""
        return 0 if MEMORYLESS in self._ways else self._generator.memory

    @property
    def engine(self) -> Engine:
        """As of the whole one."""
        return self._generator.engine

    def analyse(self, observation: Observation) -> Motion:
        """As of the whole one."""
        return self._generator.analyse(observation)

    def prepare(self, references: Sequence[Observation]) -> Person:
        """As of the whole one."""
        person = self._generator.prepare(references)
        return _Still(person, self._generator.memory) if MEMORYLESS in self._ways else person

    def expect(self, steps: Collection[Step]) -> None:
        """As of the whole one."""
        self._generator.expect(steps)

    def keep_for(self, steps: Collection[Step]) -> None:
        """As of the whole one."""
        self._generator.keep_for(steps)

    def cost(self) -> Cost:
        """As of the whole one."""
        return self._generator.cost()

    def fold(self, compile_graphs: CompileGraphs | None = None) -> None:
        """As of the whole one."""
        self._generator.fold(compile_graphs)


class _Still:
    """A person whose past is the present."""

    def __init__(self, person: Person, memory: int) -> None:
        self._person, self._memory = person, memory

    def render(self, motions: Sequence[Motion], sound: NDArray[np.float32] | None) -> Pixels:
        return self._person.render([motions[-1]] * (self._memory + 1), sound)
