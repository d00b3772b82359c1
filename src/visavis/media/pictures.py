"""The pictures of a video file as FFmpeg decodes them, with their times."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from heapq import heappop, heappush
from pathlib import Path

import av.error
from av.packet import Packet
from av.video.frame import VideoFrame

from visavis.core.closing import Closing
from visavis.media.container import (
    duration_of,
    has_clock_of_its_own,
    open_input,
    seek,
    sound_stream,
    start_of,
    tells_display_time,
    video_stream,
)
from visavis.media.deinterlace import Deinterlacer
from visavis.media.hdr import HLG, PQ
from visavis.media.rate import frame_rate
from visavis.media.timeline import joined

_MOST_BROKEN_IN_A_ROW = 500
#: Pixels further from square than this are damage, not a shape: anamorphic film has 2.
_WIDEST_PIXEL = 4
#: How much before the time that is asked for decoding has to begin at the latest, and packets held until then.
_RUN_UP_S, _MOST_HELD = Fraction(1, 2), 2000
#: More packets than this, of a coder's reordering and of the threads that decode, never wait for their pictures.
_MOST_HELD_BACK = 48

#: A picture and its time in seconds from the file's start, None where the file does not say.
Timed = tuple[VideoFrame, Fraction | None]


class CodedPictures(Closing):
    """Decodes a file's pictures.

    Args:
        path: the file.
        start: seconds to begin at; pictures somewhat before may come, too.

    Attributes:
        damaged: packets that could not be decoded so far.
        rate: frames a second.
        duration: seconds, or None when the file does not say.
        frames: number of frames the header claims, or None.
        has_sound: whether there is a sound stream.
        codec: FFmpeg's name of the coding.
    """

    def __init__(self, path: Path, start: Fraction = Fraction(0)) -> None:
        self.damaged = 0
        self._start = start
        self._container = open_input(path)
        try:
            self._stream = video_stream(path, self._container)
            self._stream.thread_type = "AUTO"
            self.rate = frame_rate(path, self._container, self._stream)
            self.duration = duration_of(self._container, self._stream)
            self.frames = self._stream.frames or None
            self.has_sound = sound_stream(self._container) is not None
            self._order = None if tells_display_time(self._container) else _Order()
            self._coded_shape = self._stream.codec_context.sample_aspect_ratio
            self.codec = self._stream.codec_context.name
            if start > 0:
                seek(self._container, self._stream, start)
        except BaseException:
            self._container.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    @property
    def transfer(self) -> int | None:
        """The transfer function when it is one of high dynamic range."""
        transfer = int(self._stream.codec_context.color_trc or 0)
        return transfer if transfer in (PQ, HLG) else None

    @property
    def pixel_shape(self) -> Fraction:
        """Width of a pixel over its height, in the picture decoded last."""
        # The container's word comes first; but the coding's may change from picture to picture.
        coded = self._stream.codec_context.sample_aspect_ratio
        changed = coded is not None and coded != self._coded_shape
        shape = (coded if changed else self._stream.sample_aspect_ratio) or Fraction(1)
        return shape if Fraction(1, _WIDEST_PIXEL) <= shape <= _WIDEST_PIXEL else Fraction(1)

    def __iter__(self) -> Iterator[Timed]:
        origin = start_of(self._container)
        deinterlacer = Deinterlacer()
        for picture in self._decoded():
            for done in deinterlacer.push(picture):
                yield done, _time(done, origin)
        for done in deinterlacer.finish():
            yield done, _time(done, origin)

    def _decoded(self) -> Iterator[VideoFrame]:
        broken = 0
        packets = self._packets()
        while broken < _MOST_BROKEN_IN_A_ROW:
            try:
                packet = next(packets, None)
                if packet is None:
                    return
                for picture in self._pictures_of(packet):
                    broken = 0
                    yield picture
            except av.error.EOFError:
                return
            except (av.error.FFmpegError, ValueError):
                self.damaged += 1
                broken += 1

    def _pictures_of(self, packet: Packet) -> Iterator[VideoFrame]:
        if self._order is None:
            yield from packet.decode()  # type: ignore[misc]
            return
        self._order.put(packet)
        for picture in packet.decode():
            picture.pts = self._order.take()
            yield picture  # type: ignore[misc]

    def _packets(self) -> Iterator[Packet]:
        packets = joined(self._container, self._stream)
        if self._start <= 0 or not has_clock_of_its_own(self._container):
            yield from packets
            return
        # Not searched but read through: only what the picture at the start depends on is decoded.
        held: list[Packet] = []
        origin = start_of(self._container)
        for packet in packets:
            stamp = packet.dts if packet.dts is not None else packet.pts
            at = None if stamp is None or packet.time_base is None else stamp * packet.time_base - origin
            if packet.is_keyframe and at is not None and at <= self._start - _RUN_UP_S:
                held.clear()
            held.append(packet)
            if stamp is None or at is None or at >= self._start or len(held) > _MOST_HELD:
                break
        yield from held
        yield from packets


class _Order:
    """Times of pictures where a file has only those of packets: the first picture to be shown has the first of them.

    FFmpeg's guess at when a picture is shown is off by as many frames as the coder holds back, or wrong.
    """

    def __init__(self) -> None:
        self._waiting: list[int] = []

    def put(self, packet: Packet) -> None:
        """A packet is about to be decoded."""
        if packet.dts is not None:
            heappush(self._waiting, packet.dts)
        if len(self._waiting) > _MOST_HELD_BACK:
            heappop(self._waiting)

    def take(self) -> int | None:
        """When the picture that was decoded just now is shown."""
        return heappop(self._waiting) if self._waiting else None


def _time(picture: VideoFrame, origin: Fraction) -> Fraction | None:
    return None if picture.pts is None or picture.time_base is None else picture.pts * picture.time_base - origin
