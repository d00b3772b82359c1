"""MediaPipe's native code writes to the process's stderr; ours is kept for one-line messages."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

os.environ.setdefault("GLOG_minloglevel", "3")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

_STDERR = 2
#: Native lines come while a graph starts, that is, with its first frames.
NOISY_CALLS = 3


class _Turned:
    """File descriptor 2, which belongs to the process: turned away by the first who asks, given back by the last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._askers = 0
        self._saved = -1

    def away(self) -> None:
        """Send it to nowhere, or count that somebody else wants it there."""
        with self._lock:
            self._askers += 1
            if self._askers > 1:
                return
            with suppress(OSError):
                self._saved = os.dup(_STDERR)
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, _STDERR)
                os.close(nowhere)

    def back(self) -> None:
        """Give it back once nobody wants it away any more."""
        with self._lock:
            self._askers = max(self._askers - 1, 0)
            if not self._askers and self._saved >= 0:
                os.dup2(self._saved, _STDERR)
                os.close(self._saved)
                self._saved = -1


_turned = _Turned()


@contextmanager
def quiet_native_logs(calls_before: int) -> Iterator[None]:
    """Send file descriptor 2 to nowhere during one of a graph's first calls, whatever other threads do meanwhile.

    Args:
        calls_before: how many calls this graph has seen.
    """
    if calls_before >= NOISY_CALLS:
        yield
        return
    try:
        # Within the try, so that Ctrl-C in between does not leave the process without its stderr.
        _turned.away()
        yield
    finally:
        _turned.back()
