"""MediaPipe's native code writes to the process's stderr; ours is kept for one-line messages."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

os.environ.setdefault("GLOG_minloglevel", "3")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

_STDERR = 2
#: Native lines come while a graph starts, that is, with its first frames.
NOISY_CALLS = 3


@contextmanager
def quiet_native_logs(calls_before: int) -> Iterator[None]:
    """Send file descriptor 2 to nowhere during one of a graph's first calls.

    Args:
        calls_before: how many calls this graph has seen.
    """
    if calls_before >= NOISY_CALLS:
        yield
        return
    saved = -1
    try:
        # Within the try, so that Ctrl-C in between does not leave the process without its stderr.
        with suppress(OSError):
            saved = os.dup(_STDERR)
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, _STDERR)
            os.close(nowhere)
        yield
    finally:
        if saved >= 0:
            os.dup2(saved, _STDERR)
            os.close(saved)
