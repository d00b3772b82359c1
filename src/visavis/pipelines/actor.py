"""A video of somebody whose head or expression is played by another: its meshes, one every 40 ms."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from visavis.audio.window import SoundWindow
from visavis.core.closing import Closing
from visavis.face.align import Crop, crop_for
from visavis.face.fitting import fit_clip
from visavis.face.model3d import load_face_model
from visavis.face.types import Face
from visavis.media.reader import SoundReader, VideoReader
from visavis.motion import camera
from visavis.motion.kind import Mesh
from visavis.motion.speech.rest import FaceSpace
from visavis.motion.speech.spoken import REST_CAMERA
from visavis.motion.spoken_face import reposed
from visavis.pipelines.analyse import Analyser
from visavis.pipelines.seen import check_moving, seen_ahead
from visavis.pipelines.speaks import Rhythmic, Speaks

Array = NDArray[np.float32]
STEP = Fraction(1, 25)
_LOOK_EVERY = 3
#: Of a video that is too short, the last minute is played back and forth.
_KEPT = 1500
_REFERENCE_FRAMES = 75


class Actor(Closing):
    """A person in a video, 25 times a second.

    Args:
        path: the video.
        which: which face, 0 for the largest.

    Attributes:
        known: meshes ``float32 [478, 3]`` of the video's beginning, in [-1, 1] over the face's crop.

    Raises:
        FaceError: no frame shows a face.
        MediaError: no video.
    """

    def __init__(self, path: Path, which: int = 0) -> None:
        check_moving(path)
        self.path, self._which = path, which
        faces: list[Face] = []
        with VideoReader(path) as reader, Analyser((), face=which) as analyser:
            self.first_seen = Fraction(0)
            for seen in seen_ahead(reader, analyser, which=which, every=_LOOK_EVERY):
                self.first_seen = self.first_seen if faces else seen.frame.time
                faces.append(seen.face)
            self._crop: Crop = crop_for(faces, reader.info.height, reader.info.width, crop=True)
        self.known = [self._crop.to_crop(face.mesh) for face in faces]
        self._reader = VideoReader(path)
        self._analyser = Analyser((), face=which)

    def close(self) -> None:
        """Close the video."""
        self._reader.close()
        self._analyser.close()

    def meshes(self) -> Iterator[Mesh]:
        """Meshes every 40 ms from the video's start to its end; to be taken once. A frame without a face holds."""
        held, crop, tick = self.known[0], self._crop, Fraction(0)
        for frame in self._reader:
            while tick < frame.time:
                yield held
                tick += STEP
            face = self._analyser.find(frame)
            if face is not None:
                crop = self._analyser.follow(crop, face)
                held = self._analyser.smooth(frame, face, crop)
        yield held

    def endless(self) -> Iterator[Mesh]:
        """The same, and when the video ends, back and forth through its last minute."""
        kept: deque[Mesh] = deque(maxlen=_KEPT)
        for mesh in self.meshes():
            kept.append(mesh)
            yield mesh
        played = list(kept)
        while True:
            played.reverse()
            yield from played[1:] or played

    def heads(self) -> Iterator[Array]:
        """Endless cameras ``float32 [6]`` of a head that rests, and moves as this one does from its start on."""
        start: NDArray[np.float64] | None = None
        rest = REST_CAMERA.astype(np.float64)
        for mesh in self.endless():
            now = camera_of(mesh).astype(np.float64)
            start = now if start is None else start
            yield np.asarray(camera.relative(rest, start, now), np.float32)

    def resting_meshes(self) -> list[Mesh]:
        """The known meshes with heads that rest."""
        return [reposed(mesh, camera_of(mesh), REST_CAMERA) for mesh in self.known]


def camera_of(mesh: Mesh) -> Array:
    """The camera ``float32 [6]`` of a mesh."""
    return fit_clip(mesh[None]).camera[0]


class Beginning:
    """The first three seconds of a clip in which somebody is seen: how that person moves.

    Args:
        path: a video; one without sound counts as one of silence.
        which: which face, 0 for the largest.

    Attributes:
        meshes: ``float32 [478, 3]`` each, every 40 ms, in [-1, 1] over the face's crop.
    """

    def __init__(self, path: Path, which: int = 0) -> None:
        self._path = path
        with Actor(path, which) as actor:
            self._skipped = int(actor.first_seen / STEP)
            self.meshes = list(islice(actor.meshes(), self._skipped, self._skipped + _REFERENCE_FRAMES))

    def rhythm(self, speaker: Speaks) -> Rhythmic:
        """How the person moves in speaking, for a speaker that is to move like that."""
        hears = speaker.hears
        with SoundReader(self._path, hears.rate_hz) as chunks:
            sound = SoundWindow(chunks, hears)
            heard = np.stack([sound.at((self._skipped + number) * STEP) for number in range(len(self.meshes))])
        return rhythm_of(self.meshes, heard, speaker)


def rhythm_of(meshes: Sequence[Mesh], heard: Array, speaker: Speaks) -> Rhythmic:
    """How somebody moves, by meshes ``[478, 3]`` every 40 ms and what is heard ``[T, n]`` of each."""
    if len(meshes) == 1:  # one picture of a head says that it is still
        meshes, heard = [*meshes, *meshes], np.repeat(heard, 2, 0)
    fit = fit_clip(np.stack(meshes))
    opened = FaceSpace.of(load_face_model(), fit.identity).opened(fit.expression.astype(np.float64))
    return speaker.rhythm_of(fit.camera, heard, np.asarray(opened, np.float32))
