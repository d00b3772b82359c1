"""Numbers too small to matter, which CPUs take a hundred times longer over."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def denormals_flushed() -> Iterator[None]:
    """Treat floats below 1e-38 as zero in here.

    Trained networks have activations that fade to almost nothing. The mode belongs to the thread and is put back
    afterwards, because MediaPipe's graphs fail to open in a thread that has it.
    """
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
