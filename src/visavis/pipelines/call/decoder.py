"""The receiving side of a call: packets in, frames and sound out."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from typing_extensions import Self

from visavis.codec.bases import Ints
from visavis.codec.bitstream import (
    End,
    Header,
    Kind,
    Mode,
    MotionGroup,
    PivotFragment,
    PointsGroup,
    Request,
    SoundBundle,
    Wanted,
    parse,
)
from visavis.codec.pivots import PivotAssembler, PivotStore
from visavis.codec.receiver import MotionReceiver, Run
from visavis.codec.sender import group_seconds
from visavis.codec.sound import Samples, SoundDecoder
from visavis.codec.transform import table_for
from visavis.core.closing import Closing
from visavis.core.errors import CodecError, FaceError
from visavis.generators.base import Generator, Prior
from visavis.media.frame import Frame
from visavis.pipelines.call.between import Between, by_motion
from visavis.pipelines.call.hearing import Hearing
from visavis.pipelines.call.painter import Likeness, Painter
from visavis.pipelines.call.player import Known, Player
from visavis.pipelines.call.weights import WeightsId
from visavis.pipelines.load import load_generator
from visavis.weights.store import DEFAULT_MODEL

STAGES = ("decode", "prepare", "render")
#: Pieces of sound of at most 60 ms that are held until they are taken.
_MOST_PIECES = 500
#: A hole in a call is filled with the last picture for so long; beyond, the picture just stands.
_MOST_FILLED_S = 10


@dataclass
class ReceivedTally:
    """What a decoder counts.

    Attributes:
        frames: made.
        concealed: of those, how many had to be made up because packets or a pivot were missing.
        damaged: packets that could not be read or used.
        ms: milliseconds in reading packets (``decode``), in preparing pivots and in rendering.
    """

    frames: int = 0
    concealed: int = 0
    damaged: int = 0
    ms: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))


class CallDecoder(Closing):
    """Turns packets into frames, whatever is lost, doubled, late or damaged on the way.

    Latency: a frame waits for the sound around it (about 230 ms after its group) and, where a group is missing, for two
    more groups; never longer. Memory does not grow with the call.

    Args:
        generator: of the same weights as the sender's.
        weights: what they are.
        between: makes the frames between those that were sent.
        every: give one of so many frames and leave out the others, for a preview or a slow machine; a call in which
            not all frames are sent is given whole, since those between need their neighbours.
    """

    def __init__(
        self, generator: Generator, weights: WeightsId, *, between: Between = by_motion, every: int = 1
    ) -> None:
        self._generator, self._weights, self._between, self._every = generator, weights, between, every
        self._table = table_for(weights.sha256, generator.layout.size, generator.layout.keypoints)
        self.header: Header | None = None
        self._painter: Painter | None = None
        self._receiver: MotionReceiver | None = None
        self._pivots: PivotStore[Likeness] = PivotStore()
        self._assembler = PivotAssembler()
        self._sound = SoundDecoder()
        self._heard: deque[Samples] = deque()
        self._hearing: Hearing | None = None
        self._player: Player | None = None
        self._requests: dict[Request, None] = {}
        self.tally = ReceivedTally()

    @classmethod
    def of(
        cls,
        model: str = DEFAULT_MODEL,
        *,
        device: str = "auto",
        precision: str = "auto",
        threads: int | None = None,
        every: int = 1,
    ) -> Self:
        """A decoder of weights by their name or path; the rest is as for the class and :func:`load_generator`."""
        generator = load_generator(model, device=device, precision=precision, threads=threads)
        return cls(generator, WeightsId.of(model), every=every)

    def close(self) -> None:
        """Free what the analysis of pivots holds."""
        if self._painter is not None:
            self._painter.close()

    @property
    def lost_groups(self) -> int:
        """Groups of frames that never came, or without the pivot they need."""
        return 0 if self._receiver is None else self._receiver.lost

    @property
    def total(self) -> int | None:
        """Number of the call's frames once its end is told."""
        return None if self._player is None else self._player.end

    def push(self, packet: bytes) -> list[Frame]:
        """Take a packet; return the frames that are ready, with times from the call's start.

        A packet that is damaged or does not fit is counted and otherwise as one that was lost.

        Raises:
            CodecError: the call's header cannot be read, or the call was made with other weights.
        """
        began = time.perf_counter()
        prepared = self.tally.ms["prepare"]
        try:
            self._take(packet)
        except (CodecError, FaceError):
            if self.header is None and packet and packet[0] >> 5 == Kind.HEADER:
                raise
            self.tally.damaged += 1
        spent = 1000 * (time.perf_counter() - began)
        self.tally.ms["decode"] += spent - (self.tally.ms["prepare"] - prepared)
        return self._play(wait=True)

    def finish(self) -> list[Frame]:
        """Return the frames that still wait for something, and end the sound."""
        self._take_sound(self._sound.finish())
        if self._receiver is not None:
            self._queue_runs(self._receiver.finish())
        return self._play(wait=False)

    def play(self, packets: Iterable[bytes]) -> Iterator[Frame]:
        """All frames of packets; sound and requests are let go."""
        for packet in packets:
            yield from self.push(packet)
            self._heard.clear()
            self._requests.clear()
        yield from self.finish()

    def take_sound(self) -> Samples:
        """The sound since the last call of this: 48 kHz mono, unbroken from the call's start."""
        sound = np.concatenate([np.zeros(0, np.float32), *self._heard])
        self._heard.clear()
        return sound

    def take_requests(self) -> list[bytes]:
        """Packets for the sender: what is missing here."""
        packets = [request.to_bytes() for request in self._requests]
        self._requests.clear()
        return packets

    def _take(self, data: bytes) -> None:
        packet = parse(data)
        if isinstance(packet, Header):
            self._begin(packet)
        elif self.header is None or self._receiver is None:
            self._requests[Request(Wanted.HEADER)] = None
        elif isinstance(packet, PivotFragment):
            self._take_pivot(packet)
        elif isinstance(packet, MotionGroup | PointsGroup):
            self._take_motion(packet)
        elif isinstance(packet, SoundBundle):
            self._take_sound(self._sound.push(packet))
        elif isinstance(packet, End) and self._player is not None:
            self._player.end = packet.frames

    def _begin(self, header: Header) -> None:
        if self.header is not None:
            return
        self._weights.check(header)
        layout = self._generator.layout
        ours = (self._generator.size, layout.keypoints, layout.jacobians, layout.mesh)
        if (header.size, header.keypoints, header.jacobians, header.mesh) != ours:
            raise CodecError("damaged header: its motion is not that of the weights it names")
        if header.table != self._table.identity:
            raise CodecError("the call was coded with another motion table; both ends need the same visavis")
        self.header = header
        self._painter = Painter(self._generator, self._table, header.mode)
        self._receiver = MotionReceiver(header, self._table, self._reference)
        if header.has_sound and Prior.MEL in self._generator.needs:
            self._hearing = Hearing()
        self._player = Player(header, self._painter, self._hearing, self._between, self._every)

    def _reference(self, number: int) -> Ints | None:
        likeness = self._pivots.get(number)
        return None if likeness is None else likeness.reference

    def _take_pivot(self, fragment: PivotFragment) -> None:
        assert self._painter is not None and self._receiver is not None
        pivot = self._assembler.push(fragment)
        if pivot is None:
            return
        held = self._pivots.get(fragment.number)
        if held is not None and held.coded == pivot.picture and np.array_equal(held.reference, pivot.reference):
            return
        began = time.perf_counter()
        try:
            self._pivots.put(fragment.number, self._painter.prepare(pivot.picture, pivot.reference))
        finally:
            self.tally.ms["prepare"] += 1000 * (time.perf_counter() - began)
        self._queue_runs(self._receiver.retry())

    def _take_motion(self, group: MotionGroup | PointsGroup) -> None:
        assert self._receiver is not None and self.header is not None
        if isinstance(group, MotionGroup) is not (self.header.mode is Mode.ADAPTIVE):
            raise CodecError("damaged motion: it is not of the call's mode")
        self._pivots.see(group.pivot)
        if self._pivots.get(group.pivot) is None:
            self._requests[Request(Wanted.PIVOT, group.pivot)] = None
        around = int(self._sound.position_s / group_seconds(self.header)) if self.header.has_sound else 0
        lost = self._receiver.lost
        self._queue_runs(self._receiver.push(group, around))
        if self._receiver.lost > lost and self.header.mode is Mode.ADAPTIVE:
            self._requests[Request(Wanted.ABSOLUTE)] = None

    def _take_sound(self, pieces: Iterator[Samples]) -> None:
        for samples in pieces:
            self._heard.append(samples)
            if len(self._heard) > _MOST_PIECES:
                self._heard.popleft()  # nobody takes it
            if self._hearing is not None:
                self._hearing.push(samples)

    def _queue_runs(self, runs: list[Run]) -> None:
        assert self.header is not None and self._painter is not None and self._player is not None
        for run in runs:
            held = self._pivots.items()
            named = None if run.pivot is None else self._pivots.get(run.pivot)
            likeness = named or (held[-1][1] if held else None)
            if likeness is None or run.values is None:
                continue
            first = run.number * self.header.group
            for at, vector in enumerate(self._painter.vectors(run.values, likeness)):
                self._player.push(Known(first + at, likeness, vector, run.concealed or named is None))

    def _play(self, *, wait: bool) -> list[Frame]:
        if self._player is None or self.header is None:
            return []
        began = time.perf_counter()
        frames = []
        for played in self._player.ready(wait=wait):
            if self.total is None or played.frame.time * self.header.fps < self.total:
                self.tally.frames += 1
                self.tally.concealed += played.concealed
                frames.append(played.frame)
        self.tally.ms["render"] += 1000 * (time.perf_counter() - began)
        return frames


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
