"""VoxCeleb's layout: text files with the boxes of one speaker's face, and videos named by their YouTube id.

A track file lies at ``<identity>/<video>/<number>.txt``, whatever is above it::

    Identity  : 	id00012
    Reference : 	21Uxsk56VDQ
    Offset    : 	-2
    FV Conf   : 	20.230	(1)
    ASD Conf  : 	2.765

    FRAME 	X 	Y 	W 	H
    000349 	0.319 	0.067 	0.424 	0.753

Frames are counted at 25 a second of the whole video. Boxes are shares of the picture in VoxCeleb2 and pixels in
VoxCeleb1, there of a picture 360 pixels high as a rule; which of the two, the file does not say.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from visavis.core.errors import DataError
from visavis.data.sources import ClipTask, Dataset, Splits, plain_name, uniquely_named, videos_under

TRACK_FPS = 25
_PUBLISHED_HEIGHT = 360
_MOST_BYTES = 4 << 20
_HELD_BACK = re.compile(r"(^|[_-])(test|val)([_-]|$)", re.IGNORECASE)


@dataclass(frozen=True)
class BoxTrack:
    """The boxes of one face through a stretch of a video.

    Attributes:
        first: number of the first frame, at 25 a second.
        boxes: ``float64 [T, 4]`` of ``(x, y, width, height)``, one a frame; gaps are filled with the box before.
        shares: True when boxes are shares of the picture's width and height, False for pixels.
        header: what stands above the boxes, such as ``{"Offset": "-2"}``.
    """

    first: int
    boxes: NDArray[np.float64]
    shares: bool
    header: dict[str, str]

    @property
    def start(self) -> Fraction:
        """Seconds from the start of the video."""
        return Fraction(self.first, TRACK_FPS)

    @property
    def seconds(self) -> Fraction:
        """Length of the track."""
        return Fraction(len(self.boxes), TRACK_FPS)

    @property
    def offset_frames(self) -> int | None:
        """What the file says of the sound's offset, in frames of 1/25 s; it is passed on, not applied."""
        text = self.header.get("Offset", "")
        return int(text) if re.fullmatch(r"[+-]?\d{1,6}", text) else None

    def in_pixels(self, height: int, width: int) -> list[NDArray[np.float64]]:
        """Return the boxes in pixels of a picture of this size, once for each way in which they can be meant."""
        if self.shares:
            return [self.boxes * (width, height, width, height)]
        scale = height / _PUBLISHED_HEIGHT
        return [self.boxes] if scale == 1 else [self.boxes * scale, self.boxes]


def read_track(path: Path) -> BoxTrack:
    """Read a track file.

    Raises:
        DataError: it is too large, not text, or has no usable box.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise DataError(f"{path}: is too large for a list of boxes")
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as a list of boxes ({error})") from error
    header: dict[str, str] = {}
    rows: dict[int, list[float]] = {}
    for line in lines:
        words = line.split()
        if len(words) == 5 and words[0].isdigit():
            rows[int(words[0])] = _box(path, words)
        elif ":" in line and not rows:
            key, _, value = line.partition(":")
            header[key.strip()] = value.strip()
    if not rows:
        raise DataError(f"{path}: has no boxes; lines 'FRAME X Y W H' are expected")
    first, last = min(rows), max(rows)
    if last - first > 100 * len(rows):
        raise DataError(f"{path}: its {len(rows)} boxes are spread over {last - first} frames")
    boxes = [rows[first]]
    for number in range(first + 1, last + 1):
        boxes.append(rows.get(number, boxes[-1]))
    table = np.array(boxes)
    return BoxTrack(first, table, bool((table[:, 2:] <= 2).all()), header)


def _box(path: Path, words: list[str]) -> list[float]:
    try:
        box = [float(word) for word in words[1:]]
    except ValueError:
        box = []
    if len(box) != 4 or not np.isfinite(box).all() or min(box[2:]) <= 0 or max(map(abs, box)) > 1e5:
        raise DataError(f"{path}: '{' '.join(words)[:80]}' is no box; FRAME X Y W H is expected")
    return box


def track_files(dataset: Path) -> list[Path]:
    """List the track files under a folder; none when it is not in VoxCeleb's layout."""
    files = sorted({path for path in dataset.glob("**/*/*/*.txt") if path.stem.isdigit()})
    return files if files and _looks_like_a_track(files[0]) else []


def _looks_like_a_track(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(64).lstrip().startswith(b"Identity")
    except OSError:
        return False


def clips(dataset: Path, tracks: list[Path], videos: Path, splits: Splits) -> Dataset:
    """Pair each track with its video.

    A video is either the whole one, named by its YouTube id, or the speaker's stretch already cut out of it
    (``<identity>/<video>/<number>.mp4``), which needs no boxes.
    """
    found = videos_under(videos)
    whole = {path.stem: path for path in found}
    cut = {(path.parent.parent.name, path.parent.name, path.stem): path for path in found}
    any_held_back = any(_is_held_back(dataset, track) for track in tracks)
    tasks: list[ClipTask] = []
    missing: dict[str, None] = {}
    for track in tracks:
        identity, reference = track.parent.parent.name, track.parent.name
        path = cut.get((identity, reference, track.stem)) or whole.get(reference)
        if path is None:
            missing[reference] = None
            continue
        own = "train" if any_held_back else None
        split = splits.of(identity, "val" if _is_held_back(dataset, track) else own)
        name = plain_name([identity, reference, track.stem])
        boxes = None if path.stem == track.stem else track
        tasks.append(ClipTask(name, path, identity, split, sound_is_speech=True, boxes=boxes))
    return Dataset(uniquely_named(tasks), tuple(missing))


def _is_held_back(dataset: Path, track: Path) -> bool:
    """Whether the track lies in the published test part, ``vox2_test_txt`` and the like."""
    above = track.relative_to(dataset).parts[:-3]
    return any(_HELD_BACK.search(part) for part in above)
