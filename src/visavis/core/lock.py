"""One process at a time: a lock on a file or folder that ends with the process, however it ends."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from pathlib import Path
from types import TracebackType

from typing_extensions import Self

from visavis.core.errors import OutputError

_NO_LOCKS_HERE = (errno.EBADF, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)


class Lock:
    """Held until :meth:`close`, or until the process is gone.

    Some network mounts know no locks; there nothing is held.

    Args:
        path: a file or folder that is there.
        patience_s: how long to wait for another process that holds it.

    Raises:
        OutputError: another process holds it.
        OSError: there is no such file, or it cannot be opened.
    """

    def __init__(self, path: Path, patience_s: float = 0) -> None:
        self._handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        give_up = time.monotonic() + patience_s
        try:
            while True:
                try:
                    fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() >= give_up:
                        raise
                time.sleep(0.05)
        except BlockingIOError as error:
            os.close(self._handle)
            where = path if path.is_dir() else path.parent
            raise OutputError(f"{where}: another run works here; wait for it or choose another output") from error
        except OSError as error:
            if error.errno not in _NO_LOCKS_HERE:
                os.close(self._handle)
                raise

    def close(self) -> None:
        """Let others in; a second call does nothing."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
