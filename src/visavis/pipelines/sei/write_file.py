"""A video's own stream with the motion of its face in messages.

Nothing is coded again: the pictures stay what they are to any player. At each key frame a base message tells the
motion of the coded picture; a message at each later picture drives a picture from that base, whatever came between.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np

from visavis.codec.sei.gfv import GfvWriter
from visavis.codec.sei.message import motion_message
from visavis.codec.transform import POINTS, count_points
from visavis.core.errors import ConfigError, MediaError
from visavis.face.align import Crop, crop_for
from visavis.generators.base import Generator
from visavis.media.output import check_output
from visavis.media.reader import VideoReader
from visavis.media.remux import REMUX_KINDS, PacketReader, Remux
from visavis.media.still import is_picture
from visavis.motion.layout import Motion
from visavis.nn.engine import Engine
from visavis.pipelines.analyse import Analyser
from visavis.pipelines.files import Progress
from visavis.pipelines.load import load_generator
from visavis.pipelines.seen import seen_ahead
from visavis.pipelines.sei.read_file import packing_of
from visavis.weights.store import DEFAULT_MODEL

_JACOBIANS = "jacobians"
#: Binary places: of points a step is an eighth of a pixel of 256, of matrices they are as the standard's software has.
_POINT_BITS, _MATRIX_BITS = 10, 8
#: Pictures that a coder may have moved back in the order of its stream.
_MOST_WAITING = 64


@dataclass(frozen=True)
class SeiOptions:
    """How to write messages.

    Attributes:
        model: name or path of weights whose motion has keypoints.
        face: which face, 0 for the largest.
        engine: where and how to compute.
        force: replace an existing result.
    """

    model: str = DEFAULT_MODEL
    face: int = 0
    engine: Engine = field(default_factory=Engine)
    force: bool = False


@dataclass(frozen=True)
class WriteReport:
    """What was written.

    Attributes:
        standard: ``h264`` or ``h265``.
        pictures: coded ones.
        messages: written; a picture in which no face is seen has none.
        base: of those, how many tell the motion of a key frame.
        keypoints: in each.
        bytes: of all messages.
        kbps: of them.
        seconds: of the pictures.
    """

    standard: str
    pictures: int
    messages: int
    base: int
    keypoints: int
    bytes: int
    kbps: float
    seconds: float

    def as_json(self) -> dict[str, object]:
        """Plain values."""
        return asdict(self)


def write_sei(video: Path, output: Path, options: SeiOptions, progress: Progress | None = None) -> WriteReport:
    """Copy a video with the motion of its face in messages; pictures and sound stay as they are coded.

    Points are in [-1, 1] over the upright picture, and matrices are of that space, whatever square the face was cut
    out of.

    Args:
        video: of H.264 or H.265.
        output: of one of the kinds in :data:`visavis.media.remux.REMUX_KINDS`.
        options: see :class:`SeiOptions`.
        progress: called with pictures done and the expected total, or None when unknown.

    Raises:
        VisavisError: bad input, no face, weights or output that cannot be used; nothing is left at ``output``.
    """
    check_output(output, [video], force=options.force, kinds=REMUX_KINDS)
    if is_picture(video):
        raise MediaError(f"{video}: is a still picture; messages go into a video")
    with ExitStack() as stack:
        frames = stack.enter_context(VideoReader(video))
        packets = stack.enter_context(PacketReader(video, sound=True))
        packing = packing_of(packets)
        generator = load_generator(options.model, options.engine)
        layout = generator.kind.layout
        if not count_points(layout):
            raise ConfigError(f"{options.model}: its motion has no keypoints, and the messages need some")
        motions = _Motions(stack.enter_context(_Sight(video, frames, generator, options.face)))
        remux = stack.enter_context(Remux(output, packets, replace=options.force))
        writer = _MessageWriter()
        pictures = size = 0
        end = Fraction(0)
        for coded in packets:
            data = coded.data
            if coded.is_picture:
                payloads = writer.write(motions.at(coded.time), is_key=bool(coded.packet.is_keyframe))
                data, size = packing.insert(data, payloads), size + sum(map(len, payloads))
                pictures, end = pictures + 1, max(end, coded.time or Fraction(0))
                if progress is not None:
                    progress(pictures, frames.info.frames)
            remux.write(coded, data)
        if not writer.messages:
            raise MediaError(f"{video}: its frames have no times of their own; put it into .mp4 or .mkv first")
    seconds = float(end + 1 / frames.info.fps)
    return WriteReport(
        standard=packing.standard.value,
        pictures=pictures,
        messages=writer.messages,
        base=writer.base,
        keypoints=count_points(layout),
        bytes=size,
        kbps=round(8 * size / seconds / 1000, 3),
        seconds=round(seconds, 6),
    )


class _MessageWriter:
    """Writes the message of each coded picture, in the order of the stream."""

    def __init__(self) -> None:
        self._writer = GfvWriter()
        self._has_base = False
        self.messages = self.base = 0

    def write(self, motion: Motion | None, *, is_key: bool) -> list[bytes]:
        """The payloads that go before a picture; none where nothing is known of its motion."""
        # What follows a key frame must not need what came before it.
        self._has_base = self._has_base and not is_key
        if motion is None:
            return []
        base, jacobians = not self._has_base, None
        if _JACOBIANS in motion:
            jacobians = motion[_JACOBIANS]
        message = motion_message(
            motion[POINTS],
            jacobians,
            base=base,
            predict_points=not base,
            predict_matrices=not base and jacobians is not None,
            point_bits=_POINT_BITS,
            matrix_bits=_MATRIX_BITS,
        )
        payload, _ = self._writer.write(message)
        self._has_base = True
        self.messages, self.base = self.messages + 1, self.base + base
        return [payload]


class _Sight:
    """Yields the time and the motion of each frame, in the space of the picture; None where no face is seen."""

    def __init__(self, video: Path, frames: VideoReader, generator: Generator, face: int) -> None:
        self._frames, self._generator = frames, generator
        with VideoReader(video) as ahead, Analyser((), face=face) as analyser:
            faces = [seen.face for seen in seen_ahead(ahead, analyser, which=face)]
        self._crop = crop_for(faces, frames.info.height, frames.info.width)
        self._analyser = Analyser(generator.needs_of_driver, face=face)

    def __enter__(self) -> Iterator[tuple[Fraction, Motion | None]]:
        return self._look()

    def __exit__(self, *_: object) -> None:
        self._analyser.close()

    def _look(self) -> Iterator[tuple[Fraction, Motion | None]]:
        for frame in self._frames:
            face = self._analyser.find(frame)
            if face is None:
                yield frame.time, None
                continue
            self._crop = self._analyser.follow(self._crop, face)
            seen = self._analyser.observe(frame, face, self._crop, self._generator.size)
            motion = self._generator.analyse(seen)
            yield frame.time, in_picture(motion, self._crop, *frame.pixels.shape[:2])


def in_picture(motion: Motion, crop: Crop, height: int, width: int) -> Motion:
    """Keypoints and jacobians in [-1, 1] over a whole picture rather than over its crop; other parts stay."""
    size = np.array([width, height], np.float32)
    scale = np.float32(crop.side) / size
    corner = 2 * np.array([crop.left, crop.top], np.float32) / size - 1
    parts = {POINTS: (motion[POINTS] + 1) * scale + corner}
    if _JACOBIANS in motion:
        # Rows are coordinates of the picture, columns those of the space that all pictures share.
        parts[_JACOBIANS] = motion[_JACOBIANS] * scale[:, None]
    return motion.with_parts(**parts)


class _Motions:
    """Finds the motion of coded pictures, which come in another order than they are shown in."""

    def __init__(self, seen: Iterator[tuple[Fraction, Motion | None]]) -> None:
        self._seen = seen
        self._waiting: dict[Fraction, Motion | None] = {}
        self._newest = Fraction(-1)

    def at(self, time: Fraction | None) -> Motion | None:
        """Of the picture that is shown at ``time``; each is asked for once."""
        if time is None:
            return None
        while self._newest < time and (frame := next(self._seen, None)) is not None:
            self._newest, self._waiting[frame[0]] = frame[0], frame[1]
        for old in list(self._waiting)[:-_MOST_WAITING]:
            del self._waiting[old]
        return self._waiting.pop(time, None)
