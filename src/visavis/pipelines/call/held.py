"""The pivots that a receiver holds, each prepared when a frame first asks for it."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from visavis.codec.bases import Ints
from visavis.codec.bitstream import PivotFragment
from visavis.codec.pivots import Pivot, PivotAssembler, PivotStore
from visavis.core.errors import CodecError, FaceError
from visavis.pipelines.call.painter import Likeness, Painter


@dataclass
class _Held:
    """A pivot as it came, and what became of it."""

    pivot: Pivot
    likeness: Likeness | None = None
    is_useless: bool = False


class HeldPivots:
    """Puts pivots together, holds the newest, and prepares those that are used.

    To prepare one takes as long as some frames. A sender may send as many as it likes: only one that motion names is
    prepared, so that pivots cost no more than the frames that are made of them.

    Args:
        painter: of the call.
    """

    def __init__(self, painter: Painter) -> None:
        self._painter = painter
        self._store: PivotStore[_Held] = PivotStore()
        self._assembler = PivotAssembler()
        self._spent_ms, self._useless = 0.0, 0

    def take_counts(self) -> tuple[float, int]:
        """Milliseconds in preparing, and pivots that could not be decoded or show no face, since the last call."""
        counts = self._spent_ms, self._useless
        self._spent_ms, self._useless = 0.0, 0
        return counts

    def take(self, fragment: PivotFragment) -> bool:
        """Take a fragment; say whether it made a pivot whole that was not held yet.

        Raises:
            CodecError: the pivot is damaged.
        """
        pivot = self._assembler.push(fragment)
        if pivot is None:
            return False
        held = self._store.get(fragment.number)
        if held is not None and _same(held.pivot, pivot):
            return False
        self._store.put(fragment.number, _Held(pivot))
        return True

    def see(self, number: int) -> bool:
        """Learn that motion names a pivot; say whether it is held."""
        self._store.see(number)
        held = self._store.get(number)
        return held is not None and not held.is_useless

    def reference(self, number: int) -> Ints | None:
        """Components of a pivot in units, or None for one that cannot be used."""
        likeness = self.likeness(number)
        return None if likeness is None else likeness.reference

    def likeness(self, number: int) -> Likeness | None:
        """A pivot that is ready to be moved, or None for one that cannot be used."""
        held = self._store.get(number)
        return None if held is None else self._prepared(held)

    def newest(self) -> Likeness | None:
        """The newest that can be used."""
        prepared = (self._prepared(held) for _, held in reversed(self._store.items()))
        return next((likeness for likeness in prepared if likeness is not None), None)

    def _prepared(self, held: _Held) -> Likeness | None:
        if held.likeness is None and not held.is_useless:
            began = time.perf_counter()
            try:
                held.likeness = self._painter.prepare(held.pivot.picture, held.pivot.reference)
            except (CodecError, FaceError):
                # It is kept all the same: if it comes again it is not tried again.
                held.is_useless = True
                self._useless += 1
            self._spent_ms += 1000 * (time.perf_counter() - began)
        return held.likeness


def _same(a: Pivot, b: Pivot) -> bool:
    return a.picture == b.picture and np.array_equal(a.reference, b.reference)
