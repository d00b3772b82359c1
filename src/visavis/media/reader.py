"""Frames and sound out of files, through PyAV, one at a time and with exact times."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import av.error
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from visavis.core.errors import MediaError
from visavis.media.frame import Frame, Pixels, Sound

MOST_SIDE = 8192
MOST_PIXELS = 64_000_000
_MOST_BROKEN_IN_A_ROW = 500
_LONGEST_SILENCE_S = 6 * 3600


@dataclass(frozen=True)
class MediaInfo:
    """What a file says of itself.

    Attributes:
        width, height: of the upright picture in pixels.
        fps: average frame rate.
        duration: seconds, or None when the file does not say.
        frames: number of frames the header claims, or None.
        has_sound: whether there is a sound stream.
    """

    width: int
    height: int
    fps: Fraction
    duration: Fraction | None
    frames: int | None
    has_sound: bool


def check_readable(path: Path) -> None:
    """Raise a one-line :class:`MediaError` unless ``path`` is a file with something in it."""
    if not path.exists():
        raise MediaError(f"{path}: no such file")
    if path.is_dir():
        raise MediaError(f"{path}: is a folder; a file is needed")
    try:
        with path.open("rb") as file:
            if not file.read(1):
                raise MediaError(f"{path}: is empty")
    except OSError as error:
        raise MediaError(f"{path}: cannot be read ({error.strerror})") from error


def check_size(path: Path, width: int, height: int) -> None:
    """Refuse pictures that would take too much memory, before they are decoded."""
    if width > MOST_SIDE or height > MOST_SIDE or width * height > MOST_PIXELS:
        raise MediaError(f"{path}: {width}x{height} is too large; at most {MOST_SIDE} a side and 64 megapixels")
    if width < 1 or height < 1:
        raise MediaError(f"{path}: has no picture size")


def _open(path: Path) -> InputContainer:
    check_readable(path)
    try:
        return av.open(str(path), metadata_errors="ignore")
    except (av.error.FFmpegError, ValueError) as error:
        raise MediaError(f"{path}: is not a video or sound file that can be read, or is damaged") from error


def _video_stream(path: Path, container: InputContainer) -> VideoStream:
    if not container.streams.video:
        raise MediaError(f"{path}: has no pictures in it")
    stream = container.streams.video[0]
    check_size(path, stream.codec_context.width, stream.codec_context.height)
    return stream


def _quarter_turns(frame: VideoFrame) -> int:
    """Quarter turns counter-clockwise that make the decoded frame upright."""
    return round(frame.rotation / 90) % 4


def probe(path: Path) -> MediaInfo:
    """Read a file's header and first frame."""
    with VideoReader(path) as reader:
        return reader.info


class VideoReader:
    """Iterates over a video's frames.

    Times are exact, start where the file says and strictly increase. Rotation flags are applied; any pixel format
    becomes RGB. What cannot be decoded is skipped and counted in :attr:`damaged`.

    Args:
        path: the file.

    Raises:
        MediaError: the file cannot be read, holds no picture, or its pictures are too large.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.damaged = 0
        self._container = _open(self.path)
        try:
            self._stream = _video_stream(self.path, self._container)
            self._stream.thread_type = "AUTO"
            self._frames = self._decode()
            self._first = next(self._frames, None)
            if self._first is None:
                raise MediaError(f"{self.path}: no frame of it can be decoded")
            self.info = self._describe(self._first.pixels)
        except BaseException:
            self._container.close()
            raise

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

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
            has_sound=bool(container.streams.audio),
        )

    def _decode(self):  # type: ignore[no-untyped-def]
        last: Fraction | None = None
        rate = self._stream.average_rate or Fraction(25)
        for picture in self._pictures():
            time = None if picture.pts is None or picture.time_base is None else picture.pts * picture.time_base
            if time is None:
                time = Fraction(0) if last is None else last + 1 / Fraction(rate)
            if last is not None and time <= last:
                self.damaged += 1
                continue
            try:
                check_size(self.path, picture.width, picture.height)
                pixels = _upright(picture)
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


def _upright(picture: VideoFrame) -> Pixels:
    if picture.format.name in {"rgba", "argb", "bgra", "abgr", "yuva420p", "ya8", "pal8"}:
        layers = picture.to_ndarray(format="rgba").astype(np.uint16)
        alpha = layers[..., 3:]
        pixels = ((layers[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    else:
        pixels = picture.to_ndarray(format="rgb24")
    return np.ascontiguousarray(np.rot90(pixels, _quarter_turns(picture)))


class SoundReader:
    """Iterates over a file's sound as mono chunks; a file without sound yields nothing.

    Chunk times are the file's own, so that sound and picture keep their places.

    Args:
        path: the file.
        rate_hz: rate to resample to.
    """

    def __init__(self, path: Path, rate_hz: int = 16_000) -> None:
        self.path, self.rate_hz = Path(path), rate_hz
        self._container = _open(self.path)

    def __enter__(self) -> SoundReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    @property
    def has_sound(self) -> bool:
        """Whether the file has a sound stream."""
        return bool(self._container.streams.audio)

    def __iter__(self) -> Iterator[Sound]:
        if not self.has_sound:
            return
        stream = self._container.streams.audio[0]
        resampler = av.AudioResampler("flt", "mono", self.rate_hz)
        at: int | None = None
        broken = 0
        packets = self._container.demux(stream)
        while broken < _MOST_BROKEN_IN_A_ROW:
            try:
                packet = next(packets, None)
                if packet is None:
                    break
                for frame in packet.decode():
                    broken = 0
                    start = self._place(frame, at)
                    for piece in resampler.resample(frame):
                        samples = piece.to_ndarray().reshape(-1).astype(np.float32)
                        at = start if at is None or abs(start - at) > self.rate_hz // 10 else at
                        yield Sound(samples, self.rate_hz, Fraction(at, self.rate_hz))
                        at += len(samples)
            except av.error.EOFError:
                break
            except (av.error.FFmpegError, ValueError):
                broken += 1
        if at is not None:
            for piece in resampler.resample(None):
                samples = piece.to_ndarray().reshape(-1).astype(np.float32)
                yield Sound(samples, self.rate_hz, Fraction(at, self.rate_hz))
                at += len(samples)

    def _place(self, frame: av.AudioFrame, expected: int | None) -> int:
        """Sample number of a frame by its time stamp, or where it is expected when the stamp is missing or absurd."""
        if frame.pts is None or frame.time_base is None:
            return expected or 0
        stamped = round(frame.pts * frame.time_base * self.rate_hz)
        return stamped if abs(stamped - (expected or 0)) < _LONGEST_SILENCE_S * self.rate_hz else expected or 0
