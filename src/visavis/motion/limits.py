"""Bending what is asked towards what can be had."""

from __future__ import annotations

import math


def softened(value: float, free: float, most: float) -> float:
    """A magnitude that is kept up to ``free`` and bent towards ``most`` beyond it, without a corner.

    Args:
        value: not negative.
        free: up to where nothing changes.
        most: what the largest value comes to; more than ``free``.
    """
    if value <= free:
        return value
    room = most - free
    return free + room * (1 - math.exp((free - value) / room))
