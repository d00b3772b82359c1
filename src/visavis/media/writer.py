"""Videos out: every frame at its exact time, sound carried along, and nothing half-written left behind."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import av.error
import numpy as np
from av.audio.stream import AudioStream

from visavis.core.errors import MediaError, OutputError
from visavis.media.carried import CarriedSound
from visavis.media.colour import from_rgb
from visavis.media.frame import Frame

_TIME_BASE = Fraction(1, 90_000)
_BT709 = _LIMITED_RANGE = 1  # as ISO/IEC 23091-2 and FFmpeg number them


def check_output(path: Path, inputs: Sequence[Path], *, force: bool) -> None:
    """Raise :class:`OutputError` unless a result may be written to ``path``; called before any work."""
    for source in inputs:
        if path.resolve() == source.resolve():
            raise OutputError(f"{path}: is also an input; choose another name")
    if path.is_dir():
        raise OutputError(f"{path}: is a folder; give a file name")
    if path.exists() and not force:
        raise OutputError(f"{path}: exists already; --force replaces it")
    folder = path.parent
    if not folder.is_dir():
        raise OutputError(f"{path}: the folder {folder} does not exist")
    try:
        # Asking the system is not enough: only a try tells for read-only mounts and the like.
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OutputError(f"{path}: the folder {folder} cannot be written to ({error.strerror})") from error


class VideoWriter:
    """Writes H.264 with the sound of a file beside it.

    The file appears under its name only when :meth:`close` has finished; an exception inside the ``with`` block
    leaves nothing. Sizes are made even, as the pixel format needs, by repeating the last row or column.

    Args:
        path: an .mp4 to write.
        size: ``(height, width)`` of the frames.
        fps: nominal rate; says how long the last frame is shown.
        sound: file whose sound is carried along, cut where the pictures end.
        metadata: container metadata.
    """

    def __init__(
        self,
        path: Path,
        *,
        size: tuple[int, int],
        fps: Fraction,
        sound: Path | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        self.path, self._fps = Path(path), Fraction(fps)
        self._even = tuple(side + side % 2 for side in size)
        with self._disk_errors():
            handle, name = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.stem[:60]}-", suffix=".mp4")
            os.close(handle)
        self._aside = Path(name)
        self._last: Fraction | None = None
        self._shown = 1 / self._fps
        self._closed = False
        self._sound: CarriedSound | None = None
        try:
            self._container = av.open(str(self._aside), "w", format="mp4", options={"movflags": "use_metadata_tags"})
            self._container.metadata.update(metadata or {})
            self._video = self._container.add_stream("libx264", rate=self._fps.limit_denominator(60_000))
            self._video.width, self._video.height = self._even[1], self._even[0]
            self._video.pix_fmt = "yuv420p"
            self._video.codec_context.time_base = _TIME_BASE
            self._video.options = {"crf": "18", "preset": "veryfast"}
            # Said in the file, or players guess the colours from the size.
            context = self._video.codec_context
            context.colorspace = context.color_primaries = context.color_trc = _BT709
            context.color_range = _LIMITED_RANGE
            if sound is not None:
                self._sound = CarriedSound.open(sound)
            if self._sound is not None:
                self._audio: AudioStream = self._container.add_stream("aac", rate=self._sound.rate_hz)
                self._audio.layout = self._sound.layout
        except BaseException as error:
            self._abandon()
            if isinstance(error, (av.error.FFmpegError, OSError)) and not isinstance(error, MediaError):
                raise OutputError(f"{self.path}: cannot be written ({error})") from error
            raise

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self._abandon()

    @property
    def width(self) -> int:
        """Width of the written pictures in pixels."""
        return self._even[1]

    @property
    def height(self) -> int:
        """Height of the written pictures in pixels."""
        return self._even[0]

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
        height, width = frame.pixels.shape[:2]
        grow = ((0, self._even[0] - height), (0, self._even[1] - width), (0, 0))
        pixels = np.pad(frame.pixels, grow, mode="edge") if any(after for _, after in grow) else frame.pixels
        picture = from_rgb(np.ascontiguousarray(pixels))
        picture.pts, picture.time_base = round(frame.time / _TIME_BASE), _TIME_BASE
        with self._disk_errors():
            self._container.mux(self._video.encode(picture))
            self._last = frame.time
            # Never ahead of the pictures: this frame may be the last.
            self._carry(frame.time, end=None)

    def close(self) -> None:
        """Finish the file and give it its name."""
        if self._closed:
            return
        try:
            if self._last is None:
                raise MediaError(f"{self.path}: there was no frame to write")
            with self._disk_errors():
                self._container.mux(self._video.encode(None))
                end = self._last + self._shown
                self._carry(end, end=end)
                if self._sound is not None:
                    self._container.mux(self._audio.encode(None))
                self._container.close()
                with self._aside.open("rb") as file:
                    os.fsync(file.fileno())
                self._aside.chmod(0o666 & ~_umask())
                self._aside.replace(self.path)
        except BaseException:
            self._abandon()
            raise
        self._closed = True
        if self._sound is not None:
            self._sound.close()

    def _carry(self, until: Fraction, end: Fraction | None) -> None:
        if self._sound is None:
            return
        for piece in self._sound.until(until, end):
            self._container.mux(self._audio.encode(piece))

    def _disk_errors(self) -> _DiskErrors:
        return _DiskErrors(self.path)

    def _abandon(self) -> None:
        self._closed = True
        if self._sound is not None:
            self._sound.close()
        if hasattr(self, "_container"):
            # The disk may be full; the file is removed below in any case.
            with suppress(av.error.FFmpegError, OSError, ValueError):
                self._container.close()
        self._aside.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


class _DiskErrors:
    """Turns the system's write errors into one line."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, (av.error.FFmpegError, OSError)) and not isinstance(error, (MediaError, OutputError)):
            why = "the disk is full" if getattr(error, "errno", None) == errno.ENOSPC else error.strerror or str(error)
            raise OutputError(f"{self._path}: cannot be written ({why})") from error
