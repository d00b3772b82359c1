"""The sending side of motion: one packet a group, in either mode, with absolute points at most a second apart."""

from __future__ import annotations

from fractions import Fraction

from visavis.codec.bases import Ints
from visavis.codec.bitstream import MOST_PACKET_BYTES, Header, Mode, MotionGroup, PointsGroup
from visavis.codec.motion_coder import STEPS, Floats, MotionEncoder, to_pixels
from visavis.codec.points import pack_points
from visavis.codec.rate import StepControl
from visavis.codec.transform import POINTS, MotionTable
from visavis.core.errors import CodecError

#: Seconds between absolute groups at most.
REFRESH_S = 1
GROUP_NUMBERS = 256
#: Frames, coded and made up, that a group spans by default: 320 ms at 25 frames a second.
_SPAN = 8


def group_for(interpolated: int) -> int:
    """Coded frames in a group, so that coding waits for at most eight frames whatever is made up between them."""
    group = 1
    while 2 * group * (interpolated + 1) <= _SPAN:
        group *= 2
    return group


def group_seconds(header: Header) -> Fraction:
    """Time that a group spans."""
    return header.group * (header.interpolated + 1) / header.fps


def groups_a_refresh(header: Header) -> int:
    """Every so many groups one is absolute."""
    return max(1, int(REFRESH_S / group_seconds(header)))


class MotionSender:
    """Turns groups of frames into packets.

    Args:
        header: of the call.
        table: of the weights.
        motion_bits: a second, or None for the default step.

    Attributes:
        groups: sent or passed over so far.
    """

    def __init__(self, header: Header, table: MotionTable, motion_bits: float | None) -> None:
        self._header, self._table = header, table
        self._coder = MotionEncoder(table)
        self._steps = StepControl(motion_bits)
        self.groups = 0
        self._since_absolute = 0
        self._absolute_wanted = True

    def ask_absolute(self) -> None:
        """Make the next group absolute: a receiver has lost its place."""
        self._absolute_wanted = True

    def skip(self) -> None:
        """Let a group pass without a packet: there is nothing to send yet."""
        self.groups += 1
        self._absolute_wanted = True

    def code(self, vectors: Floats, pivot: int, reference: Ints) -> tuple[bytes, Floats]:
        """Code one group.

        Args:
            vectors: motion vectors ``[G, D]``, G as in the header.
            pivot: number of the pivot that they move.
            reference: its components in units.

        Returns:
            The packet, and what a receiver makes of it: components in pixels ``[G, R]``, or points ``[G, 2 K]``.

        Raises:
            CodecError: the group fits into no packet, however coarse.
        """
        number = self.groups % GROUP_NUMBERS
        self.groups += 1
        if self._header.mode is Mode.PAPER80:
            points = vectors[:, self._table.layout.where(POINTS)]
            return PointsGroup(number, pivot, pack_points(points)).to_bytes(), points
        return self._code_adaptive(number, self._table.analyse(vectors), pivot, reference)

    def _code_adaptive(self, number: int, frames: Floats, pivot: int, reference: Ints) -> tuple[bytes, Floats]:
        absolute = self._absolute_wanted or self._since_absolute + 1 >= groups_a_refresh(self._header)
        self._since_absolute = 0 if absolute else self._since_absolute + 1
        self._absolute_wanted = False
        step, before = self._steps.step, self._coder.state
        while True:
            payload, bias, units = self._coder.encode(frames, step, reference if absolute else None)
            packet = MotionGroup(number, pivot, absolute, step, bias, payload).to_bytes()
            if len(packet) <= MOST_PACKET_BYTES:
                break
            if step == len(STEPS) - 1:
                raise CodecError(f"{len(frames)} frames of motion do not fit into a packet; choose smaller groups")
            # Motion of many values that leaps is told more coarsely, for this once.
            step, self._coder.state = min(step + 4, len(STEPS) - 1), before
        self._steps.spent(8 * len(packet), float(group_seconds(self._header)))
        return packet, to_pixels(units)
