"""What the measuring of talking reads of clips."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from visavis.core.errors import DataError, FaceError
from visavis.evaluation.clip import ALL_PRIORS, SIZE, read_sound
from visavis.evaluation.protocol import ClipEntry
from visavis.face.align import whole
from visavis.face.types import Observation
from visavis.media.frame import Pixels
from visavis.media.reader import VideoReader
from visavis.motion.kind import Mesh
from visavis.pipelines.actor import STEP
from visavis.pipelines.analyse import Analyser

#: Frames that tell the rhythm, and how few there must be after them: lip sync takes so many.
REFERENCE, FEWEST = 75, 30


@dataclass
class Clip:
    """What is read of one clip of 25 frames a second.

    Attributes:
        source: its first frame, with all priors.
        pictures: of the frames that are rendered.
        first: number of the first of these.
        meshes: of all frames, in [-1, 1], as followed.
        sound: 16 kHz mono, of the frames that are rendered.
    """

    entry: ClipEntry
    source: Observation
    pictures: list[Pixels]
    first: int
    meshes: list[Mesh]
    sound: NDArray[np.float32]


def read(entry: ClipEntry, rendered: int) -> Clip:
    """Read a clip: its first frame, its meshes, and the frames that are measured.

    Raises:
        DataError: not of 25 frames a second, too short, or without sound.
        FaceError: a frame without a face.
    """
    source, pictures, meshes = _followed(entry, rendered)
    if len(meshes) - REFERENCE < FEWEST:
        raise DataError(f"{entry.path}: is shorter than {float((REFERENCE + FEWEST) * STEP):g} s")
    sound = read_sound(entry.path, REFERENCE * STEP, (REFERENCE + len(pictures)) * STEP)
    if sound is None:
        raise DataError(f"{entry.path}: has no sound")
    return Clip(entry, source, pictures, REFERENCE, meshes, sound)


def _followed(
    entry: ClipEntry, rendered: int, *, whole_clip: bool = True
) -> tuple[Observation, list[Pixels], list[Mesh]]:
    """First frame, frames that are measured, and the meshes of all.

    Raises:
        DataError: not of 25 frames a second.
        FaceError: a frame without a face.
    """
    source: Observation | None = None
    pictures: list[Pixels] = []
    meshes: list[Mesh] = []
    with VideoReader(entry.path) as reader, Analyser(ALL_PRIORS) as analyser:
        if reader.info.fps != 1 / STEP:
            raise DataError(f"{entry.path}: has {float(reader.info.fps):g} frames a second; talking needs 25")
        for frame in reader:
            face = analyser.find(frame)
            if face is None and not whole_clip:
                continue
            if face is None:
                raise FaceError(f"{entry.path}: no face at {float(frame.time):.2f} s")
            crop = whole(*frame.pixels.shape[:2])
            if source is None:
                source = analyser.observe(frame, face, crop, SIZE)
                meshes.append(mesh_of(source))
            else:
                meshes.append(analyser.smooth(frame, face, crop))
            if REFERENCE <= len(meshes) - 1 < REFERENCE + rendered:
                pictures.append(crop.cut(frame.pixels, SIZE))
    if source is None:
        raise DataError(f"{entry.path}: has no frames")
    return source, pictures, meshes


def sentence(clip: Clip, other: ClipEntry) -> list[Mesh]:
    """Another clip's meshes, or the clip's own from its middle on where there is no other."""
    if other is clip.entry:
        half = len(clip.meshes) // 2
        return [*clip.meshes[half:], *clip.meshes[:half]]
    return _followed(other, 0, whole_clip=False)[2]


def mesh_of(observation: Observation) -> Mesh:
    """The mesh of an observation that has one."""
    assert observation.mesh is not None, "clips are read with their meshes"
    return observation.mesh
