"""A video that is looked through before it is used: its beginning is decoded once, as far as it fits into memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path

from visavis.core.closing import Closing
from visavis.media.frame import Frame
from visavis.media.reader import MediaInfo, VideoReader

#: Forty faces of 256x256. To decode more a second time takes less than their meshes, to keep them as much as a network.
_MOST_BYTES = 8 << 20


class TwiceReader(Closing):
    """Reads a video's beginning ahead, and then all of it.

    Frames that were read ahead are kept and given again; of a video whose frames take more than ``most_bytes``, none
    is kept and the file is opened again.

    Args:
        path: the file.
        most_bytes: that kept frames may take.

    Raises:
        MediaError: as for :class:`visavis.media.reader.VideoReader`.
    """

    def __init__(self, path: Path, most_bytes: int = _MOST_BYTES) -> None:
        self.path, self._most_bytes = path, most_bytes
        self._reader = VideoReader(path)
        self._frames = iter(self._reader)
        self._kept: deque[Frame] | None = deque()
        self._bytes = 0

    @property
    def info(self) -> MediaInfo:
        """What the file says of itself."""
        return self._reader.info

    @property
    def damaged(self) -> int:
        """How much could not be decoded or shown so far."""
        return self._reader.damaged

    def close(self) -> None:
        """Close the file."""
        self._kept = None
        self._reader.close()

    def ahead(self) -> Iterator[Frame]:
        """Frames from the beginning, before the video is read; to be taken once, and left off anywhere."""
        for frame in self._frames:
            self._bytes += frame.pixels.nbytes
            if self._bytes > self._most_bytes:
                self._kept = None
            if self._kept is not None:
                self._kept.append(frame)
            yield frame

    def __iter__(self) -> Iterator[Frame]:
        if self._kept is None:
            self._reader.close()
            self._reader = VideoReader(self.path)
            self._frames = iter(self._reader)
        while self._kept:
            yield self._kept.popleft()
        yield from self._frames
