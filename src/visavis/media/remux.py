"""Coded pictures and sound of a file, packet by packet, and into another file without being coded again."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import av.error
from av.packet import Packet
from typing_extensions import Self

from visavis.core.closing import Closing
from visavis.core.errors import MediaError, OutputError
from visavis.media.container import open_input, sound_stream, start_of, video_stream
from visavis.media.forms import FORMS, Coded
from visavis.media.output import Place, disk_errors

#: Endings of names of files that packets can be copied into: containers of H.264 and H.265.
REMUX_KINDS = (".mp4", ".mov", ".mkv")


@dataclass(frozen=True)
class Coding:
    """A packet of a coded picture, or of sound.

    Attributes:
        packet: as the file holds it.
        data: its bytes.
        time: at which its picture is shown, in seconds from the file's start; None where the file does not say.
        is_picture: or else it is sound.
    """

    packet: Packet
    data: bytes
    time: Fraction | None
    is_picture: bool


class PacketReader(Closing):
    """Iterates over packets of a file's pictures and, if asked for, its sound, in the order of the file.

    Args:
        path: the file.
        sound: whether sound comes, too.

    Attributes:
        codec: FFmpeg's name of the coding of the pictures.
        extradata: what the container holds beside them for their decoder.
        cut: after iterating, whether the file broke off.

    Raises:
        MediaError: the file cannot be read, or holds no pictures.
    """

    def __init__(self, path: Path, *, sound: bool = False) -> None:
        self.path, self.cut = Path(path), False
        self.container = open_input(path)
        try:
            self.pictures = video_stream(path, self.container)
            self.sound = sound_stream(self.container) if sound else None
        except BaseException:
            self.container.close()
            raise
        self.codec = self.pictures.codec_context.name
        self.extradata = self.pictures.codec_context.extradata

    def close(self) -> None:
        """Close the file."""
        self.container.close()

    def __iter__(self) -> Iterator[Coding]:
        origin = start_of(self.container)
        streams = [self.pictures] if self.sound is None else [self.pictures, self.sound]
        try:
            for packet in self.container.demux(streams):
                if packet.size:
                    stamp, base = packet.pts, packet.time_base
                    time = None if stamp is None or base is None else stamp * base - origin
                    yield Coding(packet, bytes(packet), time, packet.stream.index == self.pictures.index)
        except (av.error.FFmpegError, ValueError):
            self.cut = True


class Remux:
    """Writes packets of a file into another one; the file gets its name when the ``with`` block ends without an error.

    Args:
        path: a file to write, of one of :data:`REMUX_KINDS`.
        source: whose packets are written.
        replace: whether a file of that name is replaced.

    Raises:
        OutputError: the place cannot be written, or the container does not take the source's sound.
    """

    def __init__(self, path: Path, source: PacketReader, *, replace: bool) -> None:
        self.path, self._source = Path(path), source
        form = FORMS[self.path.suffix.lower()]
        assert isinstance(form, Coded)
        self._place = Place(self.path, replace=replace)
        self._container = None
        try:
            with disk_errors(self.path):
                self._container = av.open(
                    f"file:{self._place.aside}", "w", format=form.container, options=dict(form.options)
                )
                self._container.metadata.update(source.container.metadata)
                self._pictures = self._container.add_stream_from_template(source.pictures)
                if source.sound is not None:
                    self._sound = self._container.add_stream_from_template(source.sound)
                self._container.start_encoding()
        except (OutputError, ValueError) as error:
            self._abandon()
            if getattr(error.__cause__, "errno", None) == errno.ENOSPC:
                raise
            sound = "" if source.sound is None else f" beside sound coded as {source.sound.codec_context.name}"
            raise OutputError(
                f"{self.path}: cannot hold pictures coded as {source.codec}{sound}; choose another ending, or turn the "
                "sound into AAC first"
            ) from error
        except BaseException:
            self._abandon()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is not None:
            self._abandon()
            return
        try:
            with disk_errors(self.path):
                assert self._container is not None
                self._container.close()
        except BaseException:
            self._abandon()
            raise
        self._place.settle()

    def write(self, coded: Coding, data: bytes) -> None:
        """Append a packet with its times, and ``data`` in place of its bytes."""
        old = coded.packet
        if old.dts is None and old.pts is None:
            raise MediaError(f"{self._source.path}: its packets have no times; put it into .mp4 or .mkv first")
        new = Packet(data)
        new.pts, new.dts, new.duration, new.is_keyframe = old.pts, old.dts, old.duration or 0, old.is_keyframe
        if old.time_base is not None:
            new.time_base = old.time_base
        new.stream = self._pictures if coded.is_picture else self._sound
        assert self._container is not None
        with disk_errors(self.path):
            self._container.mux_one(new)

    def _abandon(self) -> None:
        if self._container is not None:
            with suppress(av.error.FFmpegError, OSError, ValueError):
                self._container.close()
        self._place.abandon()
