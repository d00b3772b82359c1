"""The beginning of a call, before its first pivot: groups of frames are held back until enough has been seen."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from visavis.codec.bitstream import Header
from visavis.codec.sender import group_seconds
from visavis.pipelines.call.choice import Moment

#: Seconds that a call as it goes on looks for its first pivot, and that a call out of a file does.
LIVE_LOOK_S, FILE_LOOK_S = Fraction(16, 25), Fraction(4)
#: Frames that are held back at most; each holds its picture.
_MOST_FRAMES = 128

#: One group; None where no face was seen.
Group = Sequence[Moment | None]


class Opening:
    """Holds the first groups back.

    Args:
        header: of the call.
        look_s: seconds that are looked at, counted from the first group with a face; at least one group is.
    """

    def __init__(self, header: Header, look_s: Fraction) -> None:
        self._most = max(min(int(look_s / group_seconds(header)), _MOST_FRAMES // header.group), 1)
        self._frames_between = header.interpolated
        self._fps = header.fps
        self._size = header.group
        self.groups: list[Group] = []

    @property
    def latency_ms(self) -> float:
        """Milliseconds that the first frame of the call waits for the last that is looked at."""
        frames = self._most * self._size * (self._frames_between + 1) - self._frames_between - 1
        return 1000 * float(frames / self._fps)

    @property
    def seen(self) -> list[Moment]:
        """All faces that were seen."""
        return [moment for group in self.groups for moment in group if moment is not None]

    def push(self, group: Group) -> None:
        """Hold a group back; those before the first face are not held."""
        if self.groups or any(group):
            self.groups.append(group)

    @property
    def is_over(self) -> bool:
        """Whether enough has been seen."""
        return len(self.groups) >= self._most
