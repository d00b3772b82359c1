"""Animated WebP pictures, which FFmpeg does not read, as pictures with times."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

from visavis.core.closing import Closing
from visavis.core.errors import MediaError
from visavis.media.container import check_readable, check_size
from visavis.media.pictures import Timed
from visavis.media.profiles import in_srgb
from visavis.media.rate import USUAL, estimated

_TICK = Fraction(1, 1000)
#: What browsers do with frames that ask for less than 11 ms.
_TOO_SHORT_MS, _INSTEAD_MS = 11, 100


def is_animation(path: Path) -> bool:
    """Whether a file's content is an animated WebP picture."""
    with check_readable(path).open("rb") as opened:
        head = opened.read(21)
    return head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and bool(head[20] & 2)


class Animation(Closing):
    """The pictures of an animated WebP file; attributes as those of :class:`visavis.media.pictures.CodedPictures`."""

    has_sound = False
    codec = "webp"
    transfer: int | None = None
    pixel_shape = Fraction(1)

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damaged = 0
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._picture = Image.open(check_readable(path))
            check_size(path, *self._picture.size)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise MediaError(f"{path}: is not an animated picture that can be read, or is damaged") from error
        self.frames: int | None = getattr(self._picture, "n_frames", 1)
        self._times = list(_chunk_times(check_readable(path)))
        self.rate = estimated(self._times[:-1]) or USUAL
        self.duration: Fraction | None = self._times[-1] if self._times else None

    def close(self) -> None:
        """Close the file."""
        self._picture.close()

    def __iter__(self) -> Iterator[Timed]:
        for number, time in enumerate(self._times[:-1]):
            try:
                self._picture.seek(number)
                layers = np.asarray(in_srgb(self._picture.convert("RGBA")).convert("RGBA"), np.uint8)
            except (OSError, EOFError, ValueError, SyntaxError):
                self.damaged += 1
                return
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(layers), format="rgba")
            frame.pts, frame.time_base = round(time / _TICK), _TICK
            yield frame, time


def _shown_ms(asked_ms: int) -> int:
    return asked_ms if asked_ms >= _TOO_SHORT_MS else _INSTEAD_MS


def _chunk_times(path: Path) -> Iterator[Fraction]:
    """When frames begin, and the end of the last, by the lengths in the chunks of the file; nothing is decoded."""
    at_ms = 0
    with path.open("rb") as file:
        file.seek(12)
        while len(head := file.read(8)) == 8:
            size = int.from_bytes(head[4:], "little")
            begins = file.tell()
            if head[:4] == b"ANMF":
                yield at_ms * _TICK
                at_ms += _shown_ms(int.from_bytes(file.read(15)[12:15], "little"))
            file.seek(begins + size + size % 2)
    if at_ms:
        yield at_ms * _TICK
