"""What a run has done so far, on disk: one file a clip, renamed into place, so that a killed run loses nothing.

::

    .SHARDS.parts/
      run.json            what the run was asked for
      lock                held while a run works here
      scratch/            temporary files of the workers on this machine
      clips/a7/NAME.tar   a clip that is done
      clips/a7/NAME.json  a clip that failed, and why
      shards/             shards put together so far; becomes SHARDS in the end
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tarfile
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from visavis.core.aside import write_whole
from visavis.core.errors import OutputError
from visavis.core.lock import Lock
from visavis.data.prepare.clip import Failure
from visavis.data.shards import ClipRecord, append, read_one
from visavis.data.sources import ClipTask

#: Changes whenever parts of an older version could not be used.
_FORM = 1


class Parts:
    """The folder of a run's parts; only one run at a time works in it.

    Args:
        output: the folder of shards that the parts are for.
        wanted: what the run is asked for; parts of a run that was asked for something else are not used.
        force: throw such parts away instead of refusing.

    Raises:
        OutputError: the folder cannot be written, another run works in it, or it belongs to another data set.
    """

    def __init__(self, output: Path, wanted: dict[str, Any], *, force: bool = False) -> None:
        self.folder = output.parent / f".{output.name}.parts"
        self.shards = self.folder / "shards"
        self.scratch = self.folder / "scratch"
        self._clips = self.folder / "clips"
        wanted = {"form": _FORM, **wanted}
        try:
            self.folder.mkdir(exist_ok=True)
            self._lock = self._locked()
            with ExitStack() as stack:
                stack.callback(self._lock.close)
                self._check(wanted, output, force)
                shutil.rmtree(self.scratch, ignore_errors=True)
                for folder in (self._clips, self.shards, self.scratch):
                    folder.mkdir(exist_ok=True)
                stack.pop_all()
        except OSError as error:
            raise OutputError(f"{output}: its folder does not exist or cannot be written to ({error})") from error

    def __enter__(self) -> Parts:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self.scratch, ignore_errors=True)
        if not any(any(folder.rglob("*.*")) for folder in (self._clips, self.shards)):
            self.remove()
        self._lock.close()

    def add(self, record: ClipRecord) -> None:
        """Keep a clip that is done."""
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w") as part:
            append(part, record)
        _put(self._path(record.name, "tar"), data.getbuffer())

    def fail(self, failure: Failure) -> None:
        """Remember a clip that can never be done."""
        _put(self._path(failure.clip, "json"), json.dumps(failure.reason).encode())

    def has(self, task: ClipTask) -> bool:
        """Whether the clip is done, by a part that is younger than its video."""
        return _is_younger(self._path(task.name, "tar"), task)

    def failure(self, task: ClipTask) -> Failure | None:
        """Return why the clip failed in an earlier run, or None when it has to be tried."""
        path = self._path(task.name, "json")
        if not _is_younger(path, task):
            return None
        try:
            return Failure(task.name, str(json.loads(path.read_bytes())))
        except (OSError, ValueError, RecursionError):
            return None

    def record(self, name: str) -> ClipRecord:
        """Read a clip that is done."""
        return next(read_one(self._path(name, "tar")))

    def drop(self, names: list[str]) -> None:
        """Delete the parts of clips that lie in a finished shard."""
        for name in names:
            self._path(name, "tar").unlink(missing_ok=True)

    def remove(self) -> None:
        """Delete everything."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, name: str, suffix: str) -> Path:
        # Spread over 256 folders: a million files in one are slow on many file systems.
        return self._clips / hashlib.sha256(name.encode()).hexdigest()[:2] / f"{name}.{suffix}"

    def _locked(self) -> Lock:
        path = self.folder / "lock"
        path.touch()
        return Lock(path)

    def _check(self, wanted: dict[str, Any], output: Path, force: bool) -> None:
        said = self.folder / "run.json"
        try:
            found = json.loads(said.read_bytes())
        except (FileNotFoundError, ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            found = None
        if found == wanted:
            return
        if found is not None and not force:
            raise OutputError(
                f"{self.folder}: holds an unfinished run of {found.get('dataset', 'another data set')}; "
                "finish it, delete it, or discard it by --force"
            )
        for folder in (self._clips, self.shards):
            shutil.rmtree(folder, ignore_errors=True)
        _put(said, json.dumps(wanted).encode())


def _is_younger(part: Path, task: ClipTask) -> bool:
    try:
        return part.stat().st_mtime_ns >= task.path.stat().st_mtime_ns
    except OSError:
        return False


def _put(path: Path, data: bytes | memoryview) -> None:
    """Write a file that is whole or not there, even after a power cut."""
    path.parent.mkdir(exist_ok=True)
    write_whole(path, data)
