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
_LEAST_SHUT, _OPEN_BOUNDS = -0.025, (0.07, 0.26)
#: Lids count as shut up to here, or up to this share of their usual opening, since they are read wider apart where eyes
#: are wide. Of 212 eyes of people in training clips the least gap (1st percentile, of the 75th) is below 0.35 where
#: people blink, and above 0.45 where they do not.
_SHUT, _SHUT_SHARE = 0.035, 0.25
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

    shut: float
    opened: float
    frames: int = 0

    @classmethod
    def over(cls, gaps: Iterable[float]) -> EyeRange:
        """The range of frames that are known beforehand; there may be none.

        Without a blink in them the frames do not tell how far lids are apart when shut. Then it is the most that shut
        eyes have: an eye that shuts early for a frame is seen less than one that never does.
        """
        found = np.array(list(gaps), np.float64)
        low, high = (float(np.percentile(found, at)) for at in (1, 75)) if len(found) else (np.inf, USUAL_OPEN)
        opened = float(np.clip(high, *_OPEN_BOUNDS))
        return cls(float(np.clip(low, _LEAST_SHUT, _most_shut(opened))), opened, len(found))

    def widened(self, gap: float) -> EyeRange:
        """The range after one more frame: shut goes down to what is seen, open follows slowly."""
        pace = max(_PACE, _FIRST_PACE / (1 + self.frames / 4))
        opened = self.opened
        if gap > 0.5 * self.opened:  # a blink tells nothing of how wide an eye is open
            opened += (pace if gap > opened else _FALL * pace) * (gap - opened)
        shut = self.shut + _SHUT_PACE * min(gap - self.shut, 0.0)
        return replace(
            self,
            shut=float(np.clip(shut, _LEAST_SHUT, _most_shut(opened))),
            opened=float(np.clip(opened, *_OPEN_BOUNDS)),
            frames=self.frames + 1,
        )

    def share(self, gap: float) -> float:
        """How far open an eye is whose lids are ``gap`` apart: 0 shut, 1 usually open, at most :data:`WIDEST`."""
        return float(np.clip((gap - self.shut) / (self.opened - self.shut), 0.0, WIDEST))


def _most_shut(opened: float) -> float:
    """How far lids may be apart that count as shut, of an eye that is usually open by ``opened``."""
    return max(_SHUT, _SHUT_SHARE * opened)


def usual_opening(gap: float) -> float:
    """How wide an eye usually is open of which one picture is known.

    An eye that is nearly shut is blinking or squinting, and gets the usual width; one that is a little narrow is left
    so, since it may be that person's.
    """
    return float(np.clip(gap, _NARROW, _OPEN_BOUNDS[1])) if gap >= _NARROW else _assumed(gap)


def _assumed(gap: float) -> float:
    return float(np.interp(gap, [_SQUINTING, _NARROW], [USUAL_OPEN, _NARROW]))
