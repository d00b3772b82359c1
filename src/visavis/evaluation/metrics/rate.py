"""Rates: bits over time and over pixels, and what packets add on the wire."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction

import numpy as np

RTP_HEADERS_BYTES = 40  # RTP 12, UDP 8, IPv4 20
MOST_PAYLOAD_BYTES = 1200  # what fits into a packet on any path


def kbps(size_bytes: int, seconds: Fraction | float) -> float:
    """Thousands of bits a second."""
    return 8 * size_bytes / 1000 / float(seconds)


def bits_per_pixel(size_bytes: int, frames: int, pixels: int) -> float:
    """Bits over all pixels of all frames."""
    return 8 * size_bytes / (frames * pixels)


def wire_bytes(sizes_bytes: Iterable[int]) -> int:
    """Bytes on the wire of units that are sent as they come: none shares a packet, a long one is split.

    Args:
        sizes_bytes: of each coded frame, or of each message. An empty one is not sent.
    """
    return sum(size + RTP_HEADERS_BYTES * -(-size // MOST_PAYLOAD_BYTES) for size in sizes_bytes)


def rate_at(quality: float, rates: Sequence[float], qualities: Sequence[float]) -> float | None:
    """Rate at which a codec reaches a quality: between its two points around it, in the logarithm of the rate.

    Args:
        rates, qualities: of one codec's operating points, in any order; quality may grow or fall with rate.

    Returns:
        None where the quality lies outside of the points.
    """
    order = np.argsort(qualities)
    values, logs = np.asarray(qualities, float)[order], np.log(np.asarray(rates, float)[order])
    if not len(values) or not values[0] <= quality <= values[-1]:
        return None
    return float(np.exp(np.interp(quality, values, logs)))
