"""A call that comes in, from its header on: packets to motion, pivots, sound and pictures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from visavis.codec.bitstream import (
    End,
    Header,
    Mode,
    MotionGroup,
    Packet,
    PivotFragment,
    PointsGroup,
    Request,
    SoundBundle,
    Wanted,
)
from visavis.codec.receiver import MotionReceiver, Run
from visavis.codec.sender import group_seconds
from visavis.codec.sound import Piece, SoundDecoder
from visavis.codec.transform import MotionTable, count_points
from visavis.core.closing import Closing
from visavis.core.errors import CodecError
from visavis.generators.base import Generator
from visavis.nn.graph import Step
from visavis.pipelines.call.between import Begin, Between
from visavis.pipelines.call.heard import HeardSound
from visavis.pipelines.call.hearing import Hearing
from visavis.pipelines.call.held import HeldPivots
from visavis.pipelines.call.painter import Painter
from visavis.pipelines.call.player import Known, Played, Player
from visavis.pipelines.render import Cues


class IncomingCall(Closing):
    """All that a receiver keeps of one call.

    Args:
        header: of the call.
        generator: of the weights that it names.
        table: of motion.
        between: makes the frames between those that were sent.
        begin: begins to paint a picture.
        every: paint one of so many frames.
        whole: whether it is a file, had from its start: sound does not say where motion begins, and pivots can wait.

    Attributes:
        header: of the call.
        heard: its sound.
        receiver: of its motion.
        pivots: that are held.

    Raises:
        CodecError: the header does not fit the generator or the table.
    """

    def __init__(
        self,
        header: Header,
        generator: Generator,
        table: MotionTable,
        between: Between,
        begin: Begin,
        every: int,
        *,
        whole: bool = False,
    ) -> None:
        layout = table.layout
        if (header.size, header.values, header.layout) != (generator.size, layout.size, layout.identity):
            raise CodecError("damaged header: its motion is not that of the weights it names")
        if header.mode is Mode.PAPER80 and not count_points(layout):
            raise CodecError("damaged header: it promises keypoints, and the motion of its weights has none")
        if header.table != table.identity:
            raise CodecError("the call was coded with another motion table; both ends need the same visavis")
        self.header = header
        self._painter = Painter(generator, table, header.mode, frozenset({Step.RENDER}) if whole else None)
        self.pivots = HeldPivots(self._painter)
        self.receiver = MotionReceiver(header, table, self.pivots.reference)
        self._sound = SoundDecoder()
        self.heard = HeardSound()
        hears = generator.hears if header.has_sound else None
        self._hearing = None if hears is None else Hearing(hears)
        cues = Cues(generator, None if self._hearing is None else self._hearing.at)
        self._player = Player(header, self._painter, cues, self._hearing, between, begin, every)
        self._requests: dict[Request, None] = {}
        self._placed_by_sound = header.has_sound and not whole

    def close(self) -> None:
        """Free what the analysis of pivots holds."""
        self._painter.close()

    @property
    def total(self) -> int | None:
        """Number of the call's frames once its end is told."""
        return self._player.end

    def take(self, packet: Packet) -> None:
        """Take a packet.

        Raises:
            CodecError: it is damaged, or is not of this call.
        """
        if isinstance(packet, PivotFragment):
            if self.pivots.take(packet):
                self._queue(self.receiver.retry())
        elif isinstance(packet, MotionGroup | PointsGroup):
            self._take_motion(packet)
        elif isinstance(packet, SoundBundle):
            self._take_sound(self._sound.push(packet))
        elif isinstance(packet, End):
            self._player.end = packet.frames

    def finish(self) -> None:
        """Let nothing wait any longer."""
        self._take_sound(self._sound.finish())
        self._queue(self.receiver.finish())

    def played(self, *, wait: bool) -> Iterator[Played]:
        """The pictures that are ready; all of them if ``wait`` is False."""
        for played in self._player.ready(wait=wait):
            if self.total is None or played.time * self.header.fps < self.total:
                self.heard.earn(float(1 / self.header.fps))
                yield played

    def take_requests(self) -> list[Request]:
        """What is missing here."""
        requests = list(self._requests)
        self._requests.clear()
        return requests

    def _take_motion(self, group: MotionGroup | PointsGroup) -> None:
        if isinstance(group, MotionGroup) is not (self.header.mode is Mode.ADAPTIVE):
            raise CodecError("damaged motion: it is not of the call's mode")
        if not self.pivots.see(group.pivot):
            self._requests[Request(Wanted.PIVOT, group.pivot)] = None
        around = int(self._sound.position_s / group_seconds(self.header)) if self._placed_by_sound else 0
        lost = self.receiver.lost
        self._queue(self.receiver.push(group, around))
        if self.receiver.lost > lost and self.header.mode is Mode.ADAPTIVE:
            self._requests[Request(Wanted.ABSOLUTE)] = None

    def _take_sound(self, pieces: Iterable[Piece]) -> None:
        for piece in pieces:
            self.heard.push(piece)
            if self._hearing is not None:
                self._hearing.push(piece)

    def _queue(self, runs: list[Run]) -> None:
        for run in runs:
            named = None if run.pivot is None else self.pivots.likeness(run.pivot)
            likeness = named or self.pivots.newest()
            if likeness is None or run.values is None:
                continue
            first = run.number * self.header.group
            for at, motion in enumerate(self._painter.motions(run.values, likeness)):
                self._player.push(Known(first + at, likeness, motion, run.concealed or named is None))
