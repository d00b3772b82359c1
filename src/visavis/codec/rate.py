"""Rate control: how coarse motion is, and how many bytes a pivot may have, for a number of kilobits a second."""

from __future__ import annotations

from dataclasses import dataclass

from visavis.codec.motion_coder import STEPS
from visavis.core.errors import ConfigError

LEAST_KBPS, MOST_KBPS = 0.5, 100.0
DEFAULT_STEP = 14  # 45/256 of a pixel: about 1.2 kbit/s of motion at 25 frames a second
_MOTION_SHARE, _MOST_MOTION_KBPS = 0.45, 1.2  # beyond, finer motion is not seen and pivots are
_HEADS_KBPS = 0.12
_PIVOT_SPAN_S = 4.0
_LEAST_PIVOT_BYTES, _MOST_PIVOT_BYTES = 1_200, 2_500  # more and smaller pivots do better than few and fine ones
_REACTION = 0.15


@dataclass(frozen=True)
class Budget:
    """What a call may cost.

    Attributes:
        motion_bits: a second, for motion, packet heads included; None leaves the step alone.
        pivot_bytes: for one pivot.
        pivot_apart_s: seconds between new pivots at least, on average.
        spare_pivots: how many beyond the first may come before their time.
    """

    motion_bits: float | None
    pivot_bytes: int
    pivot_apart_s: float
    spare_pivots: int = 0


#: Three to four kilobits a second over the first ten seconds, and at most two in the long run.
DEFAULT_BUDGET = Budget(None, 2_000, 20.0, 1)


def budget(kbps: float | None) -> Budget:
    """Split a rate of pictures (sound is beside it); None is the default quality.

    Raises:
        ConfigError: the rate is out of range.
    """
    if kbps is None:
        return DEFAULT_BUDGET
    if not LEAST_KBPS <= kbps <= MOST_KBPS:
        raise ConfigError(f"--kbps {kbps:g}: choose {LEAST_KBPS:g} to {MOST_KBPS:g}")
    motion = min(kbps * _MOTION_SHARE, _MOST_MOTION_KBPS)
    a_second = 1000 * max(kbps - motion - _HEADS_KBPS, 0.1) / 8
    size = int(min(max(a_second * _PIVOT_SPAN_S, _LEAST_PIVOT_BYTES), _MOST_PIVOT_BYTES))
    return Budget(1000 * motion, size, size / a_second)


class StepControl:
    """Chooses the step of each group so that motion keeps its share.

    Args:
        motion_bits: bits a second, or None for the default step throughout.
    """

    def __init__(self, motion_bits: float | None) -> None:
        self._target = motion_bits
        self._step = float(DEFAULT_STEP)
        self._debt = 0.0

    @property
    def step(self) -> int:
        """Index of the step of the next group."""
        return round(self._step)

    def spent(self, bits: int, seconds: float) -> None:
        """Account for a group of ``bits`` over ``seconds``."""
        if self._target is None:
            return
        over = bits / (self._target * seconds) - 1
        self._debt = min(max(self._debt + bits - self._target * seconds, -self._target), 4 * self._target)
        # The latest rate steers softly, what was overspent so far steers more the longer it stays.
        pull = _REACTION * min(max(over, -1.0), 3.0) + 0.3 * _REACTION * self._debt / self._target
        self._step = min(max(self._step + pull, 4.0), float(len(STEPS) - 1))


class PivotCredit:
    """Says when the next pivot may be sent: what one costs is paid back over its share of time.

    Args:
        budget: of the call.
    """

    def __init__(self, budget: Budget) -> None:
        self._most = float(budget.pivot_bytes * max(budget.spare_pivots, 1))
        self._a_second = budget.pivot_bytes / budget.pivot_apart_s
        self._credit = float(budget.spare_pivots * budget.pivot_bytes)

    @property
    def allows(self) -> bool:
        """Whether the last pivots are paid back."""
        return self._credit >= 0

    def passed(self, seconds: float) -> None:
        """Let time go by."""
        self._credit = min(self._credit + self._a_second * seconds, self._most)

    def spent(self, size_bytes: int) -> None:
        """Account for a pivot."""
        self._credit -= size_bytes
