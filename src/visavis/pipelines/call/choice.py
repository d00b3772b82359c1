"""Which pivot a group of frames is made from, and when a new one is sent (thesis, section 3.3.6; the rule is ours).

A pivot serves while the head is within a threshold of its yaw, pitch and roll, and while the frames that are made from
it are as good as those just after it was sent; the sender makes one frame a group itself and looks. Of the pivots
held the one with the nearest pose is taken, or the one in use if that gives the better frame, so that returning to an
old pose costs an index and no picture.

A pivot lasts for seconds, and what it hides no frame can show: of the frames that could be the new one the readiest is
taken (:mod:`visavis.face.readiness`), and where all blink or gape, the pivot in use serves for another moment.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from visavis.codec.bitstream import PIVOT_NUMBERS
from visavis.codec.pivots import Pivot, PivotStore, fragments
from visavis.codec.rate import Budget, PivotCredit
from visavis.codec.stills import encode_within
from visavis.core.errors import FaceError
from visavis.face.pose import HeadAngles
from visavis.media.frame import Pixels
from visavis.motion.layout import Motion
from visavis.pipelines.call.painter import Array, Likeness, Painter
from visavis.pipelines.call.settings import CallSettings
from visavis.pipelines.render import Cue

#: The pivot in use counts as nearer than it is, so that two of almost the same pose do not take turns.
_LOYALTY = 0.7
_LOYALTY_DB = 0.3
_TRIES = 3
#: Faces that are tried for the first pivot, should one be lost in coding.
_FIRST_TRIES = 3
#: A new pivot may show a head turned by so much of the threshold from the frame that asks for it.
_NEAR = 0.5
#: A face less ready than this share of the readiest that was seen is waited out, for so long.
_READY_SHARE = 0.6
_MOST_WAIT_S = 1.3
#: Groups in a row whose frames must have fallen in quality: one alone may be a blink.
_FALLS = 2
#: The readiest face counts less as time goes by: half after a minute.
_FORGET_A_SECOND = 0.5 ** (1 / 60)


@dataclass(frozen=True)
class Moment:
    """One frame of the sender's.

    Attributes:
        shown: its crop ``uint8 [S, S, 3]``, or that as a PNG, while many moments wait.
        motions: its motion and those before it, as the generator renders them; the last is its own.
        angles: of the head.
        ready: how well its face can be animated, 0 to 1.
    """

    shown: Pixels | bytes
    motions: tuple[Motion, ...]
    angles: HeadAngles
    ready: float = 1.0

    @property
    def picture(self) -> Pixels:
        """Its crop ``uint8 [S, S, 3]``."""
        if not isinstance(self.shown, bytes):
            return self.shown
        return np.asarray(cv2.imdecode(np.frombuffer(self.shown, np.uint8), cv2.IMREAD_COLOR), np.uint8)

    @property
    def motion(self) -> Motion:
        """Its own."""
        return self.motions[-1]

    def packed(self) -> Moment:
        """The same in half the memory or less, to the bit; to pack and to unpack takes some milliseconds."""
        _, coded = cv2.imencode(".png", self.picture, [cv2.IMWRITE_PNG_COMPRESSION, 1])
        return replace(self, shown=coded.tobytes())


@dataclass
class Sent:
    """A pivot that both sides hold.

    Attributes:
        number: modulo 8.
        likeness: as the receiver has it.
        moment: that it shows.
        packets: that told it, to be told again.
        now_db, best_db: psnr of the frame that was last made from it, and of the best one.
    """

    number: int
    likeness: Likeness
    moment: Moment
    packets: list[bytes]
    now_db: float = 0.0
    best_db: float = 0.0

    @property
    def angles(self) -> HeadAngles:
        """Of its head."""
        return self.moment.angles


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
        self._readiest = 0.0
        self._waited_s = 0.0
        self._falls = 0
        self.count = 0

    def packets_again(self, number: int) -> list[bytes]:
        """The packets of a pivot that is held."""
        sent = self._store.get(number)
        return [] if sent is None else sent.packets

    def packets_of_all(self) -> list[bytes]:
        """The packets of every pivot that is held."""
        return [packet for _, sent in self._store.items() for packet in sent.packets]

    def open(self, moments: Sequence[Moment]) -> list[bytes]:
        """Make the first pivot, and give its packets.

        It is the face that is readiest to be animated, and whose pose serves most of the others.

        Args:
            moments: what has been seen of the call.

        Raises:
            FaceError: in none of the best frames a face is found once it is coded.
        """
        worth = [moment.ready * self._served(moment, moments) for moment in moments]
        for at in np.argsort(worth)[::-1][:_FIRST_TRIES]:
            if (fresh := self._new(moments[at])) is not None:
                return fresh.packets
        raise FaceError("no face was found in a pivot")

    def choose(
        self, moment: Moment, sound: Array | None, seconds: float, others: Sequence[Moment] = ()
    ) -> tuple[Sent, list[bytes]]:
        """Choose the pivot for a group, and give the packets that must go before it.

        Args:
            moment: a frame in the middle of the group, by which the pivots held are judged.
            sound: of it, as the generator hears it.
            seconds: that the group lasts.
            others: frames of the group that may be the new pivot, too.

        Raises:
            FaceError: there is no pivot yet, and in this frame no face is found once it is coded.
        """
        self._credit.passed(seconds)
        held = sorted((sent for _, sent in self._store.items()), key=lambda sent: self._distance(moment, sent))
        chosen, good = self._best(held, moment, sound, others) if held else (None, False)
        best = self._readiest_near(moment, others)
        self._readiest = max(self._readiest * _FORGET_A_SECOND**seconds, best.ready)
        if not good and (chosen is None or self._is_due(moment, chosen, best, seconds)):
            fresh = self._new(best) or self._new(moment)
            if fresh is not None:
                return fresh, fresh.packets
        if good:
            self._falls, self._waited_s = 0, 0.0
        if chosen is None:
            raise FaceError("no face was found in a pivot")
        self._current = chosen.number
        return chosen, []

    def _served(self, moment: Moment, moments: Sequence[Moment]) -> float:
        """Share of frames whose pose a pivot of this moment would serve."""
        return float(np.mean([self._apart(moment, other) <= 1 for other in moments]))

    def _readiest_near(self, moment: Moment, others: Sequence[Moment]) -> Moment:
        """The readiest face among those turned as ``moment`` is."""
        near = [other for other in others if self._apart(moment, other) <= _NEAR]
        return max([moment, *near], key=lambda candidate: candidate.ready)

    def _is_due(self, moment: Moment, chosen: Sent, best: Moment, seconds: float) -> bool:
        """Whether a new pivot is sent now that the one chosen does not serve."""
        self._falls += 1
        fell = self._falls >= _FALLS or self._distance(moment, chosen) > 1
        return fell and self._credit.allows and not self._waits(best, seconds)

    def _waits(self, best: Moment, seconds: float) -> bool:
        """Whether a readier face is worth waiting for."""
        self._waited_s += seconds
        return best.ready < _READY_SHARE * self._readiest and self._waited_s <= _MOST_WAIT_S

    def _apart(self, a: Moment, b: Moment | Sent) -> float:
        """Distance of poses, 1 being the threshold."""
        apart = a.angles.apart(b.angles)
        return max(angle / most for angle, most in zip(apart, self._settings.most_apart, strict=True))

    def _distance(self, moment: Moment, sent: Sent) -> float:
        """Of poses, 1 being the threshold; the pivot in use counts as nearer."""
        return self._apart(moment, sent) * (_LOYALTY if sent.number == self._current else 1)

    def _best(
        self, held: Sequence[Sent], moment: Moment, sound: Array | None, others: Sequence[Moment]
    ) -> tuple[Sent, bool]:
        """The best pivot held, and whether it is good enough.

        Args:
            held: at least one, the nearest pose first.
            moment, sound: the frame to make.
            others: of its group.
        """
        nearest, drop = held[0], self._settings.most_drop_db
        if self._distance(moment, nearest) > 1:
            return nearest, False
        rivals = [nearest, *(sent for sent in held[1:] if sent.number == self._current)]
        rivals = [sent for sent in rivals if self._distance(moment, sent) <= 1]
        if math.isinf(drop) or (len(rivals) == 1 and not self._credit.allows):
            return nearest, True  # nothing would come of a look
        if any(nearest.moment is other for other in others):
            return nearest, True  # as good as itself, which no later frame should be held to
        for sent in rivals:
            sent.now_db = self._quality(sent.likeness, moment, sound)
            sent.best_db = max(sent.best_db, sent.now_db)
        best = max(rivals, key=lambda sent: sent.now_db + (_LOYALTY_DB if sent.number == self._current else 0))
        return best, best.now_db >= best.best_db - drop

    def _quality(self, likeness: Likeness, moment: Moment, sound: Array | None) -> float:
        motions = tuple(motion.held_as(likeness.motion) for motion in moment.motions)  # as a receiver has them
        made = self._painter.paint(likeness, Cue(motions, sound))
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
            sent = Sent(number, likeness, moment, packets)
            self._store.put(number, sent)
            self._current, self._waited_s, self._falls = number, 0.0, 0
            return sent
        return None
