"""The contract that every generator keeps, and what a family says of itself.

A generator never learns where its motion came from: a camera, a voice or a network.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from visavis.audio.feature import SoundFeature
from visavis.core.registry import generator_class
from visavis.face.types import Observation
from visavis.media.frame import Pixels
from visavis.motion.kind import MotionKind
from visavis.motion.layout import Motion
from visavis.nn.cost import Cost
from visavis.nn.engine import Engine
from visavis.nn.graph import CompileGraphs, Graph, Runner, Step

if TYPE_CHECKING:
    from torch import nn


class Prior(str, Enum):
    """What an observation may carry beside its picture."""

    MESH = "mesh"
    SEGMENTATION = "segmentation"


class References(NamedTuple):
    """How many pictures of a person a generator is shown.

    Attributes:
        least: fewer are made up by repeating the first.
        most: more are not looked at.
    """

    least: int
    most: int


class Person(Protocol):
    """All that depends on a person's references alone, ready to be moved."""

    def render(self, motions: Sequence[Motion], sound: NDArray[np.float32] | None) -> Pixels:
        """Return a picture ``uint8 [S, S, 3]``.

        Args:
            motions: the last ``memory`` + 1, oldest first, already transferred to this person;
                :class:`visavis.motion.history.History` keeps them.
            sound: what the generator ``hears`` of the frame, or None for silence.
        """


class Generator(Protocol):
    """Turns a person and motions into pictures."""

    @property
    def family(self) -> str:
        """Name of the family, as in the checkpoint's header."""

    @property
    def size(self) -> int:
        """Side of the square pictures that go in and come out."""

    @property
    def kind(self) -> MotionKind:
        """What sort of motion it takes: layout, transfer between people, edits by hand."""

    @property
    def needs(self) -> frozenset[Prior]:
        """Priors that an observation must carry for :meth:`prepare`, and for :meth:`analyse` of it."""

    @property
    def needs_of_driver(self) -> frozenset[Prior]:
        """Those of them that :meth:`analyse` looks at: all that is computed of a driving frame."""

    @property
    def hears(self) -> SoundFeature | None:
        """What it takes of the sound around a frame; None if it is deaf."""

    @property
    def references(self) -> References:
        """How many pictures of the person it is shown."""

    @property
    def memory(self) -> int:
        """How many past motions it renders with; 0 renders frames in any order."""

    @property
    def engine(self) -> Engine:
        """Where and how it computes."""

    def analyse(self, observation: Observation) -> Motion:
        """Return the motion of one observation."""

    def prepare(self, references: Sequence[Observation]) -> Person:
        """Compute once whatever depends on the person alone.

        Args:
            references: ``least`` to ``most`` pictures of the person; the first is the source, whose motion counts.

        Raises:
            ValueError: fewer or more of them.
        """

    def expect(self, steps: Collection[Step]) -> None:
        """Begin to make ready, in a thread, what steps need that come soon; they wait for it then."""

    def keep_for(self, steps: Collection[Step]) -> None:
        """Free memory that other steps alone need; they work on, and take it again, in some tenths of a second."""

    def cost(self) -> Cost:
        """Parameters and multiply-accumulates by part, per source and per frame."""

    def fold(self, compile_graphs: CompileGraphs | None = None) -> None:
        """Make rendering fast; from here on the network is neither trained nor saved.

        Args:
            compile_graphs: has the engine compute what can be compiled; without it torch computes all.
        """


class Family(Protocol):
    """What a generator's class says of its family, before there is a generator."""

    @property
    def named(self) -> Mapping[str, Mapping[str, object]]:
        """Plain configs that can be asked for by name, without weights."""

    @property
    def moved_by(self) -> Sequence[str]:
        """Parts of its network that make motion of pictures; weights that share them make the same."""

    @property
    def graphs(self) -> Sequence[Graph]:
        """Methods of its network that another engine than torch may compute."""

    def new_network(self, config: Mapping[str, object]) -> nn.Module:
        """The network that a checkpoint's plain config describes, with new weights."""

    def from_checkpoint(self, config: Mapping[str, object], network: nn.Module | None, engine: Engine) -> Generator:
        """A generator of a checkpoint's plain config, around its network or a new one."""

    def of_graphs(self, config: Mapping[str, object], runner: Runner, engine: Engine) -> Generator:
        """A generator of a checkpoint's plain config whose graphs are computed without its network."""

    def cost_of(self, config: Mapping[str, object]) -> Cost:
        """What the network of a plain config costs; nothing is computed, and hardly any memory taken."""


def family_of(name: str) -> Family:
    """The family of a name.

    Raises:
        WeightsError: it is unknown.
    """
    return cast(Family, generator_class(name))
