"""Opening SVT-AV1 without what it does to the process around it."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from av.video.codeccontext import VideoCodecContext


def quiet() -> None:
    """Have it name errors only, on the stderr to which it writes by itself; it looks when an encoder is opened."""
    os.environ.setdefault("SVT_LOG", "1")


def open_encoder(context: VideoCodecContext) -> None:
    """Open a ``libsvtav1`` encoder whose options are set.

    Where the process is root's, as in most containers, it makes its own threads and the calling one real-time threads,
    for which all else on a core waits; that is undone.
    """
    quiet()
    before = _policies()
    context.open()
    if sys.platform == "linux":
        for thread, policy in _policies().items():
            wanted = before.get(thread, os.SCHED_OTHER)
            if policy != wanted:
                with suppress(ProcessLookupError):  # it has ended
                    os.sched_setscheduler(thread, wanted, os.sched_param(0))


def _policies() -> dict[int, int]:
    """Scheduling policy of each thread of this process; empty where there is no telling."""
    if sys.platform != "linux":
        return {}
    policies = {}
    for thread in map(int, os.listdir("/proc/self/task")):
        with suppress(ProcessLookupError):
            policies[thread] = os.sched_getscheduler(thread)
    return policies
