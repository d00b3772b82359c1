"""One clip: a stretch of a video becomes a record of a shard. The unit of work, alike on one machine and on many.

MediaPipe and PyAV are imported inside functions: training imports this package without them.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from enum import Enum
from fractions import Fraction
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from visavis.core.closing import Closing
from visavis.core.errors import DataError, OutputError, VisavisError
from visavis.data.prepare.framing import MovingSquare, choose_framing
from visavis.data.quality import Thresholds, measure, sharpness
from visavis.data.shards import ClipRecord, Priors, code_mask
from visavis.data.sound import FPS, clip_sound
from visavis.data.sources import ClipTask
from visavis.data.voxceleb import BoxTrack, read_track
from visavis.media.frame import Frame

if TYPE_CHECKING:
    from visavis.media.frame import Pixels
    from visavis.media.reader import MediaInfo

SIZE = 256
#: Longer clips are cut here: what a worker holds must not grow with the video.
LONGEST_S = 150
_MOST_BYTES_AS_IT_IS = 32 << 20
_LEAST_SEEN = 0.5
_SHARPNESS_EVERY = 5


class Fate(Enum):
    """What is to be done about a clip that failed."""

    FINAL = "final"  # the clip is at fault: never tried again
    RETRY = "retry"  # perhaps not the clip's fault: tried again when all others are done
    STOP = "stop"  # the disk is full: every clip would fail


@dataclass(frozen=True)
class Failure:
    """A clip that could not be prepared, and why."""

    clip: str
    reason: str
    fate: Fate = Fate.FINAL


def attempt(task: ClipTask, scratch: Path | None = None) -> ClipRecord | Failure:
    """Prepare a clip; whatever goes wrong becomes a :class:`Failure`.

    Args:
        task: the clip.
        scratch: folder for temporary files; None for the system's.
    """
    if not task.path.exists():
        # It was there when the clips were listed: another machine, or a disk that is gone for now.
        return Failure(task.name, f"{task.path}: is not there on {os.uname().nodename}", Fate.RETRY)
    try:
        return prepare_clip(task, scratch)
    except OutputError as error:
        return Failure(task.name, str(error), Fate.STOP)
    except VisavisError as error:
        return Failure(task.name, str(error))
    except MemoryError:
        return Failure(task.name, f"{task.path}: not enough memory", Fate.RETRY)
    except Exception as error:
        full = isinstance(error, OSError) and error.errno == errno.ENOSPC
        reason = f"{task.path}: {type(error).__name__}: {error}"
        return Failure(task.name, reason, Fate.STOP if full else Fate.RETRY)


def prepare_clip(task: ClipTask, scratch: Path | None = None) -> ClipRecord:
    """Compute one clip's record; raises :class:`VisavisError` when the clip cannot be used."""
    from visavis.media.reader import probe

    info = probe(task.path)
    track = None if task.boxes is None else read_track(task.boxes)
    if track is not None:
        task = replace(task, start=track.start, seconds=track.seconds)
    record = _as_it_is(task, info) or _cut(task, info, track, scratch)
    if track is not None and track.offset_frames is not None:
        record.info["published_offset_frames"] = track.offset_frames
    return record


@dataclass
class _Seen:
    """What is seen in the frames of a crop, one entry a frame."""

    meshes: list[NDArray[np.float32] | None] = field(default_factory=list)
    masks: list[NDArray[np.uint8]] = field(default_factory=list)
    sharpness: list[float] = field(default_factory=list)
    cuts: list[int] = field(default_factory=list)

    @property
    def share(self) -> float:
        """In which share of the frames the face is seen."""
        return sum(mesh is not None for mesh in self.meshes) / max(len(self.meshes), 1)


def _as_it_is(task: ClipTask, info: MediaInfo) -> ClipRecord | None:
    """The record with the file's own coding, or None when it has to be coded anew."""
    if not _may_stay_as_it_is(task, info):
        return None
    with _Follower(0) as follower:
        for pixels in _steady(task.path):
            if pixels is None:
                return None
            follower.see(pixels)
    # Where the face comes late, the clip begins with it, which takes another coding.
    if follower.seen.share < _LEAST_SEEN:
        return None
    return _record(task, follower.seen, task.path.read_bytes(), side=SIZE)


def _may_stay_as_it_is(task: ClipTask, info: MediaInfo) -> bool:
    """Whether the file's own coding may go into the shard: nothing is gained by coding it again."""
    form = (info.width, info.height, info.fps, info.codec) == (SIZE, SIZE, Fraction(FPS), "h264")
    whole = (
        task.boxes is None
        and not task.start
        and task.seconds is None
        and not task.face
        and task.path.suffix.lower() == ".mp4"
    )
    brief = info.duration is not None and info.duration <= LONGEST_S
    # OpenCV, which decodes it in training, knows neither odd pixels nor high dynamic range.
    plain = info.square_pixels and not info.hdr
    return form and plain and whole and brief and not task.face and task.path.stat().st_size <= _MOST_BYTES_AS_IT_IS


def _steady(path: Path) -> Iterator[Pixels | None]:
    """Yield the pictures of a file; None, and no more, where one does not come at its time."""
    from visavis.media.reader import VideoReader

    with VideoReader(path) as reader:
        for number, frame in enumerate(reader):
            if abs(frame.time - Fraction(number, FPS)) > Fraction(1, 4 * FPS):
                yield None
                return
            yield frame.pixels


class _Follower(Closing):
    """Tracks the face, segments the person and measures sharpness in crops ``uint8 [256, 256, 3]``.

    Args:
        which: 0 for the largest face, None for the one in the middle.

    Attributes:
        seen: what was seen so far.
    """

    def __init__(self, which: int | None) -> None:
        from visavis.face.segmentation import Segmenter
        from visavis.face.tracker import FaceTracker

        self._tracker, self._segmenter = FaceTracker(which), Segmenter()
        self.seen = _Seen()

    def close(self) -> None:
        """Free MediaPipe's graphs."""
        self._tracker.close()
        self._segmenter.close()

    def see(self, pixels: Pixels, elsewhere: Callable[[], Pixels | None] | None = None) -> Pixels:
        """Take the next crop.

        Args:
            pixels: the crop.
            elsewhere: asked where the face is not seen: another crop of the same frame that shows it, or None.

        Returns:
            The crop that was used.
        """
        seen, jumps = self.seen, self._tracker.jumps
        face = self._tracker.find(pixels)
        other = elsewhere() if face is None and elsewhere is not None else None
        if other is not None:
            # The crop moved, so that nothing is where it was in the one before.
            self._tracker.begin_anew()
            pixels, face = other, self._tracker.find(other)
        if seen.meshes and (other is not None or self._tracker.jumps != jumps):
            seen.cuts.append(len(seen.meshes))
        seen.masks.append(code_mask(self._segmenter.mask(pixels)))
        mesh = None if face is None else face.mesh * np.float32(2 / SIZE) - np.array([1, 1, 0], np.float32)
        if mesh is not None and (len(seen.meshes) % _SHARPNESS_EVERY == 0 or not seen.sharpness):
            seen.sharpness.append(sharpness(pixels, mesh))
        seen.meshes.append(mesh)
        return pixels


def _cut(task: ClipTask, info: MediaInfo, track: BoxTrack | None, scratch: Path | None) -> ClipRecord:
    """Crop, resample to 25 fps and code the pictures anew."""
    from visavis.media.writer import VideoWriter

    framing = choose_framing(task, info, track)
    task = _begun_at(task, framing.start)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=scratch, prefix="clip-")))
        target = folder / "clip.mp4"
        follower = stack.enter_context(_Follower(None))
        # Boxes say where the face is; a face elsewhere is another one's.
        square = stack.enter_context(MovingSquare(framing.crop, task.face if track is None else None))
        with VideoWriter(target, size=(SIZE, SIZE), fps=Fraction(FPS)) as writer:
            for frame in _frames(task):
                pixels = square.crop.cut(frame.pixels, SIZE)
                writer.write(Frame(follower.see(pixels, partial(square.elsewhere, frame.pixels, SIZE)), frame.time))
            if not follower.seen.meshes:
                raise DataError(f"{task.path}: no frame at {float(task.start):.1f} s, where the clip begins")
        return _record(task, follower.seen, target.read_bytes(), side=square.crop.side)


def _begun_at(task: ClipTask, start: Fraction) -> ClipTask:
    """The same clip from a later start on, with the same end."""
    seconds = None if task.seconds is None else task.seconds - (start - task.start)
    return replace(task, start=start, seconds=seconds)


def _frames(task: ClipTask) -> Iterator[Frame]:
    """The clip's frames at 25 fps, timed from its own start."""
    from visavis.media.clock import at_constant_rate
    from visavis.media.reader import VideoReader

    with VideoReader(task.path, start=task.start) as reader:
        shifted = (replace(frame, time=frame.time - task.start) for frame in reader)
        yield from islice(at_constant_rate(shifted, Fraction(FPS)), _most_frames(task))


def _most_frames(task: ClipTask) -> int:
    longest = LONGEST_S * FPS
    return longest if task.seconds is None else max(1, min(round(task.seconds * FPS), longest))


def _record(task: ClipTask, found: _Seen, video: bytes, *, side: float) -> ClipRecord:
    seen = np.array([mesh is not None for mesh in found.meshes])
    if not seen.size or seen.mean() < _LEAST_SEEN:
        raise DataError(f"{task.path}: a face is seen in {seen.sum()} of {seen.size} frames only")
    meshes = _filled(found.meshes)
    sound = clip_sound(task.path, task.start, len(meshes))
    priors = Priors(seen, meshes, np.stack(found.masks), None if sound is None else sound.mel)
    quality = measure(meshes, seen, found.sharpness, side, priors.mel)
    fault = quality.fault(Thresholds())
    speech = task.sound_is_speech
    if speech is None:
        speech = quality.sync is not None and quality.sync.label == "likely"
    about = {
        "identity": task.identity,
        "split": task.split,
        "frames": len(meshes),
        "frames_without_face": int((~seen).sum()),
        "fps": FPS,
        "seconds": len(meshes) / FPS,
        "start_s": float(task.start),
        "cuts": found.cuts,
        "cut_short": len(meshes) == LONGEST_S * FPS,
        "sound_is_speech": speech and priors.mel is not None,
        "keep": fault is None,
        "why_not": fault,
        "quality": quality.as_json(),
    }
    return ClipRecord(task.name, video, priors.encode(), about, None if sound is None else sound.flac)


def _filled(meshes: list[NDArray[np.float32] | None]) -> NDArray[np.float32]:
    last = next(mesh for mesh in meshes if mesh is not None)
    out = []
    for mesh in meshes:
        last = last if mesh is None else mesh
        out.append(last)
    return np.stack(out)
