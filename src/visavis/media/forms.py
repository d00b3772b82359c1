"""The kinds of video files that are written, by the ending of their names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from types import MappingProxyType

_H264: Mapping[str, str] = MappingProxyType({"crf": "18", "preset": "veryfast"})
#: Constant quality, as quick as live calls need it.
_VP9 = MappingProxyType({"crf": "24", "deadline": "realtime", "cpu-used": "7", "row-mt": "1"})
#: Else tags that the format has no field for are left out, and with them the mark of what is generated.
_ALL_TAGS = MappingProxyType({"movflags": "use_metadata_tags"})


@dataclass(frozen=True)
class Coded:
    """A container of coded pictures and sound.

    Attributes:
        container: FFmpeg's name.
        video, sound: FFmpeg's names of the coders.
        tuning: options of the coder of pictures.
        options: of the container.
        rates_hz: of sound; the first that the sound divides is taken.
    """

    container: str
    video: str = "libx264"
    sound: str = "aac"
    tuning: Mapping[str, str] = field(default_factory=lambda: _H264)
    options: Mapping[str, str] = field(default_factory=dict)
    #: AAC comes in blocks of 1024 samples; at lower rates than these a block is longer than a frame, the end vague.
    rates_hz: tuple[int, ...] = (32_000, 44_100, 48_000)


@dataclass(frozen=True)
class Animated:
    """A picture that moves: no sound, few or many colours, times in coarse steps.

    Attributes:
        container, coder: FFmpeg's names.
        tick: seconds that times are multiples of.
        shortest: ticks that a frame is shown at least; viewers show what asks for less much longer.
    """

    container: str
    coder: str
    tick: Fraction
    shortest: int
    tuning: Mapping[str, str] = field(default_factory=dict)


FORMS: Mapping[str, Coded | Animated] = MappingProxyType(
    {
        ".mp4": Coded("mp4", options=_ALL_TAGS),
        ".mov": Coded("mov", options=_ALL_TAGS),
        ".mkv": Coded("matroska"),
        ".webm": Coded("webm", "libvpx-vp9", "libopus", _VP9, rates_hz=(48_000,)),
        ".gif": Animated("gif", "gif", Fraction(1, 100), 2),
        ".webp": Animated("webp", "libwebp_anim", Fraction(1, 1000), 11, {"quality": "80", "compression_level": "2"}),
    }
)
#: Endings of names under which videos are written.
VIDEO_KINDS = tuple(FORMS)
