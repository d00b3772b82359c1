"""The receiving side of motion: groups put in order, what is missing bridged, and counted.

A group that does not come in its turn is waited for until another two have come; then it is concealed: by a straight
line to the next group where that is absolute, or else by holding the last motion. Only whole numbers and counts decide,
no clock, so that what a file and a network give is the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from visavis.codec.bases import Ints
from visavis.codec.bitstream import Header, MotionGroup, PointsGroup
from visavis.codec.motion_coder import Floats, MotionDecoder, to_pixels
from visavis.codec.points import unpack_points
from visavis.codec.sender import GROUP_NUMBERS
from visavis.codec.transform import MotionTable, count_points
from visavis.core.errors import CodecError

Group = MotionGroup | PointsGroup

#: Groups that may come before one that is late.
PATIENCE = 1
#: A hole of more groups, or of more pictures, is not filled with frames: the last picture stands.
_MOST_CONCEALED = 8
_MOST_PICTURES = 64
#: A call whose first groups were lost begins at its beginning; one joined later begins where it is joined.
_JOINED = 4
_MOST_WAITING = 16


@dataclass(frozen=True)
class Run:
    """Motion of one group.

    Attributes:
        number: of the group from the call's start.
        pivot: number of the pivot it moves; None where it was lost.
        values: components in pixels ``[G, R]``, or points ``[G, 2 K]`` in the 80-byte mode; None as long as nothing
            is known.
        concealed: whether it was made up.
    """

    number: int
    pivot: int | None
    values: Floats | None
    concealed: bool


class MotionReceiver:
    """Follows the motion of a call.

    Args:
        header: of the call.
        table: of the weights.
        reference: gives a pivot's components in units, or None for one that is not held.

    Attributes:
        lost: groups that never came, or came without a pivot that they need.
        late: groups that came after they were given up, or twice.
        damaged: groups that could not be read.
    """

    def __init__(self, header: Header, table: MotionTable, reference: Callable[[int], Ints | None]) -> None:
        self._header, self._reference = header, reference
        self._points = count_points(table.layout)
        self._decoder = MotionDecoder(table)
        self._last: Floats | None = None
        self._waiting: dict[int, Group] = {}
        self._next: int | None = None
        pictures = header.group * (header.interpolated + 1)
        self._most_concealed = min(_MOST_CONCEALED, max(_MOST_PICTURES // pictures, 1))
        self.lost = self.late = self.damaged = 0

    def push(self, group: Group, around: int = 0) -> list[Run]:
        """Take a group; return those whose turn has come.

        Args:
            group: the packet.
            around: about which group of the call this is, where the sound tells; matters only when joining late.
        """
        number = self._number(group.group, around)
        if self._next is None or number < self._next or number in self._waiting:
            self.late += 1
            return []
        self._waiting[number] = group
        if len(self._waiting) > _MOST_WAITING:
            del self._waiting[max(self._waiting)]
        return self._release(PATIENCE)

    def retry(self) -> list[Run]:
        """Return groups whose pivot has come."""
        return self._release(PATIENCE)

    def finish(self) -> list[Run]:
        """Return all that still wait, whatever is missing between them."""
        return self._release(-1)

    def _number(self, modulo: int, around: int) -> int:
        if self._next is None:
            number = around + (modulo - around + GROUP_NUMBERS // 2) % GROUP_NUMBERS - GROUP_NUMBERS // 2
            number = number if number >= 0 else modulo
            self._next = 0 if number < _JOINED else number
        half = GROUP_NUMBERS // 2
        return self._next + (modulo - self._next + half) % GROUP_NUMBERS - half

    def _release(self, patience: int) -> list[Run]:
        runs: list[Run] = []
        while self._waiting and self._next is not None:
            near = [number for number in self._waiting if number - self._next <= self._most_concealed]
            if self._is_ready(self._next) or (near and max(near) - self._next > patience):
                runs.append(self._take(near))
            elif not near and (len(self._waiting) > PATIENCE or patience < 0):
                # Two groups far ahead are a call that goes on after a break; one alone may be an error.
                self.lost += min(self._waiting) - self._next
                self._next = min(self._waiting)
            else:
                break
        return runs

    def _is_ready(self, number: int) -> bool:
        group = self._waiting.get(number)
        return group is not None and self._reference(group.pivot) is not None

    def _take(self, near: list[int]) -> Run:
        assert self._next is not None
        number = self._next
        self._next += 1
        group = self._waiting.pop(number, None)
        values = None if group is None else self._decode(group)
        if values is None:
            self.lost += 1
            values, concealed = self._bridge(number, [n for n in near if n > number]), True
        else:
            concealed = False
        self._last = None if values is None else values[-1]
        return Run(number, None if group is None else group.pivot, values, concealed)

    def _decode(self, group: Group) -> Floats | None:
        """Motion of a group, or None if it cannot be had."""
        try:
            if isinstance(group, PointsGroup):
                return unpack_points(group.payload, self._header.group, self._points)
            reference = self._reference(group.pivot)
            if reference is None and (group.absolute or self._last is None):
                return None
            if self._last is None and reference is not None:
                self._decoder.state = reference  # the best guess as long as nothing else is known
            start = reference if group.absolute else None
            return to_pixels(self._decoder.decode(group.payload, self._header.group, group.step, group.bias, start))
        except CodecError:
            self.damaged += 1
            return None

    def _bridge(self, number: int, later: list[int]) -> Floats | None:
        """A group in place of a lost one."""
        if self._last is None:
            return None
        count = self._header.group
        held = np.repeat(self._last[None], count, 0)
        goal = self._goal(min(later)) if later else None
        if goal is None:
            return held
        steps = np.arange(1, count + 1, dtype=np.float32) / (count * (min(later) - number) + 1)
        return np.asarray(held + steps[:, None] * (goal - self._last), np.float32)

    def _goal(self, number: int) -> Floats | None:
        """First frame of a group that waits and needs no other."""
        group = self._waiting[number]
        if isinstance(group, MotionGroup) and not group.absolute:
            return None
        state, damaged = self._decoder.state, self.damaged
        values = self._decode(group)
        self._decoder.state, self.damaged = state, damaged
        return None if values is None else values[0]
