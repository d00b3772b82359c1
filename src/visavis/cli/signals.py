"""Being asked to end, by the system or a terminal that closes, cleans up as Ctrl-C does."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType

#: What process managers and closing terminals send. Windows has no SIGHUP.
_ASKING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Told(SystemExit):
    """An interruption of which a verb has told in its own words, such as what is kept."""


class Ending:
    """Turns requests to end into a KeyboardInterrupt, as long as the ``with`` block lasts.

    What stands for nothing already (``nohup``) stays so. Once asked, further requests do not disturb the clean-up.

    Attributes:
        asked_by: the signal that asked, or None.
    """

    def __init__(self) -> None:
        self.asked_by: int | None = None
        self._process = os.getpid()
        self._taken: list[int] = []

    def __enter__(self) -> Ending:
        # Elsewhere than in the main thread Python lets nobody take signals.
        if threading.current_thread() is threading.main_thread():
            self._taken = [number for number in _ASKING if signal.getsignal(number) is signal.SIG_DFL]
        for number in self._taken:
            signal.signal(number, self._end)
        return self

    def __exit__(self, *raised: object) -> None:
        # After a request the process ends: others stay without effect until it has.
        for number in self._taken if self.asked_by is None else ():
            signal.signal(number, signal.SIG_DFL)

    @property
    def status(self) -> int:
        """With what to exit after an interruption: 128 and the signal's number, as shells do; Ctrl-C is 130."""
        return 128 + (self.asked_by or signal.SIGINT)

    def _end(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:
            # A child that took this over when it was forked: it ends as if it had not.
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        for other in self._taken:
            signal.signal(other, signal.SIG_IGN)
        self.asked_by = number
        raise KeyboardInterrupt
