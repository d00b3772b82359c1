"""Busy neighbours: processes that compute for as long as something is measured beside them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

#: Ends by itself when whoever started it is gone: its standard input is closed then.
_BUSY = """
import os, sys, threading
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
print(flush=True)
while True:
    sum(i * i for i in range(10_000))
"""


@contextmanager
def busy_neighbours(count: int) -> Iterator[None]:
    """Keep so many processors busy in here, with what asks for no memory."""
    started = [
        subprocess.Popen([sys.executable, "-c", _BUSY], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(count)
    ]
    try:
        for process in started:
            assert process.stdout is not None
            process.stdout.readline()
        yield
    finally:
        for process in started:
            process.kill()
            process.communicate()
