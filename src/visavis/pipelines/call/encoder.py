"""The sending side of a call: frames and sound in, packets out."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from typing_extensions import Self

from visavis.codec.bitstream import End, Header, Kind, Request, Wanted, parse
from visavis.codec.rate import budget
from visavis.codec.sender import MotionSender, group_for, group_seconds
from visavis.codec.sound import Piece, Samples, SoundEncoder
from visavis.codec.stills import LEAST_SIDE, MOST_SIDE
from visavis.codec.transform import table_for
from visavis.core.closing import Closing
from visavis.core.errors import CodecError, ConfigError, FaceError
from visavis.face.align import Crop
from visavis.face.pose import head_angles
from visavis.face.readiness import readiness
from visavis.generators.base import Generator
from visavis.media.frame import Frame
from visavis.motion.history import History, on_the_way
from visavis.motion.layout import Motion
from visavis.nn.engine import Engine
from visavis.nn.graph import Step
from visavis.pipelines.call.choice import Moment, PivotChooser
from visavis.pipelines.call.hearing import Hearing
from visavis.pipelines.call.looker import Looker, Sighting
from visavis.pipelines.call.opening import LIVE_LOOK_S, Group, Opening
from visavis.pipelines.call.painter import Painter
from visavis.pipelines.call.settings import MODES, CallSettings
from visavis.pipelines.call.weights import WeightsId
from visavis.pipelines.load import load_generator
from visavis.weights.store import DEFAULT_MODEL

STAGES = ("analyse", "motion", "code")


@dataclass
class SentTally:
    """What an encoder counts.

    Attributes:
        frames: pushed.
        coded: whose motion was sent.
        frames_without_face: of those coded; they hold the last motion.
        ms: milliseconds in finding the face and its priors (``analyse``), in the generator's detector (``motion``) and
            in all else, the rendering of frames to look at included (``code``).
    """

    frames: int = 0
    coded: int = 0
    frames_without_face: int = 0
    ms: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))


class CallEncoder(Closing):
    """Turns frames and sound into packets, a group of frames at a time.

    Latency: a frame waits until its group is full (:attr:`latency_ms`, 280 ms at 25 frames a second by default), and
    sound until two Opus packets are (120 ms). At the call's beginning frames wait, once, until the first pivot has been
    chosen (:attr:`first_latency_ms`, 600 ms by default). Memory does not grow with the call.

    Args:
        generator: of the weights.
        weights: what the header says of them.
        fps: rate at which frames come, exactly.
        settings: see :class:`CallSettings`.
        crop: square of the frames that is sent; None cuts around the first face that is seen.
        face: which face, 0 for the largest.
        has_sound: whether sound comes with the frames.
        look_s: seconds in which the first pivot is looked for; 0 takes it from the first group with a face.
        sound_waits: whether sound waits for that, too, so that it lies beside its pictures, as it should in a file.
        lean: free memory that only pivots need after each; a new one then costs some tenths of a second more.

    Raises:
        ConfigError: the generator's pictures cannot be pivots, or its motion cannot go in this mode.
        CodecError: the motion table of the weights is damaged or does not fit them.
    """

    def __init__(
        self,
        generator: Generator,
        weights: WeightsId,
        *,
        fps: Fraction,
        settings: CallSettings | None = None,
        crop: Crop | None = None,
        face: int = 0,
        has_sound: bool = False,
        look_s: Fraction = LIVE_LOOK_S,
        sound_waits: bool = False,
        lean: bool = False,
    ) -> None:
        settings = settings or CallSettings()
        if generator.size % 2 or not LEAST_SIDE <= generator.size <= MOST_SIDE:
            raise ConfigError(
                f"weights for pictures of {generator.size} a side cannot call; even sides of {LEAST_SIDE} to "
                f"{MOST_SIDE} can"
            )
        layout = generator.kind.layout
        table = table_for(weights.motion, layout)
        group = settings.group or group_for(settings.interpolate)
        settings.check_motion(layout, group, weights.name)
        self.header = Header(
            mode=MODES[settings.mode],
            fps=fps,
            size=generator.size,
            values=layout.size,
            layout=layout.identity,
            group=group,
            interpolated=settings.interpolate,
            has_sound=has_sound,
            weights=bytes.fromhex(weights.sha256),
            table=table.identity,
            model=weights.name,
        )
        share = budget(settings.kbps)
        self._generator = generator
        self._looker = Looker(generator, settings.interpolate, crop=crop, face=face)
        self._painter = Painter(generator, table, self.header.mode, {Step.ANALYSE, Step.RENDER} if lean else None)
        self._chooser = PivotChooser(self._painter, settings, share)
        self._sender = MotionSender(self.header, table, share.motion_bits)
        self._sound = SoundEncoder(settings.sound_kbps) if has_sound else None
        self._hearing = Hearing(generator.hears) if has_sound and generator.hears is not None else None
        self._history = History(generator.memory)
        self._group: list[Moment | None] = []
        self._opening = Opening(self.header, look_s, sound_waits=sound_waits)
        self._last: Moment | None = None
        self._uncoded: Frame | None = None
        self._heard = 0  # samples of sound
        self._tally = SentTally()

    @property
    def tally(self) -> SentTally:
        """What was counted so far."""
        self._tally.ms["analyse"] = self._looker.spent_ms
        return self._tally

    @classmethod
    def of(
        cls,
        model: str = DEFAULT_MODEL,
        *,
        fps: Fraction | int,
        settings: CallSettings | None = None,
        has_sound: bool = False,
        engine: Engine | None = None,
    ) -> Self:
        """An encoder of weights by their name or path; the rest is as for the class and :func:`load_generator`."""
        generator = load_generator(model, engine)
        return cls(generator, WeightsId.of(model), fps=Fraction(fps), settings=settings, has_sound=has_sound)

    def close(self) -> None:
        """Free what the analysis holds."""
        self._looker.close()
        self._painter.close()

    @property
    def pivots(self) -> int:
        """Number of pivots sent so far."""
        return self._chooser.count

    @property
    def latency_ms(self) -> float:
        """Milliseconds that the first frame of a group waits for its last."""
        return 1000 * float(group_seconds(self.header) - (self.header.interpolated + 1) / self.header.fps)

    @property
    def first_latency_ms(self) -> float:
        """Milliseconds that the call's first frame waits until its pivot has been chosen."""
        return self._opening.latency_ms

    def push(self, frame: Frame, sound: Samples | None = None) -> list[bytes]:
        """Take the next frame and the sound from its time to the next frame's; return the packets that are ready.

        Args:
            frame: full picture; its time must increase.
            sound: mono ``float32 [N]`` at 48 kHz.
        """
        return self.push_seen(self.see(frame), sound)

    def see(self, frame: Frame) -> Sighting:
        """Analyse the next frame, for :meth:`push_seen`; a thread of its own may do so ahead of it, in order."""
        return self._looker.see(frame)

    def push_seen(self, sighting: Sighting, sound: Samples | None = None) -> list[bytes]:
        """As :meth:`push`, for a frame that :meth:`see` has seen."""
        packets = [] if self.tally.frames else [self.header.to_bytes()]
        if self._sound is not None and sound is not None:
            packets += self._beside(self._sound.push(sound))
            if self._hearing is not None:
                self._hearing.push(Piece(self._heard, sound))
            self._heard += len(sound)
        if sighting.unlooked is None:
            packets += self._code(sighting)
        else:
            self._uncoded = sighting.unlooked
        self.tally.frames += 1
        return packets

    def finish(self) -> list[bytes]:
        """Return the packets of what was pushed and not sent yet.

        Raises:
            FaceError: no frame of the call showed a face.
        """
        packets = self._code(self._looker.look(self._uncoded)) if self._uncoded is not None else []
        if self._group:
            self._group += [None] * (self.header.group - len(self._group))
            packets += self._take_group()
        packets += self._open() if self._opening.groups else []
        if self._last is None:
            raise FaceError("the video shows no face in any frame")
        # The end is told before the last group, which is filled up, so that it is cut there.
        last = max((at for at, packet in enumerate(packets) if packet[0] >> 5 in (Kind.MOTION, Kind.POINTS)), default=0)
        packets.insert(last, End(self.tally.frames).to_bytes())
        return packets + (self._sound.finish() if self._sound is not None else [])

    def receive(self, data: bytes) -> list[bytes]:
        """Take a packet of the other side's and return the answer to it.

        Raises:
            CodecError: it is damaged, or no request.
        """
        request = parse(data)
        if not isinstance(request, Request):
            raise CodecError("a sender takes requests only")
        self._sender.ask_absolute()
        if request.wanted is Wanted.HEADER:
            return [self.header.to_bytes(), *self._chooser.packets_of_all()]
        return self._chooser.packets_again(request.number) if request.wanted is Wanted.PIVOT else []

    def _code(self, sighting: Sighting) -> list[bytes]:
        self._uncoded = None
        self._group.append(self._moment(sighting))
        return self._take_group() if len(self._group) == self.header.group else []

    def _moment(self, sighting: Sighting) -> Moment | None:
        """The motion of a frame; None where no face is seen."""
        self.tally.coded += 1
        if sighting.seen is None or sighting.face is None or sighting.judged is None:
            self.tally.frames_without_face += 1
            if self._history.last is not None:
                self._follow(self._history.last)
            return None
        began = time.perf_counter()
        motion = self._generator.analyse(sighting.seen)
        self._count("motion", began)
        angles = head_angles(sighting.face.mesh)
        return Moment(sighting.seen.picture, self._follow(motion), angles, readiness(sighting.judged).total)

    def _follow(self, motion: Motion) -> tuple[Motion, ...]:
        """The motions that a receiver renders the next coded frame with, those between coded frames included."""
        last, apart = self._history.last, self.header.interpolated + 1
        if last is not None and self._generator.memory:
            for number in range(1, apart):
                self._history.push(on_the_way(last, motion, number / apart))
        return self._history.push(motion)

    def _take_group(self) -> list[bytes]:
        group, self._group = self._group, []
        if self._last is not None:
            return self._send(group)
        if not self._opening.push(group):
            self._sender.skip()
            return self._opening.take_sound()
        return self._open() if self._opening.is_over else []

    def _open(self) -> list[bytes]:
        """Choose the first pivot, and send what was held back for it."""
        began = time.perf_counter()
        seen = self._opening.seen
        held, after = self._opening.take(), self._opening.take_sound()
        try:
            packets = self._chooser.open(seen)
        except FaceError:
            for _ in held:
                self._sender.skip()
            return [*(packet for sound, _ in held for packet in sound), *after]
        self._count("code", began)
        self._last = seen[0]
        for sound, group in held:
            packets += [*sound, *self._send(group)]
        return [*packets, *after]

    def _beside(self, sound: list[bytes]) -> list[bytes]:
        """Packets of sound, unless they wait with the pictures."""
        return sound if self._last is not None else self._opening.hear(sound)

    def _send(self, moments: Group) -> list[bytes]:
        began = time.perf_counter()
        seen = [moment for moment in moments if moment is not None]
        middle = self._start_time() + self.header.group // 2 * (self.header.interpolated + 1) / self.header.fps
        sound = None if self._hearing is None else self._hearing.at(middle)
        vectors = []
        for moment in moments:
            self._last = moment or self._last
            assert self._last is not None
            vectors.append(self._last.motion.vector)
        judged = next((moment for moment in moments[len(moments) // 2 :] if moment is not None), self._last)
        assert judged is not None
        pivot, packets = self._chooser.choose(judged, sound, float(group_seconds(self.header)), seen)
        packet, _ = self._sender.code(np.stack(vectors), pivot.number, pivot.likeness.reference)
        self._count("code", began)
        return [*packets, packet]

    def _start_time(self) -> Fraction:
        """Time of the first frame of the group that was filled last."""
        return self._sender.groups * group_seconds(self.header)

    def _count(self, stage: str, since: float) -> float:
        now = time.perf_counter()
        self.tally.ms[stage] += 1000 * (now - since)
        return now
