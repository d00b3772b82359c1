"""Keypoints as plain floats: the thesis's 80 bytes a frame for ten of them."""

from __future__ import annotations

import numpy as np

from visavis.codec.motion_coder import Floats
from visavis.core.errors import CodecError

#: Points stay within this, in crop coordinates, whatever arrives.
_MOST = 4.0


def pack_points(points: Floats) -> bytes:
    """Points ``[G, 2 K]`` as little-endian float32."""
    return np.ascontiguousarray(points, "<f4").tobytes()


def unpack_points(payload: bytes, frames: int, keypoints: int) -> Floats:
    """The inverse of :func:`pack_points`; what is not finite becomes 0.

    Raises:
        CodecError: the payload has another length.
    """
    if len(payload) != 8 * frames * keypoints:
        raise CodecError(f"damaged motion: {len(payload)} bytes for {frames} frames of {keypoints} points")
    values = np.frombuffer(payload, "<f4").astype(np.float32)
    return np.clip(np.nan_to_num(values, posinf=0, neginf=0), -_MOST, _MOST).reshape(frames, 2 * keypoints)
