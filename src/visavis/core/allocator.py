"""The C library's heap in a process that is the command line's: what is freed goes back to the system."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Mapping

# Numbers of parameters in glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
#: Any of these says that the user has decided how memory is had.
_DECIDED = (
    *("MALLOC_ARENA_MAX", "MALLOC_ARENA_TEST", "MALLOC_MMAP_MAX_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TOP_PAD_"),
    *("MALLOC_TRIM_THRESHOLD_", "LD_PRELOAD"),
)
#: Blocks from here on are the system's own, each returned when it is freed; frames of 256x256 are smaller.
_OWN_FROM = 1 << 20
_SPARE = 256 << 10  # at the end of the heap
_trim: list[Callable[[int], int]] = []  # by which the heap of a process of our own is trimmed


def return_memory(environment: Mapping[str, str] = os.environ) -> bool:
    """Have glibc keep one heap for all threads and return what is freed, unless the user chose otherwise.

    By default each thread has a heap of its own, and blocks of some size stay once they were freed: what MediaPipe and
    graphs needed while they started, 50 to 90 MB, is then never seen again. Only for a process of our own.

    Returns:
        Whether anything was set: not by another C library, nor against the user's environment.
    """
    if any(name in environment for name in _DECIDED) or "glibc.malloc." in environment.get("GLIBC_TUNABLES", ""):
        return False
    try:
        library = ctypes.CDLL(None)
        set_parameter, trim = library.mallopt, library.malloc_trim
    except (AttributeError, OSError, TypeError):
        return False  # another C library, or a system without one to ask
    wanted = {_ARENA_MAX: 1, _MMAP_THRESHOLD: _OWN_FROM, _TRIM_THRESHOLD: _SPARE}
    _trim[:] = [trim]
    return all([set_parameter(number, value) for number, value in wanted.items()])


def trim_memory() -> None:
    """Return what is free between blocks in use, where :func:`return_memory` holds: after a start that needed much."""
    for trim in _trim:
        trim(0)
