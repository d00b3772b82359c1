"""How much of a run is done: by its steps, or by the clock of a machine that is lent for minutes."""

from __future__ import annotations

import time

from visavis.core.errors import ConfigError
from visavis.training.config import TrainConfig


class Pace:
    """Share of a run that is done; schedules go by it.

    By time, the whole of a run is ``run_s`` seconds of steps, over all leases together; without it, what was used
    before and what is left until ``stop_after_s``.

    Args:
        config: settings of the run.
        used_s: seconds of steps before this process.
    """

    def __init__(self, config: TrainConfig, used_s: float = 0.0) -> None:
        self._config, self.used_before_s = config, used_s
        self._started: float | None = None
        self._whole_s = config.run_s

    @property
    def by_time(self) -> bool:
        """Whether the clock decides."""
        return self._config.schedule_by == "time"

    def start(self, began: float | None = None) -> None:
        """Count from now; ``began`` is the moment that ``stop_after_s`` counts from, by :func:`time.monotonic`.

        Raises:
            ConfigError: by time, and nothing says how long the run is.
        """
        self._started = time.monotonic()
        if not self.by_time:
            return
        if not self._config.run_s:
            if not self._config.stop_after_s:
                raise ConfigError(
                    "schedule_by 'time' needs to know the time: give stop_after_s (--stop-after) or run_s"
                )
            late = 0.0 if began is None else self._started - began
            self._whole_s = self.used_before_s + max(self._config.stop_after_s - late, 0.0)

    def used_s(self) -> float:
        """Seconds of steps so far, those before this process included."""
        return self.used_before_s + (0.0 if self._started is None else time.monotonic() - self._started)

    def done(self, steps_done: int) -> float:
        """Share of the run that is done, in [0, 1]."""
        if not self.by_time:
            return steps_done / self._config.steps
        if self._started is None:
            self.start()
        return min(self.used_s() / self._whole_s, 1.0) if self._whole_s > 0 else 1.0

    def left_s(self, steps_done: int, seconds_a_step: float) -> float:
        """Seconds that are left at this pace."""
        if self.by_time:
            return max(self._whole_s - self.used_s(), 0.0)
        return (self._config.steps - steps_done) * seconds_a_step
