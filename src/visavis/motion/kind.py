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
#: A mesh ``float32 [478, 3]`` in [-1, 1] over the crop; several, that are known beforehand.
Mesh = NDArray[np.float32]
Meshes = Sequence[Mesh]
#: Turns a driving mesh into the source's motion, as a :data:`Carrier` does a motion: no picture is looked at.
MeshCarrier = Callable[[Mesh], Motion]


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

    def of_mesh(self, mesh: Mesh, beside: Motion | None = None) -> Motion:
        """What a mesh alone tells of a motion: of a face that no picture shows.

        Args:
            mesh: ``float32 [478, 3]`` in [-1, 1] over the crop, irises included.
            beside: motion of the picture in which the face has another mesh; of it comes what a mesh does not tell.
                Without one, two such motions differ as the meshes do.

        Raises:
            ConfigError: motion of this kind has no mesh.
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


def mesh_carrier(
    kind: MotionKind,
    source: Motion,
    start: Mesh,
    mode: Mode = Mode.RELATIVE,
    *,
    ahead: Meshes = (),
    amounts: Amounts = UNCHANGED,
) -> MeshCarrier:
    """Return what carries one driver's meshes over to one source, as :meth:`MotionKind.carrier` does motions.

    Args:
        kind: of the source's motion.
        source: motion of the source picture.
        start: driving mesh that shows the source's pose best.
        mode, ahead, amounts: as for :meth:`MotionKind.carrier`.

    Raises:
        ConfigError: motion of this kind has no mesh, or not the parts that the amounts name.
    """
    carry = kind.carrier(source, kind.of_mesh(start), mode, ahead=ahead, amounts=amounts)
    return lambda mesh: carry(kind.of_mesh(mesh))


def refuse_meshes(why: str) -> ConfigError:
    """The error of a kind that cannot be driven by meshes."""
    return ConfigError(f"this model cannot be driven by a face mesh: {why}")


def refuse_amounts(amounts: Amounts, why: str) -> None:
    """Raise :class:`ConfigError` if any amount differs from 1."""
    if amounts:
        raise ConfigError(f"--amount: {why}")


def refuse_edits(edits: Edits, why: str) -> None:
    """Raise :class:`ConfigError` if anything is to be edited."""
    if edits:
        raise ConfigError(f"--edit: {why}")
