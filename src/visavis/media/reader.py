"""Frames and sound out of files, through PyAV, one at a time and with exact times."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av.error

from visavis.core.closing import Closing
from visavis.core.errors import MediaError
from visavis.media.animation import Animation, is_animation
from visavis.media.colour import ToRgb
from visavis.media.container import check_size, open_input, seek, sound_stream
from visavis.media.frame import Frame, Pixels, Sound
from visavis.media.geometry import Held, fitted
from visavis.media.pictures import CodedPictures
from visavis.media.rate import USUAL
from visavis.media.samples import unbroken


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


def probe(path: Path) -> MediaInfo:
    """Read a file's header and first frame."""
    with VideoReader(path) as reader:
        return reader.info


class VideoReader(Closing):
    """Iterates over a video's frames.

    Times are exact, count from the file's start and strictly increase. Frames are upright, of square pixels, of one
    moment each, and all of the first one's size: what comes in another is fitted in. Any pixel format becomes RGB.
    What cannot be decoded is skipped and counted in :attr:`damaged`.

    Args:
        path: the file.
        start: seconds to begin at; the first frame is then one of the last two before it, or the first after it.

    Raises:
        MediaError: the file cannot be read, holds no picture, or its pictures are too large.
    """

    def __init__(self, path: Path, *, start: Fraction = Fraction(0)) -> None:
        self.path = Path(path)
        self._start = start
        self._undisplayable = 0
        self._size: tuple[int, int] | None = None
        self._to_rgb = ToRgb()
        self._pictures = Animation(self.path) if is_animation(self.path) else CodedPictures(self.path, start)
        try:
            self._frames = self._decode()
            self._first = next(self._frames, None)
            if self._first is None:
                where = f" after {float(start):.2f} s" if start > 0 else ""
                raise MediaError(f"{self.path}: no frame of it can be decoded{where}")
            self.info = self._describe(self._first.pixels)
        except BaseException:
            self._pictures.close()
            raise

    @property
    def damaged(self) -> int:
        """How much could not be decoded or shown so far."""
        return self._pictures.damaged + self._undisplayable

    def close(self) -> None:
        """Close the file."""
        self._frames.close()
        self._pictures.close()

    def __iter__(self) -> Iterator[Frame]:
        if self._first is not None:
            first, self._first = self._first, None
            yield first
        yield from self._frames

    def _describe(self, pixels: Pixels) -> MediaInfo:
        pictures = self._pictures
        return MediaInfo(
            width=pixels.shape[1],
            height=pixels.shape[0],
            fps=pictures.rate,
            duration=pictures.duration,
            frames=pictures.frames,
            has_sound=pictures.has_sound,
            hdr=pictures.transfer is not None,
            codec=pictures.codec,
            square_pixels=pictures.pixel_shape == 1,
        )

    def _decode(self) -> Generator[Frame, None, None]:
        last: Fraction | None = None
        rate = self._pictures.rate or USUAL
        earliest = self._start - 2 / rate if self._start > 0 else None
        for picture, stamped in self._pictures:
            time = stamped
            if time is None:
                time = Fraction(0) if last is None else last + 1 / rate
            if last is not None and time <= last:
                self._undisplayable += 1
                continue
            if earliest is not None and time < earliest:
                continue
            try:
                width = max(round(picture.width * self._pictures.pixel_shape), 1)
                check_size(self.path, width, picture.height)
                pixels = Held.of(picture).upright(self._to_rgb(picture, width, self._pictures.transfer))
            except (av.error.FFmpegError, ValueError):
                self._undisplayable += 1
                continue
            last = time
            self._size = self._size or (pixels.shape[0], pixels.shape[1])
            yield Frame(fitted(pixels, *self._size), time)


class SoundReader(Closing):
    """Iterates over a file's sound as mono chunks; a file without sound yields nothing.

    Chunk times are on the same clock as :class:`VideoReader`'s; each chunk begins where the one before ended, with
    silence where the file has a gap.

    Args:
        path: the file.
        rate_hz: rate to resample to; None keeps the file's own.
        start: seconds to begin at; the first chunk may begin earlier.
    """

    def __init__(self, path: Path, rate_hz: int | None = 16_000, *, start: Fraction = Fraction(0)) -> None:
        self.path = Path(path)
        # An animated picture, which FFmpeg does not open, is silent.
        self._container = None if is_animation(self.path) else open_input(self.path)
        stream = None if self._container is None else sound_stream(self._container)
        own = 0 if stream is None else stream.codec_context.sample_rate
        self.rate_hz = rate_hz or own or 16_000
        if start > 0 and stream is not None and self._container is not None:
            seek(self._container, stream, start)

    def close(self) -> None:
        """Close the file."""
        if self._container is not None:
            self._container.close()

    @property
    def has_sound(self) -> bool:
        """Whether the file has a sound stream that can be decoded."""
        return self._container is not None and sound_stream(self._container) is not None

    @property
    def duration(self) -> Fraction | None:
        """Seconds that the file lasts, as far as it says."""
        told = None if self._container is None else self._container.duration
        return Fraction(told, 1_000_000) if told is not None and told > 0 else None

    def __iter__(self) -> Iterator[Sound]:
        if self._container is not None and self.has_sound:
            for first, samples in unbroken(self._container, "mono", self.rate_hz):
                yield Sound(samples[0], self.rate_hz, Fraction(first, self.rate_hz))
