"""What every kind of motion says of itself: how it is laid out, and how it goes from one person to another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from visavis.core.errors import ConfigError
from visavis.motion.amounts import UNCHANGED, Amounts, Edits
from visavis.motion.layout import Layout, Motion

#: Turns a driver's motion into the source's. It learns as it goes: frame by frame, in order.
Carrier = Callable[[Motion], Motion]
#: Driving meshes ``float32 [478, 3]`` that are known beforehand, in [-1, 1] over the crop.
Meshes = Sequence[NDArray[np.float32]]


class Mode(str, Enum):
    """How driving motion is carried over.

    ``relative`` adds the turn and shift of the head since a start frame to the source's own pose; ``absolute`` turns
    the head as the driver's is turned, and takes as much of the driver's shape as one person's shape varies.
    Either keeps the source's place and size, and opens and closes its mouth and eyes as the driver's.
    """

    RELATIVE = "relative"
    ABSOLUTE = "absolute"


class MotionKind(Protocol):
    """A kind of motion, as one generator has it."""

    @property
    def layout(self) -> Layout:
        """The parts of a frame's vector."""

    def carrier(
        self,
        source: Motion,
        start: Motion | None = None,
        mode: Mode = Mode.RELATIVE,
        *,
        ahead: Meshes = (),
        amounts: Amounts = UNCHANGED,
    ) -> Carrier:
        """Return what carries one driver's motion over to one source.

        Args:
            source: motion of the source picture.
            start: motion of the driving frame that shows the source's pose best; None takes the first that comes.
            mode: relative or absolute.
            ahead: driving meshes that are known beforehand; may be none.
            amounts: how much of the driver's movement counts.

        Raises:
            ConfigError: amounts of parts that this kind does not have.
        """

    def edited(self, motion: Motion, edits: Edits, source: Motion | None = None) -> Motion:
        """Change a motion by hand.

        Args:
            motion: of one frame.
            edits: what to change.
            source: motion of the source picture, within whose reach the head is kept; None changes it as far as told.

        Raises:
            ConfigError: edits of parts that this kind does not have.
        """

    def points(self, motion: Motion) -> NDArray[np.float32] | None:
        """Some points ``float32 [N, 2]`` in [-1, 1] over the crop that move with the picture, or None."""


def refuse_amounts(amounts: Amounts, why: str) -> None:
    """Raise :class:`ConfigError` if any amount differs from 1."""
    if amounts:
        raise ConfigError(f"--amount: {why}")


def refuse_edits(edits: Edits, why: str) -> None:
    """Raise :class:`ConfigError` if anything is to be edited."""
    if edits:
        raise ConfigError(f"--edit: {why}")
