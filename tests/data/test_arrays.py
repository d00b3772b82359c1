"""Arrays of archives of unknown origin, read by several threads."""

from __future__ import annotations

import io
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from visavis.data import arrays
from visavis.data.arrays import Arrays


def test_headers_are_read_one_after_the_other(monkeypatch: pytest.MonkeyPatch):
    """They are Python literals: of two threads that read one at a time Python 3.11 now and then lets one fail."""
    packed = io.BytesIO()
    np.savez_compressed(packed, seen=np.ones(7, bool))
    reading, most = [], []

    def noted(file: io.BytesIO) -> tuple[tuple[int, ...], bool, np.dtype[np.bool_]]:
        reading.append(1)
        most.append(len(reading))
        time.sleep(0.005)
        reading.pop()
        return arrays.npy.read_array_header_1_0(file)

    monkeypatch.setattr(arrays, "_READERS", {(1, 0): noted})
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: Arrays(packed.getvalue()).get("seen", np.bool_, lambda _: True), range(12)))
    assert all(one.all() and one.shape == (7,) for one in found)
    assert max(most) == 1
