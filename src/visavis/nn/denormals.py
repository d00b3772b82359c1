"""Numbers too small to matter, which CPUs take a hundred times longer over."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_here = threading.local()


@contextmanager
def denormals_flushed() -> Iterator[None]:
    """Treat floats below 1e-38 as zero in here.

    Trained networks have activations that fade to almost nothing. The mode belongs to the thread and is put back
    afterwards, because MediaPipe's graphs fail to open in a thread that has it. Inside another such block nothing
    changes.
    """
    if getattr(_here, "flushed", False):
        yield
        return
    _here.flushed = True
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        _here.flushed = False
        torch.set_flush_denormal(False)
