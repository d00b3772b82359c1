"""Training samples of more than a pair: K references and a window of consecutive frames, all of one clip.

A family that remembers its last k frames learns from windows of k + 1; a loss over time wants one more. A pair is the
case of one reference and a window of one frame. Where priors are kept of every other frame alone, faces between are
interpolated, so that windows are of consecutive frames all the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from visavis.core.errors import DataError
from visavis.data.shards import ClipRecord
from visavis.face.mirror import mirror_mesh
from visavis.training.data.dataset import decoded_clips, decoded_pictures

Floats = NDArray[np.float32]

_CANDIDATES = 4


@dataclass(frozen=True)
class FaceShape:
    """A 3D face as windows need it.

    Attributes:
        triangles: ``int64 [T, 3]``, numbers of vertices.
        colours: ``float32 [T, 3]`` in [0, 1]: what a face picture shows of each triangle.
        eyes: ``float32 [T]``, 1 for the triangles that fill an eye.
        fitted: fits a clip's meshes ``float32 [N, 478, 3]`` in [-1, 1], of one person; gives vertices
            ``float32 [N, V, 3]`` in the same place: the mesh's own points, and the irises if they are wanted.
    """

    triangles: NDArray[np.int64]
    colours: Floats
    eyes: Floats
    fitted: Callable[[Floats], Floats]


@dataclass(frozen=True)
class WindowClip:
    """One clip in memory; T frames are kept, and faces of M, since windows reach back.

    Attributes:
        identity: whose face.
        pictures: ``uint8 [T, S, S, 3]``.
        segmentation: ``uint8 [T, 64, 64]``.
        window: ``int64 [T, k + 1]``, for each kept frame the faces of its window, its own last.
        faces: vertices ``float32 [M, V, 3]`` in [-1, 1].
        mirrored: the same of the clip in a mirror; None if nobody asks for it.
        sound: features ``float32 [T, n]``, or None when the sound is not the speaker's own.
    """

    identity: str
    pictures: NDArray[np.uint8]
    segmentation: NDArray[np.uint8]
    window: NDArray[np.int64]
    faces: Floats
    mirrored: Floats | None
    sound: Floats | None


@dataclass(frozen=True)
class Loader:
    """How clips are decoded.

    Attributes:
        shape: the face that is fitted.
        before: how many frames a window reaches back.
        stride: every how many frames one is kept.
        mirrored: whether faces in a mirror are wanted too.
        heard: sound features ``float32 [N, n]`` of a clip of N frames, or None where nobody speaks.
    """

    shape: FaceShape
    before: int
    stride: int
    mirrored: bool = False
    heard: Callable[[ClipRecord], Floats | None] | None = None

    def load(self, folder: Path, split: str, *, most: int | None = None, needed: bool = True) -> list[WindowClip]:
        """Decode the split's clips; arguments as of :func:`visavis.training.data.dataset.load_clips`."""
        decoded = decoded_clips(folder, split, self._decode, one_by_one=bool(most))
        usable = list(islice((clip for clip in decoded if clip is not None), most))
        if needed and not usable:
            raise DataError(f"{folder}: no clip of split '{split}' with two usable frames")
        return usable

    def _decode(self, record: ClipRecord) -> WindowClip | None:
        priors = record.decoded()
        pictures, kept = decoded_pictures(record, priors.seen, self.stride)
        if len(kept) < 2:
            return None
        seen = np.flatnonzero(priors.seen)
        # A window does not reach back to before the face was first seen.
        back = np.arange(-self.before, 1)
        numbers = np.maximum(np.array(kept)[:, None] + back, seen[0])
        sound = None if self.heard is None else self.heard(record)
        wanted, window = np.unique(numbers, return_inverse=True)
        return WindowClip(
            str(record.info["identity"]),
            np.stack(pictures),
            priors.segmentation[kept],
            window.reshape(numbers.shape).astype(np.int64),
            between(self.shape.fitted, priors.mesh, seen, wanted),
            between(self.shape.fitted, mirror_mesh(priors.mesh), seen, wanted) if self.mirrored else None,
            None if sound is None else sound[kept],
        )


def between(
    fitted: Callable[[Floats], Floats], mesh: Floats, seen: NDArray[np.intp], wanted: NDArray[np.intp]
) -> Floats:
    """Faces of the frames ``wanted``; those of frames that were not seen are interpolated from their neighbours.

    Args:
        fitted: as of :class:`FaceShape`.
        mesh: of all frames, ``float32 [N, 478, 3]``.
        seen: numbers of the frames whose mesh is their own, rising, the first not after the first one wanted.
        wanted: numbers of frames, rising.
    """
    left = seen[np.searchsorted(seen, wanted, side="right") - 1]
    right = seen[np.minimum(np.searchsorted(seen, wanted, side="left"), len(seen) - 1)]
    used = np.union1d(left, right)
    faces = fitted(mesh[used])
    share = ((wanted - left) / np.maximum(right - left, 1)).astype(np.float32)[:, None, None]
    here, there = faces[np.searchsorted(used, left)], faces[np.searchsorted(used, right)]
    return np.asarray(here + share * (there - here), np.float32)


@dataclass(frozen=True)
class WindowDraw:
    """Which sample a row of a batch is.

    Attributes:
        clip: number of the clip.
        references: numbers of its kept frames, K of them.
        driving: number of the kept frame that ends the window.
        gain: ``float32 [3]``, factor of each colour of all pictures.
        mirrored: whether all is seen in a mirror.
        heard: whether the sound is there.
    """

    clip: int
    references: tuple[int, ...]
    driving: int
    gain: Floats
    mirrored: bool = False
    heard: bool = True


class Windows:
    """Draws samples: any kept frame of a clip ends a window, and any others are its references.

    What batch ``step`` holds depends on the seed and the step alone: a run that resumes sees what it would have seen.

    Args:
        clips: from :meth:`Loader.load`.
        references: K.
        far_share: how often the first reference is the one of several candidates whose face differs most from the
            driving one.
        jitter: strength of the colour transforms, 0 for none.
        mirrored: how often a sample is seen in a mirror.
        silent: how often a sample that has sound is without it.
    """

    def __init__(
        self,
        clips: list[WindowClip],
        *,
        seed: int = 0,
        references: int = 1,
        far_share: float = 0.5,
        jitter: float = 0.1,
        mirrored: float = 0.0,
        silent: float = 0.2,
    ) -> None:
        self.clips, self.seed, self.references = clips, seed, references
        self.far_share, self.jitter, self.mirrored, self.silent = far_share, jitter, mirrored, silent
        # The square root keeps long clips of few people from crowding out the rest.
        share = np.sqrt([len(clip.pictures) for clip in clips])
        self._share = share / share.sum()

    def draws(self, step: int, count: int) -> list[WindowDraw]:
        """Return what batch number ``step`` of ``count`` samples holds."""
        rng = np.random.default_rng([self.seed, step])
        return [self._draw(rng) for _ in range(count)]

    def _draw(self, rng: np.random.Generator) -> WindowDraw:
        index = int(rng.choice(len(self.clips), p=self._share))
        clip = self.clips[index]
        driving = int(rng.integers(len(clip.window)))
        candidates = rng.integers(len(clip.window), size=max(_CANDIDATES, self.references))
        if rng.random() < self.far_share:
            own = clip.window[:, -1]
            far = np.abs(clip.faces[own[candidates], :, :2] - clip.faces[own[driving], :, :2]).mean((1, 2))
            candidates = candidates[np.argsort(-far, kind="stable")]
        gain = 1 + self.jitter * rng.uniform(-1, 1, 3).astype(np.float32) * (1, 0.3, 0.3)
        gain = (gain[0] * np.array([gain[1], 1, gain[2]])).astype(np.float32)
        flip, loud = rng.random(2)
        references = tuple(int(number) for number in candidates[: self.references])
        return WindowDraw(index, references, driving, gain, bool(flip < self.mirrored), bool(loud >= self.silent))
