"""Pixel codecs to compare with: one key frame a clip, the best that each encoder does without regard to delay.

All come with PyAV but H.266, whose encoder is the program ``vvencapp``. SEI messages, in which encoders write their own
names, are not counted.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import av.error
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation

from visavis.codec.sei.annex_b import Standard, units
from visavis.codec.svt_av1 import open_encoder
from visavis.core.errors import MediaError
from visavis.evaluation.coded import Coded
from visavis.media.frame import Pixels
from visavis.media.reader import VideoReader

_LONGEST_S = 3600
Encode = Callable[[Iterable[Pixels], Fraction, int], list[bytes]]


@dataclass(frozen=True)
class Anchor:
    """A pixel codec at its operating points.

    Attributes:
        name: as ``visavis rate --codec`` knows it.
        settings: preset and name of the quantiser, for people.
        quantisers: operating points.
        encode: pictures ``uint8 [H, W, 3]``, frame rate and quantiser to coded frames in their order.
        decoder: FFmpeg's decoder of them.
        scale: pictures are coded at this share of their size and enlarged by the receiver.
        program: program that it needs on the PATH, or None.
    """

    name: str
    settings: str
    quantisers: tuple[int, ...]
    encode: Encode
    decoder: str
    scale: Fraction = Fraction(1)
    program: str | None = None

    def missing(self) -> str | None:
        """Why this codec cannot be run here, or None."""
        return f"{self.program} is not on the PATH" if self.program and not shutil.which(self.program) else None

    @property
    def points(self) -> tuple[str, ...]:
        """Names of the operating points."""
        return tuple(f"{self.settings} {quantiser}" for quantiser in self.quantisers)

    def run(self, clip: Path, point: str, every: int = 1) -> Coded:
        """Code a clip at one of :attr:`points`; every picture is decoded, since each needs those before it."""
        quantiser = self.quantisers[self.points.index(point)]
        with VideoReader(clip) as reader:
            size = reader.info.height, reader.info.width
            try:
                packets = self.encode((self._reduced(frame.pixels) for frame in reader), reader.info.fps, quantiser)
            except av.error.FFmpegError as error:
                raise MediaError(f"{clip}: {self.name} cannot encode it ({error})") from error
        return Coded([len(packet) for packet in packets], self._decode(packets, size))

    def _reduced(self, pixels: Pixels) -> Pixels:
        if self.scale == 1:
            return pixels
        height, width = (int(side * self.scale) for side in pixels.shape[:2])
        return _pixels(av.VideoFrame.from_ndarray(pixels, format="rgb24"), (height, width))

    def _decode(self, packets: Iterable[bytes], size: tuple[int, int]) -> Iterator[Pixels]:
        context = av.CodecContext.create(self.decoder, "r")
        context.thread_count = 1
        for packet in [*map(av.Packet, packets), None]:
            for picture in context.decode(packet):
                yield _pixels(picture, size)


def _pixels(picture: VideoFrame, size: tuple[int, int]) -> Pixels:
    rgb = picture.reformat(width=size[1], height=size[0], format="rgb24", interpolation=Interpolation.BICUBIC)
    return np.ascontiguousarray(rgb.to_ndarray())


def _yuv(pixels: Pixels, number: int) -> VideoFrame:
    picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
    picture = picture.reformat(format="yuv420p", interpolation=Interpolation.BICUBIC)
    picture.pts = number
    return picture


def _through_pyav(name: str, options: Callable[[int], Mapping[str, str]]) -> Encode:
    def encode(frames: Iterable[Pixels], fps: Fraction, point: int) -> list[bytes]:
        context = av.CodecContext.create(name, "w")
        packets = []
        for number, pixels in enumerate(frames):
            if not number:
                context.height, context.width, context.pix_fmt = *pixels.shape[:2], "yuv420p"
                context.time_base, context.framerate = 1 / fps, fps
                context.options, context.thread_count = dict(options(point)), 1
                if name == "libsvtav1":
                    open_encoder(context)
            packets += context.encode(_yuv(pixels, number))
        return [bytes(packet) for packet in [*packets, *context.encode(None)]]

    return encode


def _without_sei(encode: Encode, standard: Standard) -> Encode:
    def bare(packet: bytes) -> bytes:
        return b"".join(b"\0\0\1" + unit for unit in units(packet) if not standard.is_sei(unit))

    return lambda frames, fps, point: [bare(packet) for packet in encode(frames, fps, point)]


def _through_vvencapp(frames: Iterable[Pixels], fps: Fraction, point: int) -> list[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        raw, coded = Path(folder) / "in.yuv", Path(folder) / "out.266"
        size: tuple[int, ...] = ()
        with raw.open("wb") as file:
            for number, pixels in enumerate(frames):
                size = pixels.shape[:2]
                file.write(_yuv(pixels, number).to_ndarray().tobytes())
        command = ["vvencapp", "-i", str(raw), "-s", f"{size[1]}x{size[0]}", "-c", "yuv420", "-r", str(fps)]
        command += ["--preset", "medium", "-q", str(point), "-ip", "0", "-t", "1", "-v", "0", "-o", str(coded)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_LONGEST_S, check=False)
        if done.returncode or not coded.is_file():
            raise MediaError(f"vvencapp failed: {(done.stderr or done.stdout).strip()[-200:]}")
        parser = av.CodecContext.create("vvc", "r")
        stream = coded.read_bytes()
        return [bytes(packet) for packet in [*parser.parse(stream), *parser.parse(b"")]]


def _x264(point: int) -> dict[str, str]:
    return {"preset": "veryslow", "crf": str(point), "x264-params": "keyint=infinite:scenecut=0:log=-1"}


def _x265(point: int) -> dict[str, str]:
    quiet = "keyint=-1:scenecut=0:info=0:log-level=none:pools=none:frame-threads=1"
    return {"preset": "slow", "crf": str(point), "x265-params": quiet}


def _svtav1(point: int) -> dict[str, str]:
    return {"preset": "4", "crf": str(point), "svtav1-params": "keyint=-1:lp=1"}


_X264 = _without_sei(_through_pyav("libx264", _x264), Standard.H264)
_X265 = _without_sei(_through_pyav("libx265", _x265), Standard.H265)
_SVTAV1 = _through_pyav("libsvtav1", _svtav1)
_AV1_POINTS = (63, 58, 52, 46, 40)
ANCHORS = {
    anchor.name: anchor
    for anchor in (
        Anchor("x264", "veryslow crf", (51, 47, 43, 38, 33), _X264, "h264"),
        Anchor("x265", "slow crf", (51, 47, 44, 40, 36, 32), _X265, "hevc"),
        Anchor("svtav1", "preset 4 crf", _AV1_POINTS, _SVTAV1, "libdav1d"),
        Anchor("svtav1-half", "preset 4, half size, crf", _AV1_POINTS, _SVTAV1, "libdav1d", scale=Fraction(1, 2)),
        Anchor("vvenc", "medium qp", (58, 52, 46, 40), _through_vvencapp, "vvc", program="vvencapp"),
    )
}
