"""One clock for a file whose time stamps jump: what follows a jump is joined to what came before it.

Recordings are put together by appending files, clocks of broadcasts wrap, and their stamps then go back, or ahead by
hours. Sound and pictures are moved by the same time, so that they stay beside each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av.error
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from visavis.media.container import (
    duration_of,
    has_clock_of_its_own,
    moving_pictures,
    open_input,
    sound_stream,
    start_of,
    video_stream,
)

#: Kinds of files in which stamps go on where they should, but that are appended to each other.
_APPENDED = {"matroska", "flv", "live_flv"}
#: A step back of more than this is a jump; less is sloppiness. Where order is not told, pictures often do.
_BACK_S, _BACK_UNORDERED_S = Fraction(1, 10), Fraction(1)
#: A step ahead of more than this is one if no other stream has anything in between: else it is a pause of this stream.
_AHEAD_S = 10
#: Sound and pictures of one recording end within this of each other, as a rule.
_ENDS_TOGETHER_S = 1
#: How far a stream's first stamp may be behind what was read of others.
_BEGINS_BEFORE_S = 2


@dataclass
class _Track:
    """One stream, in seconds: how much its stamps are moved by, the last one, the end so far; how often it jumped."""

    offset: Fraction = Fraction(0)
    last: Fraction | None = None
    end: Fraction = Fraction(0)
    jumps: int = 0


class Timeline:
    """Moves the stamps of packets as they come, of all streams of a file.

    Args:
        clock_of_its_own: whether the file is of a kind that runs on a clock that may jump, with every packet in its
            order of decoding. If not, only a file that was appended makes stamps jump, and it begins with a key frame.
    """

    def __init__(self, *, clock_of_its_own: bool) -> None:
        self._clock_of_its_own = clock_of_its_own
        self._tracks: dict[int, _Track] = {}
        #: By stream: ticks between decoding and display of the last packet.
        self._held_back: dict[int, int] = {}

    def join(self, packet: Packet) -> None:
        """Change a packet's stamps to the one clock."""
        self._mend(packet)
        ordered = self._clock_of_its_own and packet.dts is not None
        stamp = packet.dts if ordered or packet.pts is None else packet.pts
        if stamp is None or packet.time_base is None:
            return
        time = Fraction(stamp * packet.time_base)
        track = self._track(packet.stream.index, time)
        if track.last is not None and self._jumps(packet, track, time + track.offset, ordered):
            self._move(track, time)
        at = time + track.offset
        step = Fraction(0) if track.last is None else max(at - track.last, Fraction(0))
        lasts = Fraction(packet.duration * packet.time_base) if packet.duration else step
        track.last, track.end = at, max(track.end, at + min(lasts, Fraction(1)))
        ticks = round(track.offset / packet.time_base)
        packet.dts = None if packet.dts is None else packet.dts + ticks
        packet.pts = None if packet.pts is None else packet.pts + ticks

    def _mend(self, packet: Packet) -> None:
        """Where FFmpeg, at a jump, made up the time of decoding from before it: take it from the time of display."""
        if packet.pts is None or packet.dts is None or packet.time_base is None:
            return
        if abs(packet.pts - packet.dts) * packet.time_base > _AHEAD_S:
            packet.dts = packet.pts - self._held_back.get(packet.stream.index, 0)
        else:
            self._held_back[packet.stream.index] = packet.pts - packet.dts

    def _track(self, index: int, time: Fraction) -> _Track:
        if index not in self._tracks:
            newest = max(self._tracks.values(), key=lambda track: track.jumps, default=_Track())
            begun = _Track(offset=newest.offset, jumps=newest.jumps)
            self._tracks[index] = begun
            # What was appended may be the first to have sound, or pictures.
            off = 0 if newest.last is None else time + newest.offset - newest.last
            if self._clock_of_its_own and not -_BEGINS_BEFORE_S < off < _AHEAD_S:
                begun.offset, begun.jumps = newest.end - time, newest.jumps + 1
        return self._tracks[index]

    def _jumps(self, packet: Packet, track: _Track, at: Fraction, ordered: bool) -> bool:
        assert track.last is not None
        begins = ordered or packet.is_keyframe
        if at + (_BACK_S if begins else _BACK_UNORDERED_S) < track.last:
            return True
        # Elsewhere a picture may stand for long.
        others = (one.last for one in self._tracks.values() if one is not track and one.last is not None)
        return begins and at - track.end > _AHEAD_S and all(abs(last - at) > _AHEAD_S for last in others)

    def _move(self, track: _Track, time: Fraction) -> None:
        ahead = max(self._tracks.values(), key=lambda one: one.jumps)
        assert track.last is not None
        if ahead.jumps > track.jumps and time + ahead.offset > track.last - _ENDS_TOGETHER_S:
            track.offset, track.jumps = ahead.offset, ahead.jumps
        else:
            end = max(one.end for one in self._tracks.values())
            track.offset = (track.end if end - track.end < _ENDS_TOGETHER_S else end) - time
            track.jumps = ahead.jumps + 1
        track.end = time + track.offset


def joined(container: InputContainer, stream: VideoStream | AudioStream) -> Iterator[Packet]:
    """Yield a stream's packets with stamps of one clock, for which the other stream that counts is looked at, too."""
    names = set(container.format.name.split(","))
    if not (has_clock_of_its_own(container) or names & _APPENDED):
        yield from container.demux(stream)
        return
    timeline = Timeline(clock_of_its_own=has_clock_of_its_own(container))
    streams = [one for one in (moving_pictures(container), sound_stream(container)) if one is not None]
    for packet in container.demux(streams):
        timeline.join(packet)
        if packet.stream.index == stream.index:
            yield packet


def length_of(path: Path) -> Fraction | None:
    """Seconds of a video without decoding anything; None when it does not say.

    A header is believed, but not the first and the last stamp of a clock that may jump: there all packets are read.
    """
    with open_input(path) as container:
        if not has_clock_of_its_own(container):
            return duration_of(container)
        stream, last = video_stream(path, container), None
        try:
            for packet in joined(container, stream):
                if packet.pts is not None and packet.time_base is not None:
                    at = packet.pts * packet.time_base
                    last = at if last is None else max(last, at)
        except av.error.FFmpegError:
            pass  # what was read until the damage is there
        return None if last is None else last - start_of(container)
