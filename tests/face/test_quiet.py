"""Native lines on stderr are kept away, and stderr is there again afterwards, however threads come and go."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

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


@pytest.mark.parametrize("before", ["", "import mediapipe\n"], ids=["after", "before"])
def test_mediapipe_comes_without_its_neighbours_and_is_whole_for_whoever_imports_it(before: str):
    """In a process of its own, since what is imported once stays."""
    told = (
        "import sys; import numpy as np\n"
        f"{before}"
        "from visavis.face.landmarks import FaceMesher\n"
        "from visavis.face.region import RegionMesher\n"
        "picture = np.zeros((64, 64, 3), np.uint8)\n"
        "FaceMesher(1, video=False).faces(picture)\n"
        f"came = [name in sys.modules for name in ('mediapipe.tasks', 'matplotlib')]\n"
        f"assert came == [{bool(before)}] * 2, came\n"
        "import mediapipe as mp\n"
        "from mediapipe.framework.formats import landmark_pb2\n"
        "from mediapipe.python.solutions import drawing_utils\n"
        "assert mp.Image and mp.ImageFormat.SRGB and mp.tasks.vision.FaceLandmarker\n"
        "assert mp.solutions.drawing_utils is drawing_utils\n"
        "with mp.solutions.face_mesh.FaceMesh(static_image_mode=True) as graph:\n"
        "    assert graph.process(picture).multi_face_landmarks is None\n"
        "assert FaceMesher(1, video=True).faces(picture) == []\n"
    )
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
