"""The beginning of a call, before its first pivot: groups of frames are held back until enough has been seen."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from visavis.codec.bitstream import Header
from visavis.codec.sender import group_seconds
from visavis.pipelines.call.choice import Moment

#: Seconds that a call as it goes on looks for its first pivot, and that a call out of a file does.
LIVE_LOOK_S, FILE_LOOK_S = Fraction(16, 25), Fraction(4)
#: Frames that are held back at most; each holds its picture, packed.
_MOST_FRAMES = 128

#: One group; None where no face was seen.
Group = Sequence[Moment | None]


class Opening:
    """Holds the first groups back.

    Args:
        header: of the call.
        look_s: seconds that are looked at, counted from the first group with a face; at least one group is.
        sound_waits: whether the groups' sound is held back with them.

    Attributes:
        groups: that are held.
    """

    def __init__(self, header: Header, look_s: Fraction, *, sound_waits: bool) -> None:
        self._most = max(min(int(look_s / group_seconds(header)), _MOST_FRAMES // header.group), 1)
        self._frames_between = header.interpolated
        self._fps = header.fps
        self._size = header.group
        self._sound_waits = sound_waits
        self._sound: list[bytes] = []  # since the last group
        self._sounds: list[list[bytes]] = []  # before each group that is held
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

    def push(self, group: Group) -> bool:
        """Hold a group back; say whether it is held: those before the first face are not."""
        if not self.groups and not any(group):
            return False
        self.groups.append([moment and moment.packed() for moment in group])
        self._sounds.append(self._sound)
        self._sound = []
        return True

    def hear(self, packets: list[bytes]) -> list[bytes]:
        """Hold packets of sound back, or give them back where sound does not wait."""
        if not self._sound_waits:
            return packets
        self._sound += packets
        return []

    def take_sound(self) -> list[bytes]:
        """Packets of sound since the last group."""
        taken, self._sound = self._sound, []
        return taken

    def take(self) -> list[tuple[list[bytes], Group]]:
        """All groups that were held, each with the packets of sound that go before it."""
        taken = list(zip(self._sounds, self.groups, strict=True))
        self._sounds, self.groups = [], []
        return taken

    @property
    def is_over(self) -> bool:
        """Whether enough has been seen."""
        return len(self.groups) >= self._most
