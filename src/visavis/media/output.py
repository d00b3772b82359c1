"""Where a result may be written, and how it gets its name: whole, and never in place of what it must not replace."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from visavis.core.aside import begin_aside, settle
from visavis.core.errors import MediaError, OutputError

_MOST_TRIES = 1000


def check_output(path: Path, inputs: Sequence[Path], *, force: bool, kinds: Collection[str] = ()) -> None:
    """Raise :class:`OutputError` unless a result may be written to ``path``; called before any work.

    Args:
        path: the result's name.
        inputs: files that are read.
        force: whether a file of that name may be replaced. Only files are: no device, no pipe, no folder.
        kinds: endings of names that can be written; any, if none are given.
    """
    if kinds and path.suffix.lower() not in kinds:
        raise OutputError(f"{path}: cannot be written as {path.suffix or 'a file without an ending'}; {_listed(kinds)}")
    for source in inputs:
        if path.resolve() == source.resolve():
            raise OutputError(f"{path}: is also an input; choose another name")
    _check_place(path, force)
    folder = path.resolve().parent
    if not folder.is_dir():
        raise OutputError(f"{path}: the folder {folder} does not exist")
    try:
        # Asking the system is not enough: only a try tells for read-only mounts and the like.
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OutputError(f"{path}: the folder {folder} cannot be written to ({error.strerror})") from error


def _listed(kinds: Collection[str]) -> str:
    *most, last = kinds
    return f"{', '.join(most)} and {last} can" if most else f"{last} can"


def _check_place(path: Path, force: bool) -> None:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        if path.is_symlink():
            raise OutputError(f"{path}: is a link to nothing; remove it or choose another name") from None
        return
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror})") from error
    if stat.S_ISDIR(mode):
        raise OutputError(f"{path}: is a folder; give a file name")
    if not stat.S_ISREG(mode):
        raise OutputError(f"{path}: is no file but a device or pipe; give a file name")
    if not force:
        raise OutputError(f"{path}: exists already; --force replaces it")


class Place:
    """A file that is written hidden beside its place and takes its name when it is whole.

    A link to a file stays a link: the file is replaced.

    Args:
        path: the result's name.
        replace: whether a file that has the name by then is replaced. If not, it stays, and the result is kept under
            another name.

    Attributes:
        aside: the file to write.
    """

    def __init__(self, path: Path, *, replace: bool) -> None:
        self.path, self._replace = Path(path), replace
        self._final = self.path.resolve() if self.path.is_symlink() else self.path
        with disk_errors(self.path):
            self.aside, self._mode = begin_aside(self._final.parent, self.path.name)

    def settle(self) -> None:
        """Bring the file to the disk and give it its name.

        Raises:
            OutputError: the disk is full, and nothing is left; or the name cannot be given, since another file has it
                by now or the system refuses, and the message says where the result is.
        """
        try:
            with disk_errors(self.path):
                settle(self.aside, self._mode)
        except BaseException:
            self.abandon()
            raise
        try:
            if (self._is_replaced() if self._replace else False) or self._is_named(self._final):
                return
            kept = self._kept_elsewhere()
        except OSError as error:
            why = error.strerror or str(error)
            raise OutputError(
                f"{self.path}: cannot get its name ({why}); the result is kept as {self.aside}"
            ) from error
        raise OutputError(f"{self.path}: was written by something else meanwhile; this result is kept as {kept}")

    def abandon(self) -> None:
        """Leave nothing."""
        self.aside.unlink(missing_ok=True)

    def _is_replaced(self) -> bool:
        if self._final.exists() and not self._final.is_file():
            return False
        try:
            self.aside.replace(self._final)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise
            # Mounts of object stores cannot rename.
            self._final.unlink(missing_ok=True)
            return self._is_named(self._final)
        return True

    def _is_named(self, name: Path) -> bool:
        """Give the file a name that nothing has; False if something has it."""
        try:
            # Fails where something has the name, in one step.
            os.link(self.aside, name, follow_symlinks=False)
        except FileExistsError:
            return False
        except OSError:
            return self._is_renamed(name)  # not every file system knows links
        self.aside.unlink(missing_ok=True)
        return True

    def _is_renamed(self, name: Path) -> bool:
        try:
            handle = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError:
            return False
        with os.fdopen(handle, "wb") as target:
            try:
                self.aside.replace(name)
            except OSError:
                with self.aside.open("rb") as whole:
                    shutil.copyfileobj(whole, target)
                self.aside.unlink(missing_ok=True)
        return True

    def _kept_elsewhere(self) -> Path:
        for number in range(2, _MOST_TRIES):
            name = self._final.with_name(f"{self._final.stem}-{number}{self._final.suffix}")
            if self._is_named(name):
                return name
        return self.aside


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn the system's errors of writing into one line that names the result."""
    import av.error

    try:
        yield
    except (MediaError, OutputError):
        raise
    except (av.error.FFmpegError, OSError) as error:
        why = "the disk is full" if getattr(error, "errno", None) == errno.ENOSPC else error.strerror or str(error)
        raise OutputError(f"{path}: cannot be written ({why})") from error
