"""The motions that a generator with a memory is shown: this frame's and those before it. No torch."""

from __future__ import annotations

from collections import deque

import numpy as np

from visavis.motion.layout import Motion


class History:
    """Keeps the last ``memory`` + 1 motions; before the first there was nothing but the first.

    Args:
        memory: past motions that a generator renders with; 0 for one that may render frames in any order.
    """

    def __init__(self, memory: int) -> None:
        self._kept: deque[Motion] = deque(maxlen=memory + 1)

    def push(self, motion: Motion) -> tuple[Motion, ...]:
        """Take the next frame's motion; return the last ``memory`` + 1, oldest first."""
        self._kept.append(motion)
        missing = (self._kept.maxlen or 1) - len(self._kept)
        return (self._kept[0],) * missing + tuple(self._kept)

    @property
    def last(self) -> Motion | None:
        """The motion that was pushed last."""
        return self._kept[-1] if self._kept else None

    def begin_anew(self) -> None:
        """Forget all: what comes next does not follow what was."""
        self._kept.clear()


def on_the_way(before: Motion, after: Motion, share: float) -> Motion:
    """The motion on the straight line between two, at ``share`` of the way, 0 to 1."""
    vector = before.vector + share * (after.vector - before.vector)
    return Motion(np.asarray(vector, np.float32), after.layout)
