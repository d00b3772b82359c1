"""What is read of a clip: its first frame, every k-th frame, and a short window of consecutive frames."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from visavis.audio.mel import RATE_HZ
from visavis.core.errors import FaceError
from visavis.evaluation.window import choose_window
from visavis.face.align import whole
from visavis.face.types import Face, Observation
from visavis.generators.base import Prior
from visavis.media.frame import Frame
from visavis.media.reader import SoundReader, VideoReader
from visavis.pipelines.analyse import Analyser

SIZE = 256
_SHORTEST_WINDOW = 8
ALL_PRIORS = tuple(Prior)


@dataclass(frozen=True)
class Seen:
    """A frame with its priors, and its face in pixels of the crop."""

    observation: Observation
    face: Face


@dataclass(frozen=True)
class Window:
    """Consecutive frames of a clip in which the mouth moves, with their sound.

    Attributes:
        frames: one after another, each with a face.
        fps: frames a second.
        sound: ``float32 [N]``, 16 kHz mono from the first frame's time to the end of the last; None when the clip has
            no sound.
    """

    frames: list[Seen]
    fps: Fraction
    sound: NDArray[np.float32] | None


@dataclass(frozen=True)
class ClipFrames:
    """What is read of one clip.

    Attributes:
        source: the first frame with a face.
        driving: every k-th frame after it that shows a face.
        window: consecutive frames, or None when they were not asked for, or do not all show a face.
    """

    source: Seen
    driving: list[Seen] = field(default_factory=list)
    window: Window | None = None

    @property
    def times(self) -> set[Fraction]:
        """Of all frames that are measured."""
        window = self.window.frames if self.window is not None else []
        return {seen.observation.time for seen in (*self.driving, *window)}


def read_clip(path: Path, *, every: int = 5, window_s: float = 0.0) -> ClipFrames:
    """Read a clip's frames, each analysed alone: the truth that rendered frames are compared with.

    Args:
        path: the clip.
        every: frames whose number is a multiple of this are driving frames.
        window_s: length of the window in seconds; 0 for none.

    Raises:
        FaceError: no frame shows a face.
    """
    inside = choose_window(path, window_s)
    with VideoReader(path) as reader, Analyser(ALL_PRIORS, video=False) as analyser:
        source: Seen | None = None
        driving: list[Seen] = []
        window: list[Seen | None] = []
        for number, frame in enumerate(reader):
            if source is not None and number % every and number not in inside:
                continue
            seen = _analyse(analyser, frame)
            if source is None:
                source = seen
                analyser.needs = frozenset({Prior.MESH} if seen is not None else ALL_PRIORS)
                continue
            if number in inside:
                window.append(seen)
            if number % every == 0 and seen is not None:
                driving.append(seen)
    if source is None:
        raise FaceError(f"{path}: no face in it")
    return ClipFrames(source, driving, _closed(path, window, reader.info.fps))


def read_source(path: Path) -> Seen:
    """Read the first frame with a face, and nothing after it."""
    with VideoReader(path) as reader, Analyser(ALL_PRIORS, video=False) as analyser:
        for frame in reader:
            seen = _analyse(analyser, frame)
            if seen is not None:
                return seen
    raise FaceError(f"{path}: no face in it")


def _analyse(analyser: Analyser, frame: Frame) -> Seen | None:
    face = analyser.find(frame)
    if face is None:
        return None
    crop = whole(*frame.pixels.shape[:2])
    observation = analyser.observe(frame, face, crop, SIZE)
    return Seen(observation, Face(crop.to_crop(face.mesh) * (SIZE / 2) + SIZE / 2))


def _closed(path: Path, seen: list[Seen | None], fps: Fraction) -> Window | None:
    frames = [one for one in seen if one is not None]
    if len(frames) < max(_SHORTEST_WINDOW, len(seen)):
        return None
    times = [one.observation.time for one in frames]
    return Window(frames, fps, read_sound(path, times[0], times[-1] + 1 / fps))


def read_sound(path: Path, start: Fraction, end: Fraction) -> NDArray[np.float32] | None:
    """Read a file's sound between two times in seconds.

    Returns:
        ``float32 [N]``, 16 kHz mono, silent where the file has none; None when it has no sound stream.
    """
    first, last = round(start * RATE_HZ), round(end * RATE_HZ)
    with SoundReader(path, RATE_HZ) as chunks:
        if not chunks.has_sound:
            return None
        samples = np.zeros(last - first, np.float32)
        for chunk in chunks:
            at = round(chunk.time * RATE_HZ) - first
            low, high = max(at, 0), min(at + len(chunk.samples), len(samples))
            if high > low:
                samples[low:high] = chunk.samples[low - at : high - at]
            if at > len(samples):
                break
    return samples
