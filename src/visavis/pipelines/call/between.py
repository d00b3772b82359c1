"""Frames between two that were sent (thesis, section 3.3.4).

Either the generator paints them from motion on a straight line, or a small network makes them from their neighbours and
the keypoints of both; where motion has no keypoints, the generator does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from visavis.codec.transform import POINTS, count_points
from visavis.enhance.interpolation import MULTIPLE, Interpolator, Neighbours, load_interpolator
from visavis.media.frame import Pixels
from visavis.motion.layout import Layout
from visavis.nn.denormals import denormals_flushed
from visavis.pipelines.call.painter import Array
from visavis.pipelines.reenact import to_pixels


@dataclass(frozen=True)
class Gap:
    """What is known of a frame between two.

    Attributes:
        before, after: the generated neighbours ``uint8 [S, S, 3]``.
        before_vector, after_vector: their motion ``float32 [D]``.
        share: place between them, 0 to 1.
    """

    before: Pixels
    after: Pixels
    before_vector: Array
    after_vector: Array
    share: float

    @property
    def vector(self) -> Array:
        """Motion on the straight line between the neighbours."""
        return np.asarray(self.before_vector + self.share * (self.after_vector - self.before_vector), np.float32)


#: Who makes frames that were not sent.
BetweenChoice = Literal["network", "motion"]
#: Paints a motion vector from the pivot of the nearer neighbour, with the sound of the frame's time.
Paint = Callable[[Array], Pixels]
Between = Callable[[Gap, Paint], Pixels]


def by_motion(gap: Gap, paint: Paint) -> Pixels:
    """Move the pivot by the motion between: as dear as a frame that was sent, and as sharp."""
    return paint(gap.vector)


def by_network(network: Interpolator, layout: Layout) -> Between:
    """Make them from their neighbours, for a small part of what the generator costs.

    Args:
        network: in evaluation mode; the result is as exact as its weights.
        layout: of the motion vectors; it has keypoints. Pictures whose side is no multiple of 8 are left to the
            generator.
    """
    weights = next(network.parameters())

    def points(vector: Array) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(layout.of(vector[None], POINTS))).to(weights)

    def picture(pixels: Pixels) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(pixels)).to(weights).permute(2, 0, 1)[None] / 255

    @torch.inference_mode()
    def make(gap: Gap, paint: Paint) -> Pixels:
        if gap.before.shape[0] % MULTIPLE:
            return by_motion(gap, paint)
        share = weights.new_tensor([gap.share])
        pair = Neighbours(
            picture(gap.before), picture(gap.after), points(gap.before_vector), points(gap.after_vector), share
        )
        with denormals_flushed():
            return to_pixels(network(pair).picture)

    return make


def maker(choice: BetweenChoice, interpolated: int, layout: Layout) -> BetweenChoice | None:
    """Who makes the frames between; None if all are sent. Without keypoints it is always the generator."""
    if not interpolated:
        return None
    return choice if count_points(layout) else "motion"


def chosen(choice: BetweenChoice, interpolated: int, layout: Layout, device: str = "cpu") -> Between:
    """The packaged network or the generator, as :func:`maker` says; no network is loaded that is not needed.

    Args:
        choice: which.
        interpolated: frames between two that are sent.
        layout: of the call's motion vectors.
        device: that the network runs on; always in fp32, as exact as its weights.
    """
    if maker(choice, interpolated, layout) != "network":
        return by_motion
    return by_network(load_interpolator().to(device), layout)
