"""Pictures and sound into one of the containers that hold both."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import av.error
import numpy as np
from av.audio.stream import AudioStream

from visavis.media.carried import CarriedSound, SoundBeside
from visavis.media.colour import from_rgb
from visavis.media.forms import Coded
from visavis.media.frame import Pixels

_TIME_BASE = Fraction(1, 90_000)
_BT709 = _LIMITED_RANGE = 1  # as ISO/IEC 23091-2 and FFmpeg number them


class CodedFile:
    """Writes a video file with the sound of another one beside it. Sides must be even.

    Args:
        file: to write.
        form: which kind.
        size: ``(height, width)``.
        fps: nominal rate.
        sound: file whose sound is carried along, or sound itself, which is closed in the end, or None.
        metadata: of the container.
    """

    def __init__(
        self,
        file: Path,
        form: Coded,
        *,
        size: tuple[int, int],
        fps: Fraction,
        sound: Path | SoundBeside | None,
        metadata: Mapping[str, str],
    ) -> None:
        # Behind "file:" a name may hold colons.
        self._container = av.open(f"file:{file}", "w", format=form.container, options=dict(form.options))
        self._sound: SoundBeside | None = None if isinstance(sound, Path) else sound
        try:
            self._container.metadata.update(metadata)
            self._video = self._container.add_stream(form.video, rate=fps.limit_denominator(60_000))
            self._video.height, self._video.width = size
            self._video.pix_fmt = "yuv420p"
            self._video.bit_rate = 0  # quality is what is asked for
            self._video.codec_context.time_base = _TIME_BASE
            self._video.options = dict(form.tuning)
            # Said in the file, or players guess the colours from the size.
            context = self._video.codec_context
            context.colorspace = context.color_primaries = context.color_trc = _BT709
            context.color_range = _LIMITED_RANGE
            if isinstance(sound, Path):
                self._sound = CarriedSound.open(sound, form.rates_hz)
            if self._sound is not None:
                self._audio: AudioStream = self._container.add_stream(form.sound, rate=self._sound.rate_hz)
                self._audio.layout = self._sound.layout
        except BaseException:
            self.close()
            raise

    def add(self, pixels: Pixels, time: Fraction) -> None:
        """Append a picture, and sound up to it: never ahead of the pictures, as this one may be the last."""
        picture = from_rgb(np.ascontiguousarray(pixels))
        picture.pts, picture.time_base = round(time / _TIME_BASE), _TIME_BASE
        self._container.mux(self._video.encode(picture))
        self._carry(time, end=None)

    def finish(self, end: Fraction) -> None:
        """Write all that waits, with sound up to ``end`` seconds, and close the file."""
        self._container.mux(self._video.encode(None))
        self._carry(end, end=end)
        if self._sound is not None:
            self._container.mux(self._audio.encode(None))
        self._container.close()
        self.close()

    def close(self) -> None:
        """Close the files, finished or not."""
        if self._sound is not None:
            self._sound.close()
        # The disk may be full: whoever closes an unfinished file throws it away.
        with suppress(av.error.FFmpegError, OSError, ValueError):
            self._container.close()

    def _carry(self, until: Fraction, end: Fraction | None) -> None:
        if self._sound is None:
            return
        for piece in self._sound.until(until, end):
            self._container.mux(self._audio.encode(piece))
