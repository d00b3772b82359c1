"""Frames between two that were sent (thesis, section 3.3.4).

Either the generator paints them from motion on a straight line, or a small network makes them from their neighbours and
the keypoints of both; where motion has no keypoints, the generator does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from visavis.media.frame import Pixels
from visavis.motion.kind import MotionKind
from visavis.motion.layout import Motion
from visavis.nn.engine import PLAIN, Engine
from visavis.nn.graph import Graph
from visavis.nn.pictures import as_tensor, to_pixels
from visavis.pipelines.stages import Promise

if TYPE_CHECKING:
    from visavis.enhance.interpolation import Interpolator


@dataclass(frozen=True)
class Gap:
    """What is known of a frame between two.

    Attributes:
        before, after: the generated neighbours ``uint8 [S, S, 3]``.
        before_motion, after_motion: their motion.
        share: place between them, 0 to 1.
    """

    before: Pixels
    after: Pixels
    before_motion: Motion
    after_motion: Motion
    share: float


#: Who makes frames that were not sent.
BetweenChoice = Literal["network", "motion"]
#: Paints the motion on the straight line from the pivot of the nearer neighbour, with the sound of the frame's time.
Paint = Callable[[], Pixels]
#: Begins to paint a picture, see :meth:`visavis.pipelines.stages.Stages.begin`.
Begin = Callable[[Paint], Promise[Pixels]]


class Between(Protocol):
    """Makes a frame between two."""

    def __call__(self, gap: Promise[Gap], paint: Paint, begin: Begin) -> Promise[Pixels]:
        """Begin to make it.

        Args:
            gap: what is known, once both neighbours are painted.
            paint: has the generator do it.
            begin: with others, or at once.
        """


def by_motion(gap: Promise[Gap], paint: Paint, begin: Begin) -> Promise[Pixels]:
    """Move the pivot by the motion between: as dear as a frame that was sent, and as sharp."""
    return begin(paint)


def by_network(network: Interpolator, kind: MotionKind, engine: Engine = PLAIN) -> Between:
    """Make them from their neighbours, for a small part of what the generator costs.

    Args:
        network: in evaluation mode; the result is as exact as its weights.
        kind: of the call's motion. Where it has no points, and pictures whose side is no multiple of 8, are left to
            the generator.
        engine: who computes it, on which device and with how many threads.
    """
    import torch

    from visavis.enhance.interpolation import MULTIPLE, Neighbours
    from visavis.runtime.compiled import compile_graphs

    network = network.to(engine.device)
    compile_graphs(network, [Graph("forward", exact=True, lent=True)], engine)

    def make(gap: Gap, paint: Paint) -> Pixels:
        points = [kind.points(motion) for motion in (gap.before_motion, gap.after_motion)]
        if gap.before.shape[0] % MULTIPLE or points[0] is None or points[1] is None:
            return paint()
        with engine.computing():
            before, after = (torch.from_numpy(one.copy())[None].to(engine.device) for one in points if one is not None)
            share = torch.full((1,), gap.share, device=engine.device)
            pictures = as_tensor(gap.before, engine.device), as_tensor(gap.after, engine.device)
            return to_pixels(network(Neighbours(*pictures, before, after, share)).picture)

    # Made by whoever wants it: torch's threads are set for the whole process.
    return lambda gap, paint, begin: lambda: make(gap(), paint)


def maker(choice: BetweenChoice, interpolated: int, kind: MotionKind) -> BetweenChoice | None:
    """Who makes the frames between; None if all are sent. Where motion has no points it is always the generator."""
    if not interpolated:
        return None
    anywhere = Motion(np.zeros(kind.layout.size, np.float32), kind.layout)
    return "motion" if kind.points(anywhere) is None else choice


def chosen(choice: BetweenChoice, interpolated: int, kind: MotionKind, engine: Engine = PLAIN) -> Between:
    """The packaged network or the generator, as :func:`maker` says; no network is loaded that is not needed.

    Args:
        choice: which.
        interpolated: frames between two that are sent.
        kind: of the call's motion.
        engine: who computes it; the network is always in fp32, as exact as its weights.
    """
    if maker(choice, interpolated, kind) != "network":
        return by_motion
    from visavis.enhance.interpolation import load_interpolator

    return by_network(load_interpolator(), kind, engine)
