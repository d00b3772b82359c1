"""Opening files of unknown origin: what is in them, and refusal in one line of what cannot be used."""

from __future__ import annotations

from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import av.error
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from visavis.core.errors import MediaError

MOST_SIDE = 8192
MOST_PIXELS = 64_000_000
_HEIC = {b"heic", b"heix", b"heim", b"heis"}
_CLOCK_OF_ITS_OWN = 0x0200  # FFmpeg's AVFMT_TS_DISCONT


def check_readable(path: Path) -> None:
    """Raise a one-line :class:`MediaError` unless ``path`` is a file with something in it."""
    if not path.exists():
        raise MediaError(f"{path}: no such file")
    if path.is_dir():
        raise MediaError(f"{path}: is a folder; a file is needed")
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except OSError as error:
        raise MediaError(f"{path}: cannot be read ({error.strerror})") from error
    if not head:
        raise MediaError(f"{path}: is empty")
    if _is_heic(head):
        raise MediaError(f"{path}: is a HEIC picture, which cannot be read here; turn it into JPEG, PNG or AVIF")


def _is_heic(head: bytes) -> bool:
    """Whether a file begins as HEIC does. FFmpeg would open it and give one of its tiles for the picture."""
    if head[4:8] != b"ftyp":
        return False
    listed = head[: min(int.from_bytes(head[:4], "big"), len(head))]
    brands = {listed[8:12], *(listed[at : at + 4] for at in range(16, len(listed), 4))}
    return bool(brands & _HEIC) and not brands & {b"avif", b"avis"}


def check_size(path: Path, width: int, height: int) -> None:
    """Refuse pictures that would take too much memory, before they are decoded."""
    if width > MOST_SIDE or height > MOST_SIDE or width * height > MOST_PIXELS:
        raise MediaError(f"{path}: {width}x{height} is too large; at most {MOST_SIDE} a side and 64 megapixels")
    if width < 1 or height < 1:
        raise MediaError(f"{path}: has no picture size")


def open_input(path: Path) -> InputContainer:
    """Open a video or sound file."""
    check_readable(path)
    try:
        return av.open(str(path), metadata_errors="ignore")
    except (av.error.FFmpegError, ValueError) as error:
        raise MediaError(f"{path}: is not a video or sound file that can be read, or is damaged") from error


def video_stream(path: Path, container: InputContainer) -> VideoStream:
    """The first stream of moving pictures; the cover picture of a song is none."""
    for stream in container.streams.video:
        # A stream of a codec that FFmpeg does not know has no codec context.
        if stream.codec_context is not None and not stream.disposition & Disposition.attached_pic:
            check_size(path, stream.codec_context.width, stream.codec_context.height)
            return stream
    raise MediaError(f"{path}: has no pictures in it")


def sound_stream(container: InputContainer) -> AudioStream | None:
    """The first sound stream that can be decoded, or None."""
    return next((stream for stream in container.streams.audio if stream.codec_context is not None), None)


def start_of(container: InputContainer) -> Fraction:
    """Seconds on the file's clock that are its start.

    Transport streams run on the clock of the day; in all other files time zero is the start, and a stream that
    begins later begins later.
    """
    if container.format.flags & _CLOCK_OF_ITS_OWN and container.start_time is not None:
        return Fraction(container.start_time, av.time_base)
    return Fraction(0)


def seek(container: InputContainer, stream: VideoStream | AudioStream, start: Fraction) -> None:
    """Go to the last key frame before ``start`` seconds; a file that cannot be searched is read from its start."""
    if stream.time_base is None:
        return
    with suppress(av.error.FFmpegError, OSError):
        container.seek(int((start + start_of(container)) / stream.time_base), stream=stream)


def length_of(path: Path) -> Fraction | None:
    """Seconds that a file's header claims, without decoding anything; None when it does not say."""
    with open_input(path) as container:
        return Fraction(container.duration, av.time_base) if container.duration else None
