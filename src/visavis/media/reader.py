"""Frames and sound out of files, through PyAV, one at a time and with exact times."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Colorspace, Interpolation
from numpy.typing import NDArray

from visavis.core.closing import Closing
from visavis.core.errors import MediaError
from visavis.media.container import check_size, open_input, seek, sound_stream, start_of, video_stream
from visavis.media.frame import Frame, Pixels, Sound
from visavis.media.hdr import HLG, PQ, tone_map
from visavis.media.samples import unbroken

_MOST_BROKEN_IN_A_ROW = 500
# Untagged video of at least this height is taken to be in the colours of high definition, as players do.
_HIGH_DEFINITION = 720
_UNSPECIFIED = 2
# Pixels further from square than this are damage, not a shape: anamorphic film has 2.
_WIDEST_PIXEL = 4


@dataclass(frozen=True)
class MediaInfo:
    """What a file says of itself.

    Attributes:
        width, height: of the upright picture in square pixels.
        fps: average frame rate.
        duration: seconds, or None when the file does not say.
        frames: number of frames the header claims, or None.
        has_sound: whether there is a sound stream.
        hdr: whether the pictures are of high dynamic range (PQ or HLG); they are tone-mapped as they are read.
        codec: FFmpeg's name of the coding of the pictures.
        square_pixels: whether pixels are stored in the shape in which they are shown.
    """

    width: int
    height: int
    fps: Fraction
    duration: Fraction | None
    frames: int | None
    has_sound: bool
    hdr: bool = False
    codec: str = ""
    square_pixels: bool = True


def _quarter_turns(frame: VideoFrame) -> int:
    """Quarter turns counter-clockwise that make the decoded frame upright."""
    return round(frame.rotation / 90) % 4


def probe(path: Path) -> MediaInfo:
    """Read a file's header and first frame."""
    with VideoReader(path) as reader:
        return reader.info


class VideoReader(Closing):
    """Iterates over a video's frames.

    Times are exact, start where the file says and strictly increase. Rotation flags and the shape of pixels are
    applied; any pixel format becomes RGB. What cannot be decoded is skipped and counted in :attr:`damaged`.

    Args:
        path: the file.
        start: seconds to begin at; the first frame is then one of the last two before it, or the first after it.

    Raises:
        MediaError: the file cannot be read, holds no picture, or its pictures are too large.
    """

    def __init__(self, path: Path, *, start: Fraction = Fraction(0)) -> None:
        self.path = Path(path)
        self.damaged = 0
        self._start = start
        self._container = open_input(self.path)
        try:
            self._stream = video_stream(self.path, self._container)
            self._stream.thread_type = "AUTO"
            if start > 0:
                seek(self._container, self._stream, start)
            self._frames = self._decode()
            self._first = next(self._frames, None)
            if self._first is None:
                where = f" after {float(start):.2f} s" if start > 0 else ""
                raise MediaError(f"{self.path}: no frame of it can be decoded{where}")
            self.info = self._describe(self._first.pixels)
        except BaseException:
            self._container.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._frames.close()
        self._container.close()

    def __iter__(self) -> Iterator[Frame]:
        if self._first is not None:
            first, self._first = self._first, None
            yield first
        yield from self._frames

    def _describe(self, pixels: Pixels) -> MediaInfo:
        stream, container = self._stream, self._container
        rate = stream.average_rate or stream.guessed_rate or Fraction(25)
        duration = None
        if stream.duration and stream.time_base:
            duration = stream.duration * stream.time_base
        elif container.duration:
            duration = Fraction(container.duration, av.time_base)
        return MediaInfo(
            width=pixels.shape[1],
            height=pixels.shape[0],
            fps=Fraction(rate) if 0 < rate <= 1000 else Fraction(25),
            duration=duration,
            frames=stream.frames or None,
            has_sound=sound_stream(container) is not None,
            hdr=self._transfer is not None,
            codec=stream.codec_context.name,
            square_pixels=self._pixel_shape == 1,
        )

    @property
    def _transfer(self) -> int | None:
        """The transfer function when it is one of high dynamic range."""
        transfer = int(self._stream.codec_context.color_trc or 0)
        return transfer if transfer in (PQ, HLG) else None

    @property
    def _pixel_shape(self) -> Fraction:
        """Width of a pixel over its height."""
        shape = self._stream.sample_aspect_ratio or Fraction(1)
        return shape if Fraction(1, _WIDEST_PIXEL) <= shape <= _WIDEST_PIXEL else Fraction(1)

    def _decode(self):  # type: ignore[no-untyped-def]
        last: Fraction | None = None
        rate, origin = self._stream.average_rate or Fraction(25), start_of(self._container)
        earliest = self._start - 2 / Fraction(rate) if self._start > 0 else None
        for picture in self._pictures():
            time = (
                None if picture.pts is None or picture.time_base is None else picture.pts * picture.time_base - origin
            )
            if time is None:
                time = Fraction(0) if last is None else last + 1 / Fraction(rate)
            if last is not None and time <= last:
                self.damaged += 1
                continue
            if earliest is not None and time < earliest:
                continue
            try:
                width = max(round(picture.width * self._pixel_shape), 1)
                check_size(self.path, width, picture.height)
                pixels = _upright(picture, width, self._transfer)
            except (av.error.FFmpegError, ValueError):
                self.damaged += 1
                continue
            last = time
            yield Frame(pixels, time)

    def _pictures(self) -> Iterator[VideoFrame]:
        broken = 0
        packets = self._container.demux(self._stream)
        while broken < _MOST_BROKEN_IN_A_ROW:
            try:
                packet = next(packets, None)
                if packet is None:
                    return
                for picture in packet.decode():
                    broken = 0
                    yield picture  # type: ignore[misc]
            except av.error.EOFError:
                return
            except (av.error.FFmpegError, ValueError):
                self.damaged += 1
                broken += 1


def _upright(picture: VideoFrame, width: int, transfer: int | None) -> Pixels:
    """The decoded frame as upright RGB, ``width`` pixels wide before it is turned."""
    untagged = picture.colorspace == _UNSPECIFIED and picture.height >= _HIGH_DEFINITION
    colours = Colorspace.ITU709 if untagged and not picture.format.is_rgb else None

    def converted(to: str) -> NDArray[Any]:
        how = Interpolation.BICUBIC if width != picture.width else None
        made = picture.reformat(width=width, format=to, src_colorspace=colours, interpolation=how)
        return np.asarray(made.to_ndarray())

    if picture.format.has_palette or any(component.is_alpha for component in picture.format.components):
        layers = converted("rgba").astype(np.uint16)
        alpha = layers[..., 3:]
        pixels = ((layers[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    elif transfer is not None:
        pixels = tone_map(converted("rgb48le"), transfer)
    else:
        pixels = converted("rgb24")
    return np.ascontiguousarray(np.rot90(pixels, _quarter_turns(picture)))


class SoundReader(Closing):
    """Iterates over a file's sound as mono chunks; a file without sound yields nothing.

    Chunk times are on the same clock as :class:`VideoReader`'s; each chunk begins where the one before ended, with
    silence where the file has a gap.

    Args:
        path: the file.
        rate_hz: rate to resample to.
        start: seconds to begin at; the first chunk may begin earlier.
    """

    def __init__(self, path: Path, rate_hz: int = 16_000, *, start: Fraction = Fraction(0)) -> None:
        self.path, self.rate_hz = Path(path), rate_hz
        self._container = open_input(self.path)
        stream = sound_stream(self._container)
        if start > 0 and stream is not None:
            seek(self._container, stream, start)

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    @property
    def has_sound(self) -> bool:
        """Whether the file has a sound stream that can be decoded."""
        return sound_stream(self._container) is not None

    def __iter__(self) -> Iterator[Sound]:
        if self.has_sound:
            for first, samples in unbroken(self._container, "mono", self.rate_hz):
                yield Sound(samples[0], self.rate_hz, Fraction(first, self.rate_hz))
