"""How far a driver's eyes are open, as a share of that person's own range.

Eyes differ: what is wide for one is narrow for another, and nobody's lids are tracked as quite shut. People read
shares: shut is shut. The range is learned as frames come; it widens gently, so that no frame jumps when it does.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

#: Gap of lids in the units of unposed meshes (an eye is 0.53 wide), over 180 people: shut, and usually open.
USUAL_SHUT, USUAL_OPEN = 0.022, 0.155
_SHUT_BOUNDS, _OPEN_BOUNDS = (-0.025, 0.035), (0.07, 0.26)
#: Beyond its usual opening an eye goes by so much.
WIDEST = 1.4
_FIRST_PACE, _PACE, _FALL, _SHUT_PACE = 0.25, 0.02, 0.1, 0.15
_SQUINTING, _NARROW = 0.05, 0.11


@dataclass(frozen=True, slots=True)
class EyeRange:
    """What is known of one eye of a driver.

    Attributes:
        shut: gap of its lids when shut.
        opened: gap when usually open.
        frames: how many frames told of it.
    """

    shut: float = USUAL_SHUT
    opened: float = USUAL_OPEN
    frames: int = 0

    @classmethod
    def over(cls, gaps: Iterable[float]) -> EyeRange:
        """The range of frames that are known beforehand."""
        found = np.array(list(gaps), np.float64)
        if not len(found):
            return cls()
        low, high = float(np.percentile(found, 1)), float(np.percentile(found, 75))
        # Without a blink in them the frames do not tell.
        shut = max(low, _SHUT_BOUNDS[0]) if low < _SHUT_BOUNDS[1] else USUAL_SHUT
        return cls(shut, float(np.clip(high, *_OPEN_BOUNDS)), len(found))

    def widened(self, gap: float) -> EyeRange:
        """The range after one more frame: shut goes down to what is seen, open follows slowly."""
        pace = max(_PACE, _FIRST_PACE / (1 + self.frames / 4))
        opened = self.opened
        if gap > 0.5 * self.opened:  # a blink tells nothing of how wide an eye is open
            opened += (pace if gap > opened else _FALL * pace) * (gap - opened)
        shut = self.shut + _SHUT_PACE * min(gap - self.shut, 0.0)
        return replace(
            self,
            shut=float(np.clip(shut, *_SHUT_BOUNDS)),
            opened=float(np.clip(opened, *_OPEN_BOUNDS)),
            frames=self.frames + 1,
        )

    def share(self, gap: float) -> float:
        """How far open an eye is whose lids are ``gap`` apart: 0 shut, 1 usually open, at most :data:`WIDEST`."""
        return float(np.clip((gap - self.shut) / (self.opened - self.shut), 0.0, WIDEST))


def usual_opening(gap: float) -> float:
    """How wide an eye usually is open of which one picture is known.

    An eye that is nearly shut is blinking or squinting, and gets the usual width; one that is a little narrow is left
    so, since it may be that person's.
    """
    return float(np.clip(gap, _NARROW, _OPEN_BOUNDS[1])) if gap >= _NARROW else _assumed(gap)


def _assumed(gap: float) -> float:
    return float(np.interp(gap, [_SQUINTING, _NARROW], [USUAL_OPEN, _NARROW]))
