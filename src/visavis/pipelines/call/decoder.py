"""The receiving side of a call: packets in, frames and sound out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from typing_extensions import Self

from visavis.codec.bitstream import Header, Kind, Request, Wanted, parse
from visavis.codec.sound import RATE_HZ, Samples
from visavis.codec.transform import table_for
from visavis.core.closing import Closing
from visavis.core.errors import CodecError
from visavis.generators.base import Generator
from visavis.media.frame import Frame, Pixels
from visavis.nn.engine import Engine
from visavis.pipelines.call.between import Begin, Between, by_motion
from visavis.pipelines.call.incoming import IncomingCall
from visavis.pipelines.call.player import Played
from visavis.pipelines.call.weights import WeightsId
from visavis.pipelines.load import load_generator
from visavis.pipelines.spent import Spent
from visavis.pipelines.stages import Promise, made_at_once
from visavis.weights.store import DEFAULT_MODEL

STAGES = ("decode", "prepare", "render")
#: A hole in a call is filled with the last picture for so long; beyond, the picture just stands.
_MOST_FILLED_S = 10


@dataclass
class ReceivedTally:
    """What a decoder counts.

    Attributes:
        frames: made.
        concealed: of those, how many had to be made up because packets or a pivot were missing.
        damaged: packets and pivots that could not be read or used.
        spent: counts what reading packets takes (``decode``), preparing pivots, and rendering frames that were sent.
    """

    frames: int = 0
    concealed: int = 0
    damaged: int = 0
    spent: Spent = field(default_factory=lambda: Spent(STAGES))


class CallDecoder(Closing):
    """Turns packets into frames, whatever is lost, doubled, late or damaged on the way.

    Latency: a frame waits for the sound that the generator hears around it (avfr: about 230 ms after its group) and,
    where a group is missing, for two more groups; never longer. Memory does not grow with the call, and no packet costs
    more than what it brings: frames of its group, and of at most eight that are missing before it.

    Args:
        generator: of the same weights as the sender's.
        weights: what they are.
        between: makes the frames between those that were sent.
        every: give one of so many frames and leave out the others, for a preview or a slow machine; a call in which
            not all frames are sent is given whole, since those between need their neighbours.
        begin: begins to paint a picture: a file's several at once. A frame that is played is waited for.
        whole: whether the packets are a call from its start, as a file is. Then motion begins at the beginning; in a
            stream that is joined late the sound says where it begins, and so what a stranger's sound claims. Memory
            that only pivots need is freed after each, and a new one costs some tenths of a second more.
    """

    def __init__(
        self,
        generator: Generator,
        weights: WeightsId,
        *,
        between: Between = by_motion,
        every: int = 1,
        begin: Begin = made_at_once,
        whole: bool = False,
    ) -> None:
        self._generator, self._weights, self._between, self._every = generator, weights, between, every
        self._begin, self._whole = begin, whole
        self._table = table_for(weights.motion, generator.kind.layout)
        self._call: IncomingCall | None = None
        self._asks_for_header = False
        self.tally = ReceivedTally()

    @classmethod
    def of(
        cls,
        model: str = DEFAULT_MODEL,
        *,
        engine: Engine | None = None,
        every: int = 1,
    ) -> Self:
        """A decoder of weights by their name or path; the rest is as for the class and :func:`load_generator`."""
        generator = load_generator(model, engine)
        return cls(generator, WeightsId.of(model), every=every)

    def close(self) -> None:
        """Free what the analysis of pivots holds."""
        if self._call is not None:
            self._call.close()

    @property
    def header(self) -> Header | None:
        """The call's, once it came."""
        return None if self._call is None else self._call.header

    @property
    def lost_groups(self) -> int:
        """Groups of frames that never came, or without the pivot they need."""
        return 0 if self._call is None else self._call.receiver.lost

    @property
    def total(self) -> int | None:
        """Number of the call's frames once its end is told."""
        return None if self._call is None else self._call.total

    def push(self, packet: bytes) -> list[Frame]:
        """Take a packet; return the frames that are ready, with times from the call's start.

        A packet that is damaged or does not fit is counted and otherwise as one that was lost.

        Raises:
            CodecError: the call's header cannot be read, or the call was made with other weights.
        """
        return [played.frame() for played in self._pushed(packet)]

    def finish(self) -> list[Frame]:
        """Return the frames that still wait for something, and end the sound."""
        return [played.frame() for played in self._finished()]

    def play(self, packets: Iterable[bytes]) -> Iterator[Frame]:
        """All frames of packets; sound and requests are let go."""
        return (played.frame() for played in self.begun(packets))

    def begun(self, packets: Iterable[bytes]) -> Iterator[Played]:
        """All frames of packets, of which each is being painted; sound and requests are let go."""
        for packet in packets:
            yield from self._pushed(packet)
            if self._call is not None:
                self._call.heard.clear()
            self.take_requests()
        yield from self._finished()

    def _pushed(self, packet: bytes) -> Iterator[Played]:
        began = time.perf_counter()
        try:
            self._take(packet)
        except CodecError:
            if self._call is None and packet and packet[0] >> 5 == Kind.HEADER:
                raise
            self.tally.damaged += 1
        self._count(began)
        yield from self._play(wait=True)

    def _finished(self) -> Iterator[Played]:
        began = time.perf_counter()
        if self._call is not None:
            self._call.finish()
        self._count(began)
        yield from self._play(wait=False)

    @property
    def sound_time(self) -> Fraction:
        """Seconds from the call's start to the first sample that :meth:`take_sound` gives next."""
        return Fraction(0 if self._call is None else self._call.heard.first, RATE_HZ)

    def take_sound(self) -> Samples:
        """The sound since the last call of this: 48 kHz mono, unbroken from the call's start.

        Where sound is missing there is silence. It must be paid for by sound and frames that came, second for second,
        with ten seconds in advance; a longer hole ends what is given, and :attr:`sound_time` says where it goes on.
        """
        return np.zeros(0, np.float32) if self._call is None else self._call.heard.take()

    def take_requests(self) -> list[bytes]:
        """Packets for the sender: what is missing here."""
        requests = [] if self._call is None else self._call.take_requests()
        if self._asks_for_header:
            requests = [Request(Wanted.HEADER)]
        self._asks_for_header = False
        return [request.to_bytes() for request in requests]

    def _take(self, data: bytes) -> None:
        packet = parse(data)
        if self._call is not None:
            self._call.take(packet)
        elif isinstance(packet, Header):
            self._weights.check(packet)
            self._call = IncomingCall(
                packet, self._generator, self._table, self._between, self._paint, self._every, whole=self._whole
            )
            self._asks_for_header = False
        else:
            self._asks_for_header = True

    def _count(self, since: float) -> None:
        """Account for what reading packets took, preparing pivots apart, and for pivots that are of no use."""
        spent = 1000 * (time.perf_counter() - since)
        if self._call is not None:
            prepared, useless = self._call.pivots.take_counts()
            self.tally.spent.ms["prepare"] += prepared
            self.tally.damaged += useless
            spent -= prepared
        self.tally.spent.ms["decode"] += spent

    def _play(self, *, wait: bool) -> Iterator[Played]:
        for played in () if self._call is None else self._call.played(wait=wait):
            self.tally.frames += 1
            self.tally.concealed += played.concealed
            yield played

    def _paint(self, paint: Callable[[], Pixels]) -> Promise[Pixels]:
        """Begin to paint a picture, and count what it takes."""

        def painted() -> Pixels:
            clock = time.perf_counter()
            picture = paint()
            self.tally.spent("render", clock)
            return picture

        return self._begin(painted)


def filled(frames: Iterator[Frame], decoder: CallDecoder, fps: Fraction) -> Iterator[Frame]:
    """Repeat pictures where frames are missing, at the beginning and at the end too, unless a hole is long."""
    most = int(_MOST_FILLED_S * fps)
    last: Frame | None = None
    number = 0
    for frame in frames:
        at = round(frame.time * fps)
        if at - number <= most:
            for missing in range(number, at):
                yield Frame((last or frame).pixels, missing / fps)
        yield frame
        last, number = frame, at + 1
    total = decoder.total or 0
    if last is not None and total - number <= most:
        for missing in range(number, total):
            yield Frame(last.pixels, missing / fps)
