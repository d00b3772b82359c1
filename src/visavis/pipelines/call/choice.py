"""Which pivot a group of frames is made from, and when a new one is sent (thesis, section 3.3.6; the rule is ours).

A pivot serves while the head is within a threshold of its yaw, pitch and roll, and while the frames that are made from
it are as good as those just after it was sent; the sender makes one frame a group itself and looks. Of the pivots
held the one with the nearest pose is taken, or the one in use if that gives the better frame, so that returning to an
old pose costs an index and no picture.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from visavis.codec.bitstream import PIVOT_NUMBERS
from visavis.codec.pivots import Pivot, PivotStore, fragments
from visavis.codec.rate import Budget, PivotCredit
from visavis.codec.stills import encode_within
from visavis.core.errors import FaceError
from visavis.face.pose import HeadAngles
from visavis.media.frame import Pixels
from visavis.pipelines.call.painter import Array, Likeness, Painter
from visavis.pipelines.call.settings import CallSettings

#: The pivot in use counts as nearer than it is, so that two of almost the same pose do not take turns.
_LOYALTY = 0.7
_LOYALTY_DB = 0.3
_TRIES = 3


@dataclass(frozen=True)
class Moment:
    """One frame of the sender's.

    Attributes:
        picture: its crop ``uint8 [S, S, 3]``.
        vector: its motion ``float32 [D]``.
        angles: of the head.
    """

    picture: Pixels
    vector: Array
    angles: HeadAngles


@dataclass
class Sent:
    """A pivot that both sides hold.

    Attributes:
        number: modulo 8.
        likeness: as the receiver has it.
        angles: of its head.
        packets: that told it, to be told again.
        now_db, best_db: psnr of the frame that was last made from it, and of the best one.
    """

    number: int
    likeness: Likeness
    angles: HeadAngles
    packets: list[bytes]
    now_db: float = 0.0
    best_db: float = 0.0


class PivotChooser:
    """Keeps the sender's pivots.

    Args:
        painter: makes frames as the receiver does.
        settings: of the call.
        budget: of the call.
    """

    def __init__(self, painter: Painter, settings: CallSettings, budget: Budget) -> None:
        self._painter, self._settings = painter, settings
        self._bytes = budget.pivot_bytes
        self._credit = PivotCredit(budget)
        self._store: PivotStore[Sent] = PivotStore()
        self._current: int | None = None
        self.count = 0

    def packets_again(self, number: int) -> list[bytes]:
        """The packets of a pivot that is held."""
        sent = self._store.get(number)
        return [] if sent is None else sent.packets

    def packets_of_all(self) -> list[bytes]:
        """The packets of every pivot that is held."""
        return [packet for _, sent in self._store.items() for packet in sent.packets]

    def choose(self, moment: Moment, mel: Array | None, seconds: float) -> tuple[Sent, list[bytes]]:
        """Choose the pivot for a group, and give the packets that must go before it.

        Args:
            moment: a frame in the middle of the group.
            mel: its sound.
            seconds: that the group lasts.

        Raises:
            FaceError: there is no pivot yet, and in this frame no face is found once it is coded.
        """
        self._credit.passed(seconds)
        held = sorted((sent for _, sent in self._store.items()), key=lambda sent: self._distance(moment, sent))
        chosen, good = self._best(held, moment, mel) if held else (None, False)
        if not good and (chosen is None or self._credit.allows):
            fresh = self._new(moment)
            if fresh is not None:
                self._current = fresh.number
                return fresh, fresh.packets
        if chosen is None:
            raise FaceError("no face was found in a pivot")
        self._current = chosen.number
        return chosen, []

    def _distance(self, moment: Moment, sent: Sent) -> float:
        """Of poses, 1 being the threshold."""
        apart = moment.angles.apart(sent.angles)
        distance = max(angle / most for angle, most in zip(apart, self._settings.most_apart, strict=True))
        return distance * (_LOYALTY if sent.number == self._current else 1)

    def _best(self, held: Sequence[Sent], moment: Moment, mel: Array | None) -> tuple[Sent, bool]:
        """The best pivot held, and whether it is good enough.

        Args:
            held: at least one, the nearest pose first.
            moment, mel: the frame to make.
        """
        nearest, drop = held[0], self._settings.most_drop_db
        if self._distance(moment, nearest) > 1:
            return nearest, False
        rivals = [nearest, *(sent for sent in held[1:] if sent.number == self._current)]
        rivals = [sent for sent in rivals if self._distance(moment, sent) <= 1]
        if math.isinf(drop) or (len(rivals) == 1 and not self._credit.allows):
            return nearest, True  # nothing would come of a look
        for sent in rivals:
            sent.now_db = self._quality(sent.likeness, moment, mel)
            sent.best_db = max(sent.best_db, sent.now_db)
        best = max(rivals, key=lambda sent: sent.now_db + (_LOYALTY_DB if sent.number == self._current else 0))
        return best, best.now_db >= best.best_db - drop

    def _quality(self, likeness: Likeness, moment: Moment, mel: Array | None) -> float:
        made = self._painter.paint(likeness, moment.vector, mel)
        error = np.mean((made.astype(np.float32) - moment.picture) ** 2)
        return float(10 * np.log10(255**2 / max(float(error), 1e-3)))

    def _new(self, moment: Moment) -> Sent | None:
        """Make a pivot of a frame; None if its face is lost in coding even at four times the bytes."""
        for attempt in range(_TRIES):
            try:
                coded = encode_within(moment.picture, self._bytes << attempt)
                likeness = self._painter.prepare(coded)
            except FaceError:
                continue
            number = self.count % PIVOT_NUMBERS
            packets = fragments(Pivot(likeness.reference, coded), number)
            self.count += 1
            self._credit.spent(sum(map(len, packets)))
            sent = Sent(number, likeness, moment.angles, packets)
            self._store.put(number, sent)
            return sent
        return None
