"""The pictures of a clip in a shard, decoded by OpenCV: only from an MP4, and only of the size it began with.

OpenCV asks FFmpeg what a file is by its content, and FFmpeg takes text for playlists that name other files. So a file
is handed over only when its first bytes are those of a container of pictures, whose formats look nowhere else.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from visavis.core.errors import DataError
from visavis.media.frame import Pixels

# FFmpeg inside OpenCV writes to stderr, which is for our own lines; -8 is its word for silence.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

MOST_SIDE = 512
#: Of one clip, kept in memory: 150 s of 256x256 at 25 fps, and some.
MOST_BYTES = 1 << 30
_MOVIE_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
_MATROSKA = b"\x1aE\xdf\xa3"


def is_container(start: bytes) -> bool:
    """Whether a file begins as MP4, MOV, Matroska, WebM or AVI do; a playlist, or any text, does not."""
    # A box of less than 16 MB begins with a zero, at which what looks for words in a file stops.
    movie = start[:1] == b"\0" and start[4:8] in _MOVIE_BOXES
    return movie or start[:4] == _MATROSKA or (start[:4] == b"RIFF" and start[8:12] == b"AVI ")


def decoder(path: Path) -> cv2.VideoCapture:
    """OpenCV's decoder of a file, by FFmpeg alone, which says nothing of its own where it cannot."""
    # Not every build of OpenCV has a log of its own to silence.
    quiet = hasattr(cv2, "getLogLevel") and hasattr(cv2, "setLogLevel")
    before = cv2.getLogLevel() if quiet else 0
    if quiet:
        cv2.setLogLevel(0)
    try:
        return cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    finally:
        if quiet:
            cv2.setLogLevel(before)


class ClipPictures:
    """Pictures of an open clip, in turn."""

    def __init__(self, name: str, video: cv2.VideoCapture) -> None:
        self._name, self._video = name, video
        self._shape: tuple[int, ...] | None = None
        self._bytes = 0

    def grab(self) -> bool:
        """Go to the next picture; False at the end."""
        return bool(self._video.grab())

    def retrieve(self) -> Pixels | None:
        """The picture that was grabbed, RGB ``uint8 [S, S, 3]``, or None when it is damaged.

        Raises:
            DataError: it is too large, or of another size than those before.
        """
        ok, pixels = self._video.retrieve()
        if not ok:
            return None
        self._shape = self._shape or pixels.shape
        if pixels.shape != self._shape:
            raise DataError(f"clip {self._name}: its pictures change in size")
        self._bytes += pixels.nbytes
        if self._bytes > MOST_BYTES:
            raise DataError(f"clip {self._name}: has more pictures than fit into {MOST_BYTES >> 20} MB")
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)


@contextmanager
def opened(name: str, video: bytes) -> Iterator[ClipPictures]:
    """Open a clip's pictures.

    Args:
        name: of the clip, for messages.
        video: content of its MP4.

    Raises:
        DataError: it is no MP4 of square pictures of at most 512x512.
    """
    if video[4:8] != b"ftyp" or not is_container(video[:12]):
        raise DataError(f"clip {name}: is not an MP4 file; make shards with `visavis prepare`")
    with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
        file.write(video)
        file.flush()
        capture = decoder(Path(file.name))
        try:
            width, height = (int(capture.get(side)) for side in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
            if not capture.isOpened() or not 1 <= width == height <= MOST_SIDE:
                what = f"{width}x{height}" if capture.isOpened() else "no video that can be read"
                raise DataError(f"clip {name}: is {what}; shards hold squares of at most {MOST_SIDE} pixels")
            yield ClipPictures(name, capture)
        finally:
            capture.release()
