"""Results written aside: under its name a file or folder is whole or not there, whatever stops the writer.

What is written lies hidden beside its place, under a name that no other process has, and is renamed when it is done.
"""

from __future__ import annotations

import errno
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_MOST_OF_NAME = 60


@contextmanager
def written_aside(path: Path, *, alone: bool = False) -> Iterator[Path]:
    """Give an empty file beside ``path`` to write; it takes that name when the block ends without an exception.

    It is on the disk by then, survives a power cut, and may be read by whom the umask lets read new files, also when
    something in the block has put a file of its own in its place. It keeps the ending of ``path``,
    by which some writers choose a format, unless it is ours ``alone``.

    Args:
        path: the file.
        alone: whether no other process writes it, as under a lock. What a killed process left is then written over.

    Raises:
        OSError: the folder cannot be written to, the disk is full and the like; nothing is left behind.
    """
    own = f".{path.stem[:_MOST_OF_NAME]}-{secrets.token_hex(4)}{path.suffix}"
    aside = path.with_name(f".{path.name}.part" if alone else own)
    # The kernel takes the umask off, which no process can ask for without changing it for all its threads.
    handle = os.open(aside, os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if alone else os.O_EXCL), 0o666)
    try:
        mode = os.fstat(handle).st_mode & 0o777
        os.close(handle)
        yield aside
        _settle(aside, mode)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def write_whole(path: Path, data: bytes | memoryview) -> None:
    """Write a file that no other process writes, whole or not at all; raises OSError as :func:`written_aside` does."""
    with written_aside(path, alone=True) as aside:
        aside.write_bytes(data)


@contextmanager
def filled_aside(folder: Path) -> Iterator[Path]:
    """Give an empty folder beside ``folder`` to fill; it takes that name when the block ends without an exception.

    A folder that has the name already is kept until then, and deleted after.

    Raises:
        OSError: as for :func:`written_aside`.
    """
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name[:_MOST_OF_NAME]}-") as hidden:
        inside = Path(hidden) / "new"
        inside.mkdir()
        yield inside
        if folder.exists():
            folder.rename(Path(hidden) / "old")
        inside.rename(folder)


def why_not(error: OSError) -> str:
    """Why the system refused, in words that fit into a line."""
    return "the disk is full" if error.errno == errno.ENOSPC else error.strerror or str(error)


def _settle(aside: Path, mode: int) -> None:
    with aside.open("rb") as file:
        os.fsync(file.fileno())
    # Some mounts know no modes and refuse to set one; what is written is worth more.
    with suppress(OSError):
        if aside.stat().st_mode & 0o777 != mode:
            aside.chmod(mode)
