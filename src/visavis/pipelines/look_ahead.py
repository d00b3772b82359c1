"""What is looked at before the first frame is made: the source, and the beginning of the driving video."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from heapq import nlargest
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from visavis.core.errors import FaceError
from visavis.face.align import Crop, crop_for
from visavis.face.pose import pose_distance
from visavis.face.readiness import readiness
from visavis.face.types import Face, Observation
from visavis.generators.base import Generator, Prior
from visavis.media.reader import VideoReader
from visavis.media.still import is_picture, read_picture
from visavis.media.twice import TwiceReader
from visavis.pipelines.analyse import Analyser, Seen
from visavis.pipelines.seen import no_face, seen_ahead

_LOOK_EVERY = 3  # a blink lasts five frames or more
_JUDGED_AT = 256

Mesh = NDArray[np.float32]


@dataclass(frozen=True)
class LookAhead:
    """What the beginning of a driving video tells.

    Attributes:
        start: observation of the frame whose pose is nearest the source's.
        meshes: ``float32 [478, 3]`` of each frame that showed one, in [-1, 1] over the crop.
        crop: square to cut from the driving frames.
    """

    start: Observation
    meshes: list[NDArray[np.float32]]
    crop: Crop


def find_source(path: Path, which: int = 0, most: int = 1) -> list[Seen]:
    """Source frames and their faces: of a picture, or those of a video's beginning that can be animated best.

    Args:
        path: picture or video.
        which: which face, 0 for the largest.
        most: how many are wanted; a picture gives one.

    Returns:
        At least one, the best first.

    Raises:
        FaceError: no face is found.
    """
    with Analyser((), face=which, video=not is_picture(path)) as analyser:
        if is_picture(path):
            frame = read_picture(path)
            face = analyser.find(frame)
            if face is None:
                height, width = frame.pixels.shape[:2]
                raise FaceError(no_face(path, f"in the source picture ({width}x{height})", which))
            return [Seen(frame, face)]
        with VideoReader(path) as reader:
            return nlargest(most, seen_ahead(reader, analyser, which=which, every=_LOOK_EVERY), key=_readiness)


def _readiness(seen: Seen) -> float:
    crop = crop_for([seen.face], *seen.frame.pixels.shape[:2], crop=True)
    return readiness(Observation(crop.cut(seen.frame.pixels, _JUDGED_AT), mesh=crop.to_crop(seen.face.mesh))).total


def observe_source(still: Seen, crop: Crop, generator: Generator) -> Observation:
    """Cut the source and compute what the generator needs of it."""
    with Analyser(generator.needs, video=False) as analyser:
        return analyser.observe(still.frame, still.face, crop, generator.size)


def observe_sources(stills: Sequence[Seen], generator: Generator, crop: bool | None) -> tuple[Crop, list[Observation]]:
    """Cut every source by itself and compute what the generator needs of it.

    Args:
        stills: at least one.
        generator: whose priors and size count.
        crop: as for :func:`visavis.face.align.crop_for`.

    Returns:
        The first one's crop, and observations of all.
    """
    crops = [crop_for([still.face], *still.frame.pixels.shape[:2], crop=crop) for still in stills]
    return crops[0], [observe_source(*both, generator) for both in zip(stills, crops, strict=True)]


def look_ahead(
    driving: TwiceReader, pose: Mesh, needs: Collection[Prior], size: int, *, face: int = 0, crop: bool | None = None
) -> LookAhead:
    """Look through the beginning of the driving video: its crop, the frame nearest the source's pose, all meshes.

    The face is followed as the stream will follow it: a mesh found in each picture alone lies elsewhere by up to a
    pixel, and all motion is relative to the one found here.

    Args:
        driving: the video, whose beginning is read ahead.
        pose: mesh ``[478, 3]`` of the source, in any coordinates.
        needs, size: priors and side of the start frame's observation.
        face: which face, 0 for the largest.
        crop: as for :func:`visavis.face.align.crop_for`.

    Raises:
        FaceError: no frame of the whole video shows a face.
    """
    faces: list[Face] = []
    nearest: Seen | None = None
    best = float("inf")
    with Analyser(needs, face=face) as analyser:
        height, width = driving.info.height, driving.info.width
        for seen in seen_ahead(driving, analyser, which=face, every=_LOOK_EVERY):
            faces.append(seen.face)
            distance = pose_distance(pose, seen.face.mesh)
            if distance < best:
                best, nearest = distance, seen
        assert nearest is not None
        square = crop_for(faces, height, width, crop=crop)
        start = analyser.observe(nearest.frame, nearest.face, square, size)
        return LookAhead(start, [square.to_crop(one.mesh) for one in faces], square)
