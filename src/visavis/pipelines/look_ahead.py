"""What is looked at before the first frame is made: the source, and the beginning of the driving video."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from visavis.core.errors import FaceError
from visavis.face.align import Crop, crop_for
from visavis.face.readiness import readiness
from visavis.face.types import Face, Observation
from visavis.generators.base import Generator
from visavis.media.frame import Frame, Pixels
from visavis.media.reader import VideoReader
from visavis.media.still import is_picture, read_picture
from visavis.motion.transfer import pose_distance
from visavis.pipelines.analyse import Analyser, Seen

_LOOK_AHEAD_S = 10
_LOOK_EVERY = 3  # a blink lasts five frames or more
_SOURCE_SEARCH_FRAMES = 250
_JUDGED_AT = 256


@dataclass(frozen=True)
class LookAhead:
    """What the beginning of a driving video tells.

    Attributes:
        start: observation of the frame whose pose is nearest the source's; None when no frame showed a face.
        meshes: ``float32 [478, 3]`` of each frame that showed one, in [-1, 1] over the crop.
        crop: square to cut from the driving frames.
    """

    start: Observation | None
    meshes: list[NDArray[np.float32]]
    crop: Crop


def find_source(path: Path, which: int = 0) -> Seen:
    """The source frame and its face: of a picture, or the one of a video's beginning that can be animated best.

    Args:
        path: picture or video.
        which: which face, 0 for the largest.

    Raises:
        FaceError: no face is found.
    """
    with Analyser((), face=which, video=not is_picture(path)) as analyser:
        if is_picture(path):
            frame = read_picture(path)
            face = analyser.find(frame)
            if face is None:
                raise FaceError(f"{path}: {_no_face(frame.pixels, which)}")
            return Seen(frame, face)
        best: Seen | None = None
        best_score = -1.0
        with VideoReader(path) as reader:
            for number, frame in enumerate(islice(reader, _SOURCE_SEARCH_FRAMES)):
                if number % _LOOK_EVERY and best is not None:
                    continue
                face = analyser.find(frame)
                if face is not None and (score := _readiness(frame, face)) > best_score:
                    best, best_score = Seen(frame, face), score
    if best is None:
        raise FaceError(f"{path}: no face in its first {_SOURCE_SEARCH_FRAMES} frames")
    return best


def _readiness(frame: Frame, face: Face) -> float:
    crop = crop_for([face], *frame.pixels.shape[:2], crop=True)
    return readiness(Observation(crop.cut(frame.pixels, _JUDGED_AT), mesh=crop.to_crop(face.mesh))).total


def _no_face(pixels: Pixels, which: int) -> str:
    if which:
        return f"face number {which} was not found; 0 is the largest"
    return f"no face was found in the source picture ({pixels.shape[1]}x{pixels.shape[0]})"


def observe_source(still: Seen, crop: Crop, generator: Generator) -> Observation:
    """Cut the source and compute what the generator needs of it."""
    with Analyser(generator.needs, video=False) as analyser:
        return analyser.observe(still.frame, still.face, crop, generator.size)


def look_ahead(
    driving: Path, source: Seen, generator: Generator, *, face: int = 0, crop: bool | None = None
) -> LookAhead:
    """Look through the beginning of the driving video: its crop, the frame nearest the source's pose, all meshes.

    The face is followed as the stream will follow it: a mesh found in each picture alone lies elsewhere by up to a
    pixel, and all motion is relative to the one found here.

    Args:
        driving: the video.
        source: the person who is animated.
        generator: whose priors and size count.
        face: which face, 0 for the largest.
        crop: as for :func:`visavis.face.align.crop_for`.
    """
    faces: list[Face] = []
    nearest: Seen | None = None
    best = float("inf")
    with VideoReader(driving) as reader, Analyser(generator.needs, face=face) as analyser:
        height, width = reader.info.height, reader.info.width
        for frame in thinned(reader, _LOOK_EVERY):
            found = analyser.find(frame)
            if found is None:
                continue
            faces.append(found)
            distance = pose_distance(source.face.mesh, found.mesh)
            if distance < best:
                best, nearest = distance, Seen(frame, found)
        if nearest is None:
            # The face may come later; the stream decides, and says so if none ever comes.
            return LookAhead(None, [], crop_for([source.face], height, width, crop=False))
        square = crop_for(faces, height, width, crop=crop)
        start = analyser.observe(nearest.frame, nearest.face, square, generator.size)
        return LookAhead(start, [square.to_crop(one.mesh) for one in faces], square)


def thinned(reader: VideoReader, every: int = 5) -> Iterator[Frame]:
    """Every so many frames of a video's beginning."""
    begin: Fraction | None = None
    for number, frame in enumerate(reader):
        begin = frame.time if begin is None else begin
        if frame.time - begin > _LOOK_AHEAD_S:
            return
        if number % every == 0:
            yield frame
