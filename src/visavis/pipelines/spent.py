"""What stages take, counted by whichever threads they run in."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence


class Spent:
    """Milliseconds by stage; a stage that several threads do at once counts the time of each.

    Args:
        stages: their names.

    Attributes:
        ms: by name.
    """

    def __init__(self, stages: Sequence[str]) -> None:
        self.ms = dict.fromkeys(stages, 0.0)
        self._lock = threading.Lock()

    def __call__(self, stage: str, since: float) -> float:
        """Count what has passed since a time of :func:`time.perf_counter`; return the time that it is now."""
        now = time.perf_counter()
        with self._lock:
            self.ms[stage] += 1000 * (now - since)
        return now
