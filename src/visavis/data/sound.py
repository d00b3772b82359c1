"""The sound of a clip: what shards keep of it, computed once from the video's."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from visavis.audio.mel import RATE_HZ, STEP_SAMPLES, WINDOW_SAMPLES, log_mel

FPS = 25
SAMPLES_A_FRAME = RATE_HZ // FPS
_LEAD = WINDOW_SAMPLES // 2


@dataclass(frozen=True)
class ClipSound:
    """The sound of a clip of T frames.

    Attributes:
        mel: ``float32 [80, 4 T + 16]``; columns ``4 k`` to ``4 k + 19`` are what ``SoundWindow.at(start + k / 25)``
            gives. It hears a tenth of a second before the clip, too.
        flac: the samples, ``640 T`` of them at 16 kHz and 16 bits; frame k is shown from sample ``640 k`` on.
    """

    mel: NDArray[np.float32]
    flac: bytes


def clip_sound(path: Path, start: Fraction, frames: int) -> ClipSound | None:
    """Hear ``frames`` frames of a video from ``start`` seconds on; silence where it has no sound, None if nowhere."""
    from visavis.media.flac import encode_flac, in_16_bits
    from visavis.media.reader import SoundReader

    length = (frames - 1) * SAMPLES_A_FRAME + WINDOW_SAMPLES
    samples = np.zeros(length + STEP_SAMPLES, np.float32)
    heard = False
    with SoundReader(path, RATE_HZ, start=max(start - 1, Fraction(0))) as chunks:
        for chunk in chunks:
            at = round((chunk.time - start) * RATE_HZ) + _LEAD
            if at >= len(samples):
                break
            first, last = max(at, 0), min(at + len(chunk.samples), len(samples))
            if last > first:
                samples[first:last] = chunk.samples[first - at : last - at]
                heard = True
    if not heard:
        return None
    clip = samples[_LEAD : _LEAD + frames * SAMPLES_A_FRAME]
    return ClipSound(log_mel(samples[:length]), encode_flac(in_16_bits(clip), RATE_HZ))
