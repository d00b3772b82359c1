"""High dynamic range down to what an 8-bit picture shows: PQ and HLG to BT.709 (ITU-R BT.2100, BT.2408).

Reference white, 203 cd/m^2, is 1.0. Up to the knee light is kept as it is, so that a face keeps its tones; brighter
light is rolled off towards 1, the three colours by one factor, so that hues stay.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from visavis.media.frame import Pixels

#: Transfer functions as ISO/IEC 23091-2 and FFmpeg number them.
PQ, HLG = 16, 18

_WHITE_NITS = 203.0
_HLG_PEAK_NITS, _HLG_GAMMA = 1000.0, 1.2
_KNEE = 0.8
_DISPLAY_GAMMA = 2.4  # ITU-R BT.1886
_LUMINANCE = np.array([0.2627, 0.6780, 0.0593], np.float32)
_BT2020_TO_BT709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32
)
_STEPS = 1 << 16


def tone_map(signal: NDArray[np.uint16], transfer: int) -> Pixels:
    """Turn a picture ``uint16 [H, W, 3]``, full scale 65535, BT.2020 primaries, into ``uint8 [H, W, 3]`` for BT.709.

    Args:
        signal: non-linear R'G'B' as decoded.
        transfer: :data:`PQ` or :data:`HLG`.
    """
    light = _pq_light()[signal] if transfer == PQ else _hlg_display(_hlg_light()[signal])
    light = np.maximum(light @ _BT2020_TO_BT709.T, 0)
    brightest = light.max(-1, keepdims=True)
    rolled = _KNEE + (1 - _KNEE) * -np.expm1((_KNEE - brightest) / (1 - _KNEE))
    shown = light * np.where(brightest > _KNEE, rolled / np.maximum(brightest, _KNEE), 1)
    return _encoded()[np.rint(shown * (_STEPS - 1)).astype(np.uint16)]


def _codes() -> NDArray[np.float64]:
    return np.arange(_STEPS) / (_STEPS - 1)


@cache
def _pq_light() -> NDArray[np.float32]:
    """Light by code, 1.0 is reference white (SMPTE ST 2084)."""
    c1, c2, c3, m1, m2 = 107 / 128, 2413 / 128, 2392 / 128, 1305 / 8192, 2523 / 32
    root = _codes() ** (1 / m2)
    light = 10_000 * (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1)
    return (light / _WHITE_NITS).astype(np.float32)


@cache
def _hlg_light() -> NDArray[np.float32]:
    """Light of the scene by code, in [0, 1] (ARIB STD-B67)."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    codes = _codes()
    return np.where(codes <= 0.5, codes**2 / 3, (np.exp((codes - c) / a) + b) / 12).astype(np.float32)


def _hlg_display(scene: NDArray[np.float32]) -> NDArray[np.float32]:
    luminance = (scene @ _LUMINANCE)[..., None]
    shown = scene * luminance ** np.float32(_HLG_GAMMA - 1)
    return np.asarray(shown * np.float32(_HLG_PEAK_NITS / _WHITE_NITS), np.float32)


@cache
def _encoded() -> Pixels:
    return np.rint(255 * _codes() ** (1 / _DISPLAY_GAMMA)).astype(np.uint8)
