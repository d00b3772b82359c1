"""Clips spread over the processes of one machine; a process that dies or hangs costs its clip and no more.

A plain pool would wait for ever for a clip whose process was killed, and a video can kill a process: native decoders
crash, and the system ends processes that need too much memory.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from visavis.data.prepare.clip import Failure, Fate, attempt
from visavis.data.shards import ClipRecord
from visavis.data.sources import ClipTask

#: A clip of the greatest length takes a few minutes.
LIMIT_S = 1200.0
#: A fresh process now and then: native libraries leak.
_CLIPS_A_PROCESS = 200


@dataclass(frozen=True)
class Outcome:
    """What became of one clip.

    Attributes:
        result: its record, or why there is none.
        worker: which process did it, ``host:pid``; empty when nobody can tell.
        seat: which of the workers that was: a process that is replaced leaves its seat to the next one; empty where
            processes are not replaced.
    """

    result: ClipRecord | Failure
    worker: str
    seat: str = ""


def work(task: ClipTask, scratch: Path | None = None) -> Outcome:
    """Prepare one clip in this process: what every kind of worker runs."""
    return Outcome(attempt(task, scratch), f"{os.uname().nodename}:{os.getpid()}")


def here(tasks: Iterable[ClipTask], scratch: Path) -> Iterator[Outcome]:
    """Prepare clips in this very process, one after the other."""
    for task in tasks:
        yield work(task, scratch)


def in_processes(tasks: Iterable[ClipTask], workers: int, scratch: Path, limit_s: float = LIMIT_S) -> Iterator[Outcome]:
    """Prepare clips in ``workers`` processes; outcomes come in the order in which they are done.

    Only as many clips as there are workers are under way, so memory does not grow with the data set.

    Args:
        tasks: the clips.
        workers: how many processes, at least 1.
        scratch: folder for temporary files.
        limit_s: seconds after which a clip is given up.
    """
    waiting = iter(tasks)
    crew: list[_Worker] = []
    try:
        while True:
            while len(crew) < workers and (task := next(waiting, None)) is not None:
                taken = {worker.seat for worker in crew}
                crew.append(_Worker(scratch, min(set(range(workers)) - taken)))
                crew[-1].take(task)
            if not crew:
                return
            wait([worker.pipe for worker in crew], timeout=1.0)
            for worker in list(crew):
                outcome = worker.outcome(limit_s)
                if outcome is None:
                    continue
                yield outcome
                following = next(waiting, None) if worker.usable else None
                if following is None:
                    crew.remove(worker)
                    worker.end()
                else:
                    worker.take(following)
    finally:
        for worker in crew:
            worker.kill()


class _Worker:
    """A process that prepares one clip at a time, seen from outside.

    Args:
        scratch: folder for temporary files.
        seat: which of the workers it is.
    """

    def __init__(self, scratch: Path, seat: int) -> None:
        self.seat = seat
        # spawn: MediaPipe's threads do not survive a fork.
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.usable = True
        self._done = 0
        self._task: ClipTask | None = None
        self._began = 0.0
        self._process: BaseProcess = context.Process(target=_serve, args=(theirs, scratch), daemon=True)
        self._process.start()
        theirs.close()

    def take(self, task: ClipTask) -> None:
        """Begin a clip."""
        self._task, self._began = task, time.monotonic()
        # A process that has died already is noticed when its outcome is asked for.
        with suppress(OSError):
            self.pipe.send(task)

    def outcome(self, limit_s: float) -> Outcome | None:
        """Return what became of the clip, or None while it is being worked on."""
        assert self._task is not None
        name, seat = f"{os.uname().nodename}:{self._process.pid}", f"seat {self.seat}"
        if self.pipe.poll():
            try:
                outcome: Outcome = self.pipe.recv()
            except (EOFError, OSError):
                self.usable = False
                self._process.join(5)
                how = f"the process that worked on it ended ({_how(self._process.exitcode)})"
                return Outcome(Failure(self._task.name, f"{self._task.path}: {how}", Fate.RETRY), name, seat)
            self._done += 1
            self.usable = self._done < _CLIPS_A_PROCESS
            return replace(outcome, seat=seat)
        if time.monotonic() - self._began > limit_s:
            self.usable = False
            self.kill()
            why = f"{self._task.path}: took longer than {limit_s:.0f} s and was given up"
            return Outcome(Failure(self._task.name, why, Fate.RETRY), name, seat)
        return None

    def end(self) -> None:
        """Let the process end by itself."""
        self.pipe.close()
        self._process.join(5)
        self.kill()

    def kill(self) -> None:
        """End the process now."""
        self._process.kill()
        self._process.join()
        self.pipe.close()


def _how(code: int | None) -> str:
    return signal.strsignal(-code) or f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"


def _serve(pipe: Connection, scratch: Path) -> None:
    """Run in the worker's process until the other end of the pipe is closed."""
    # Ctrl-C reaches every process of the terminal; what is to happen is for the first one to say.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(EOFError, OSError):
        while True:
            pipe.send(work(pipe.recv(), scratch))
