"""Sound that waits to be played: silence in its holes, as far as that is paid for."""

from __future__ import annotations

from collections import deque

import numpy as np

from visavis.codec.sound import RATE_HZ, Piece, Samples

#: Seconds of sound that are held until they are taken; what is older is let go.
_MOST_HELD_S = 30
#: Seconds of silence that may be made before any sound or picture has come to pay for it.
_MOST_CREDIT_S = 10


class HeardSound:
    """Pieces of sound on the way to a loudspeaker.

    A hole is filled with silence, so that sound stays in time. But a dozen bytes can claim a hole of minutes: silence
    must be paid for by sound that came and by frames that were made, second for second, with ten seconds in advance. A
    hole that is longer than what is left of that is jumped over.
    """

    def __init__(self) -> None:
        self._pieces: deque[Piece] = deque()
        self._held = 0  # samples
        self._follows = 0
        self._credit = _MOST_CREDIT_S * RATE_HZ

    @property
    def first(self) -> int:
        """Number of the sample, from the call's start, that is taken next."""
        return self._pieces[0].first if self._pieces else self._follows

    def earn(self, seconds: float) -> None:
        """Let a part of the call pass that was really there."""
        self._credit = min(self._credit + round(seconds * RATE_HZ), _MOST_CREDIT_S * RATE_HZ)

    def push(self, piece: Piece) -> None:
        """Take a piece that comes after the last one."""
        hole = piece.first - self._follows
        if 0 < hole <= self._credit:
            self._credit -= hole
            self._put(Piece(self._follows, np.zeros(hole, np.float32)))
        self._put(piece)
        self.earn(len(piece.samples) / RATE_HZ)

    def take(self) -> Samples:
        """All that is held, up to a hole that was jumped over."""
        taken = [np.zeros(0, np.float32)]
        follows = self.first
        while self._pieces and self._pieces[0].first == follows:
            piece = self._pieces.popleft()
            follows, self._held = piece.end, self._held - len(piece.samples)
            taken.append(piece.samples)
        return np.concatenate(taken)

    def clear(self) -> None:
        """Let all go."""
        self._pieces.clear()
        self._held = 0

    def _put(self, piece: Piece) -> None:
        self._pieces.append(piece)
        self._held += len(piece.samples)
        self._follows = piece.end
        while self._held > _MOST_HELD_S * RATE_HZ:
            self._held -= len(self._pieces.popleft().samples)  # nobody takes it
