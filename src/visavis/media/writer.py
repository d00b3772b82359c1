"""Videos out: every frame at its exact time, sound carried along, and nothing half-written left behind."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import numpy as np

from visavis.core.errors import MediaError, OutputError
from visavis.media.animated_file import AnimatedFile
from visavis.media.carried import SoundBeside
from visavis.media.coded_file import CodedFile
from visavis.media.forms import FORMS, VIDEO_KINDS, Coded
from visavis.media.frame import Frame
from visavis.media.output import Place, check_output, disk_errors

__all__ = ["VIDEO_KINDS", "VideoWriter", "check_output"]


class VideoWriter:
    """Writes a video of the kind that its name's ending says, with the sound of a file where the kind has any.

    The file appears under its name only when :meth:`close` has finished; an exception inside the ``with`` block
    leaves nothing. Sizes are made even, as the pixel format needs, by repeating the last row or column.

    Args:
        path: a file to write; its ending is one of :data:`visavis.media.forms.VIDEO_KINDS`.
        size: ``(height, width)`` of the frames.
        fps: nominal rate; says how long the last frame is shown.
        sound: file whose sound is carried along, or sound itself, which is closed in the end; cut where the pictures
            end.
        metadata: container metadata.
        replace: whether a file that has the name when all is written is replaced; if not, it stays, and the result is
            kept under another name, which the error says.

    Raises:
        OutputError: the kind cannot be written, or the place.
    """

    def __init__(
        self,
        path: Path,
        *,
        size: tuple[int, int],
        fps: Fraction,
        sound: Path | SoundBeside | None = None,
        metadata: Mapping[str, str] | None = None,
        replace: bool = True,
    ) -> None:
        self.path = Path(path)
        form = FORMS.get(self.path.suffix.lower())
        if form is None:
            raise OutputError(f"{self.path}: its ending must be one of {', '.join(VIDEO_KINDS)}")
        self._size = (size[0] + size[0] % 2, size[1] + size[1] % 2)
        self._last: Fraction | None = None
        self._shown = 1 / Fraction(fps)
        self._closed = False
        self._place = Place(self.path, replace=replace)
        self._file: CodedFile | AnimatedFile | None = None
        try:
            with disk_errors(self.path):
                if isinstance(form, Coded):
                    self._file = CodedFile(
                        self._place.aside,
                        form,
                        size=self._size,
                        fps=Fraction(fps),
                        sound=sound,
                        metadata=metadata or {},
                    )
                else:
                    self._file = AnimatedFile(self._place.aside, form, size=self._size, metadata=metadata or {})
        except BaseException:
            self._abandon()
            raise

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        elif not self._closed:
            self._abandon()

    @property
    def width(self) -> int:
        """Width of the written pictures in pixels."""
        return self._size[1]

    @property
    def height(self) -> int:
        """Height of the written pictures in pixels."""
        return self._size[0]

    @property
    def seconds(self) -> Fraction:
        """Time at which the last frame written so far ends."""
        return Fraction(0) if self._last is None else self._last + self._shown

    def write(self, frame: Frame) -> None:
        """Append a frame; times must increase."""
        if self._last is not None and frame.time <= self._last:
            raise ValueError(f"frame times must increase: {frame.time} after {self._last}")
        if self._last is not None:
            self._shown = frame.time - self._last
        assert self._file is not None
        height, width = frame.pixels.shape[:2]
        grow = ((0, self._size[0] - height), (0, self._size[1] - width), (0, 0))
        pixels = np.pad(frame.pixels, grow, mode="edge") if any(after for _, after in grow) else frame.pixels
        with disk_errors(self.path):
            self._file.add(pixels, frame.time)
        self._last = frame.time

    def close(self) -> None:
        """Finish the file and give it its name."""
        if self._closed:
            return
        assert self._file is not None
        try:
            if self._last is None:
                raise MediaError(f"{self.path}: there was no frame to write")
            with disk_errors(self.path):
                self._file.finish(self._last + self._shown)
        except BaseException:
            self._abandon()
            raise
        self._closed = True
        try:
            self._place.settle()
        except KeyboardInterrupt:
            self._place.abandon()
            raise

    def _abandon(self) -> None:
        self._closed = True
        if self._file is not None:
            self._file.close()
        self._place.abandon()
