"""Sound out, without loss: FLAC of one channel and 16 bits."""

from __future__ import annotations

import io
from fractions import Fraction

import av
import numpy as np
from numpy.typing import NDArray

_FULL = 1 << 15
_OPTIONS = {"threads": "1", "compression_level": "8"}


def in_16_bits(samples: NDArray[np.float32]) -> NDArray[np.int16]:
    """Samples in [-1, 1] as whole numbers of 1 / 32768; louder ones are cut off."""
    return np.clip(np.rint(samples * np.float32(_FULL)), -_FULL, _FULL - 1).astype(np.int16)


def encode_flac(samples: NDArray[np.int16], rate_hz: int) -> bytes:
    """Code mono samples ``int16 [N]``; the same samples give the same bytes, whoever codes them with this FFmpeg."""
    out = io.BytesIO()
    # Without its version and 8 kB of room for tags, which FFmpeg writes otherwise.
    with av.open(out, "w", format="flac", options={"fflags": "bitexact", "metadata_header_padding": "0"}) as container:
        stream = container.add_stream("flac", rate=rate_hz, layout="mono", options=_OPTIONS)
        frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = rate_hz, 0, Fraction(1, rate_hz)
        for coded in (frame, None):
            container.mux(stream.encode(coded))
    return out.getvalue()
