"""Where a file's bytes are read from: the file itself, or what came through a pipe, kept for as long as we run."""

from __future__ import annotations

import os
import select
import stat
import tempfile
from pathlib import Path
from typing import IO

from visavis.core.errors import MediaError

#: A pipe that says nothing for so long has nobody at its other end.
_PATIENCE_S = 30
_MOST_BYTES = 8 << 30
_PIECE_BYTES = 1 << 20
_ADDRESSES = ("http:/", "https:/", "rtmp:/", "rtsp:/", "ftp:/", "udp:/", "tcp:/", "srt:/")

#: Files that hold what came through a pipe, by the pipe's device and number; they go when they are closed at the end.
_spooled: dict[tuple[int, int], IO[bytes]] = {}


def readable_twice(path: Path) -> Path:
    """The file to read in place of ``path``, as often as needed.

    That is ``path`` itself, or, for a pipe (``/dev/stdin``, a FIFO), a temporary file of all that came through it.

    Raises:
        MediaError: there is no such file; it is a folder, a terminal or a device; a pipe stays silent or is too long.
    """
    try:
        about = path.stat()
    except OSError as error:
        raise MediaError(f"{path}: {_why_missing(path, error)}") from error
    if stat.S_ISREG(about.st_mode):
        return path
    if stat.S_ISDIR(about.st_mode):
        raise MediaError(f"{path}: is a folder; a file is needed")
    if not stat.S_ISFIFO(about.st_mode):
        raise MediaError(f"{path}: is {_kind(about.st_mode)}; a file or a pipe is needed")
    key = (about.st_dev, about.st_ino)
    if key not in _spooled:
        _spooled[key] = _spool(path)
    return Path(_spooled[key].name)


def _why_missing(path: Path, error: OSError) -> str:
    if str(path).lower().startswith(_ADDRESSES):
        return "addresses are not read; save it to a file first"
    return "no such file" if isinstance(error, (FileNotFoundError, NotADirectoryError)) else f"{error.strerror}"


def _kind(mode: int) -> str:
    return "a device or terminal" if stat.S_ISCHR(mode) or stat.S_ISBLK(mode) else "a socket"


def _spool(path: Path) -> IO[bytes]:
    """Copy a pipe to a temporary file, which the system removes when it is closed."""
    kept: IO[bytes] = tempfile.NamedTemporaryFile(prefix="visavis-")  # noqa: SIM115 - open until the process ends
    try:
        # Without waiting: opening a FIFO would wait for ever for somebody who writes.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            _copy(path, handle, kept)
        finally:
            os.close(handle)
        kept.flush()
    except OSError as error:
        kept.close()
        raise MediaError(f"{path}: cannot be kept in a temporary file ({error.strerror})") from error
    except BaseException:
        kept.close()
        raise
    return kept


def _copy(path: Path, handle: int, kept: IO[bytes]) -> None:
    poll = select.poll()
    poll.register(handle, select.POLLIN | select.POLLHUP)
    total = 0
    while True:
        if not poll.poll(1000 * _PATIENCE_S):
            raise MediaError(f"{path}: is a pipe into which nothing was written for {_PATIENCE_S} s")
        piece = os.read(handle, _PIECE_BYTES)
        if not piece:
            return
        total += len(piece)
        if total > _MOST_BYTES:
            raise MediaError(f"{path}: is a pipe of more than {_MOST_BYTES >> 30} GB; save it to a file first")
        kept.write(piece)
