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
from visavis.media.spool import readable_twice

MOST_SIDE = 8192
MOST_PIXELS = 64_000_000
_HEAD_BYTES = 256
_HEIC = {b"heic", b"heix", b"heim", b"heis"}
#: Kinds of files that hold their pictures and sound themselves. Playlists and their like, which make FFmpeg open other
#: files and addresses, are not among them, nor are names that stand for many files.
_CONTAINERS = (
    "aac,ac3,aiff,amr,amrnb,amrwb,apng,asf,au,avi,av1,avs2,avs3,caf,cavsvideo,dirac,dts,dv,eac3,flac,flv,gif,gxf,h261,"
    "h263,h264,hevc,ivf,live_flv,m4v,matroska,mjpeg,mov,mp3,mpeg,mpegts,mpegvideo,mxf,nsv,nut,obu,ogg,rawvideo,rm,swf,"
    "tta,vc1,vvc,w64,wav,wtv,wv,ape,yuv4mpegpipe,smjpeg,dhav,ty,roq,smk,bink"
)
#: How playlists and descriptions of sessions begin.
_PLAYLISTS = (b"#EXTM3U", b"ffconcat", b"[playlist]", b"v=0\r\n", b"v=0\n", b"RTSPtext", b"[Reference]")
#: How still pictures begin.
_STILLS = (b"\x89PNG", b"\xff\xd8\xff", b"BM", b"II*\0", b"MM\0*", b"P5", b"P6")
_CLOCK_OF_ITS_OWN = 0x0200  # FFmpeg's AVFMT_TS_DISCONT
#: Coders of sound begin by so much before time zero to get going; what begins earlier has a clock of its own.
_PRIMING_S = Fraction(1, 10)
_IMPAIRED = Disposition.hearing_impaired | Disposition.visual_impaired | Disposition.comment | Disposition.descriptions
_NO_FILM = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image


def check_readable(path: Path) -> Path:
    """Raise a one-line :class:`MediaError` unless ``path`` is a file with something in it.

    Returns:
        The file to read in its place: what came through it, if it is a pipe.
    """
    file = readable_twice(path)
    head = _head(path, file)
    if not head:
        raise MediaError(f"{path}: is empty")
    if _is_heic(head):
        raise MediaError(f"{path}: is a HEIC picture, which cannot be read here; turn it into JPEG, PNG or AVIF")
    return file


def _head(path: Path, file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(_HEAD_BYTES)
    except OSError as error:
        raise MediaError(f"{path}: cannot be read ({error.strerror})") from error


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
    """Open a video or sound file; its name is never taken for an address, and no other file is opened for it."""
    file = check_readable(path)
    # Behind "file:" a name may hold colons and signs of percent.
    allowed = {"format_whitelist": _CONTAINERS, "protocol_whitelist": "file"}
    try:
        return av.open(f"file:{file}", metadata_errors="ignore", options=allowed)
    except (av.error.FFmpegError, ValueError) as error:
        head = _head(path, file)
        if b"<MPD" in head or head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(_PLAYLISTS):
            raise MediaError(f"{path}: is a playlist, which names other files; give the video itself") from error
        if head.startswith(_STILLS) or head[8:12] == b"WEBP":
            raise MediaError(f"{path}: is a still picture; a video or sound file is needed") from error
        raise MediaError(f"{path}: is not a video or sound file that can be read, or is damaged") from error


def moving_pictures(container: InputContainer) -> VideoStream | None:
    """The stream of moving pictures that the file is about, or None.

    That is the one marked as the default, and of several the largest; the cover picture of a song is none.
    """
    # A stream of a codec that FFmpeg does not know has no codec context.
    known = (stream for stream in container.streams.video if stream.codec_context is not None)
    films = [stream for stream in known if not stream.disposition & _NO_FILM]
    return max(films, key=_worth_watching, default=None)


def _worth_watching(stream: VideoStream) -> tuple[bool, int]:
    context = stream.codec_context
    return bool(stream.disposition & Disposition.default), context.width * context.height


def video_stream(path: Path, container: InputContainer) -> VideoStream:
    """As :func:`moving_pictures`; raises :class:`MediaError` where there are none, or too large ones."""
    stream = moving_pictures(container)
    if stream is None:
        raise MediaError(f"{path}: has no pictures in it")
    check_size(path, stream.codec_context.width, stream.codec_context.height)
    return stream


def sound_stream(container: InputContainer) -> AudioStream | None:
    """The sound stream that a player plays, or None: the default, not one for the impaired, the first of those left."""
    known = [stream for stream in container.streams.audio if stream.codec_context is not None]
    return max(known, key=_worth_hearing, default=None)


def _worth_hearing(stream: AudioStream) -> tuple[bool, bool]:
    return bool(stream.disposition & Disposition.default), not stream.disposition & _IMPAIRED


def has_clock_of_its_own(container: InputContainer) -> bool:
    """Whether the kind of file runs on a clock that may begin anywhere and jump, as broadcasts do."""
    return bool(container.format.flags & _CLOCK_OF_ITS_OWN)


def tells_display_time(container: InputContainer) -> bool:
    """Whether the kind of file stores when pictures are shown. In AVI they only come one after another."""
    return container.format.name != "avi"


def start_of(container: InputContainer) -> Fraction:
    """Seconds on the file's clock that are its start: where its first picture or sound begins, whichever is earlier.

    What comes a few milliseconds before zero does so since coders of sound need a start, and moves nothing.
    """
    if container.start_time is None:
        return Fraction(0)
    start = Fraction(container.start_time, av.time_base)
    if -_PRIMING_S < start <= 0 and not has_clock_of_its_own(container):
        return Fraction(0)
    # FFmpeg rounds the file's start to microseconds; the stream that begins there knows it exactly.
    begins = [s.start_time * s.time_base for s in container.streams if s.start_time is not None and s.time_base]
    return min((at for at in begins if abs(at - start) < Fraction(2, av.time_base)), default=start)


def seek(container: InputContainer, stream: VideoStream | AudioStream, start: Fraction) -> None:
    """Go to the last key frame before ``start`` seconds; a file that cannot be searched is read from its start."""
    # A clock that may jump cannot be searched: the time that is asked for may come twice, or never.
    if stream.time_base is None or has_clock_of_its_own(container):
        return
    with suppress(av.error.FFmpegError, OSError):
        container.seek(int((start + start_of(container)) / stream.time_base), stream=stream)


def duration_of(container: InputContainer, stream: VideoStream | None = None) -> Fraction | None:
    """Seconds that the header claims for a stream or the file; None when it does not say."""
    if stream is not None and stream.duration and stream.time_base:
        return Fraction(stream.duration * stream.time_base)
    if not container.duration:
        return None
    claimed, start = Fraction(container.duration, av.time_base), start_of(container)
    # These say at which time they end.
    says_end = "matroska" in container.format.name or (stream is not None and not stream.frames)
    return claimed - start if says_end and 0 < start < claimed else claimed
