"""Pictures into a GIF or an animated WebP, with the mark that they are generated."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import av.error
import numpy as np
from av.video.frame import VideoFrame
from PIL import Image

from visavis.media.forms import Animated
from visavis.media.frame import Pixels
from visavis.media.provenance import xmp

_COLOURS = 256
_HAS_XMP = 0x04


class AnimatedFile:
    """Writes a picture that moves and begins again for ever.

    Times are rounded to the format's ticks, each by itself, so that nothing adds up; a frame that would be shown for
    less than viewers allow is left out.

    Args:
        file: to write.
        form: which kind.
        size: ``(height, width)``.
        metadata: of which ``comment`` is kept.
    """

    def __init__(self, file: Path, form: Animated, *, size: tuple[int, int], metadata: Mapping[str, str]) -> None:
        self._file, self._form = file, form
        self._comment = metadata.get("comment", "")
        self._container = av.open(f"file:{file}", "w", format=form.container, options={"loop": "0"})
        self._stream = self._container.add_stream(form.coder, rate=round(1 / form.tick))
        self._stream.height, self._stream.width = size
        self._stream.pix_fmt = "pal8" if form.coder == "gif" else "yuv420p"
        self._stream.codec_context.time_base = form.tick
        self._stream.options = dict(form.tuning)
        self._waiting: tuple[Pixels, int] | None = None

    def add(self, pixels: Pixels, time: Fraction) -> None:
        """Append a picture."""
        at = round(time / self._form.tick)
        if self._waiting is not None and at - self._waiting[1] < self._form.shortest:
            return
        self._put(until=at)
        self._waiting = (pixels.copy(), at)

    def finish(self, end: Fraction) -> None:
        """Show the last picture until ``end`` seconds, close the file and mark it."""
        self._put(until=round(end / self._form.tick))
        self._container.mux(self._stream.encode(None))
        self._container.close()
        if self._comment:
            (_mark_gif if self._form.coder == "gif" else _mark_webp)(self._file, self._comment)

    def close(self) -> None:
        """Close the file, finished or not."""
        with suppress(av.error.FFmpegError, OSError, ValueError):
            self._container.close()

    def _put(self, until: int) -> None:
        if self._waiting is None:
            return
        pixels, at = self._waiting
        frame = _of_few_colours(pixels) if self._form.coder == "gif" else VideoFrame.from_ndarray(pixels, "rgb24")
        frame.pts, frame.time_base, frame.duration = at, self._form.tick, max(until - at, self._form.shortest)
        for packet in self._stream.encode(frame):
            packet.duration = frame.duration
            self._container.mux(packet)


def _of_few_colours(pixels: Pixels) -> VideoFrame:
    """The picture in the 256 colours that suit it best, errors spread to neighbours."""
    picture = Image.fromarray(pixels)
    few = picture.quantize(_COLOURS, Image.Quantize.MEDIANCUT)
    few = picture.quantize(palette=few, dither=Image.Dither.FLOYDSTEINBERG)
    colours = np.asarray(few.getpalette("RGB"), np.uint8).reshape(-1, 3)
    table = np.full((_COLOURS, 4), 255, np.uint8)  # opaque
    table[: len(colours), 1:] = colours
    # With a palette it takes two arrays; the stubs say one.
    return VideoFrame.from_ndarray((np.asarray(few, np.uint8), table), "pal8")  # type: ignore[arg-type]


def _mark_gif(file: Path, comment: str) -> None:
    """Put a comment before the end of a GIF, in pieces of at most 255 bytes."""
    text = comment.encode("ascii", "replace")
    pieces = [text[at : at + 255] for at in range(0, len(text), 255)]
    with file.open("r+b") as opened:
        opened.seek(-1, 2)
        end = opened.read(1)
        opened.seek(-1, 2)
        opened.write(b"\x21\xfe" + b"".join(bytes([len(piece)]) + piece for piece in pieces) + b"\0" + end)


def _mark_webp(file: Path, comment: str) -> None:
    """Append a chunk of metadata to a WebP file of chunks, and say in its head that it is there."""
    data = xmp(comment)
    with file.open("r+b") as opened:
        opened.seek(20)
        flags = opened.read(1)[0]
        opened.seek(20)
        opened.write(bytes([flags | _HAS_XMP]))
        opened.seek(0, 2)
        opened.write(b"XMP " + len(data).to_bytes(4, "little") + data + bytes(len(data) % 2))
        size = opened.tell() - 8
        opened.seek(4)
        opened.write(size.to_bytes(4, "little"))
