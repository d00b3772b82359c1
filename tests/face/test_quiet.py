"""Native lines on stderr are kept away, and stderr is there again afterwards, however threads come and go."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from visavis.face.quiet import NOISY_CALLS, quiet_native_logs


def place() -> tuple[int, int]:
    """What file descriptor 2 is."""
    found = os.fstat(2)
    return found.st_dev, found.st_ino


def nowhere() -> tuple[int, int]:
    found = os.stat(os.devnull)
    return found.st_dev, found.st_ino


def test_stderr_is_turned_away_while_a_graph_starts_and_no_longer():
    before = place()
    with quiet_native_logs(0):
        assert place() == nowhere()
    assert place() == before
    with quiet_native_logs(NOISY_CALLS):
        assert place() == before


def test_two_that_overlap_do_not_lose_it():
    """The first to come is the first to go, so that each would put back what it found there."""
    before = place()
    first, second = ExitStack(), ExitStack()
    first.enter_context(quiet_native_logs(0))
    second.enter_context(quiet_native_logs(0))
    first.close()
    assert place() == nowhere(), "the second still wants it away"
    second.close()
    assert place() == before


def test_many_threads_do_not_lose_it():
    before, gate = place(), threading.Barrier(8)

    def work(number: int) -> None:
        gate.wait()
        for _ in range(50):
            with quiet_native_logs(0):
                os.write(2, b"never seen\n")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert place() == before


def test_mediapipe_comes_without_its_plots_until_somebody_plots():
    """In a process of its own, since what is imported once stays."""
    told = (
        "import sys; import numpy as np; from visavis.face.landmarks import FaceMesher\n"
        "FaceMesher(1, video=False).faces(np.zeros((64, 64, 3), np.uint8))\n"
        "assert 'mediapipe' in sys.modules and 'matplotlib' not in sys.modules\n"
        "from mediapipe.python.solutions import drawing_utils\n"
        "import matplotlib.pyplot\n"
        "assert drawing_utils.plt.figure is matplotlib.pyplot.figure\n"
        "assert matplotlib.pyplot.rcParams is matplotlib.rcParams\n"
    )
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
