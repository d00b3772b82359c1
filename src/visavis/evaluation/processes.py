"""Work over several processes, whose end is heard of whatever way they take."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from visavis.core.errors import DataError

T = TypeVar("T")
R = TypeVar("R")


def in_processes(
    work: Callable[[T], R],
    tasks: Sequence[T],
    workers: int,
    start: Callable[..., None],
    arguments: tuple[Any, ...] = (),
) -> Iterator[R]:
    """Results in the order of the tasks.

    Args:
        work: called with each task, in some process; a function of a module.
        tasks: as many as there are.
        workers: processes at most.
        start: called once in each process before its first task, with ``arguments``.
        arguments: that can be pickled.

    Raises:
        DataError: a process died.
    """
    # spawn: MediaPipe's threads do not survive a fork.
    spawn = multiprocessing.get_context("spawn")
    strangers = set(multiprocessing.active_children())
    with ProcessPoolExecutor(min(workers, len(tasks)), spawn, start, arguments) as pool:
        try:
            yield from pool.map(work, tasks)
        except BrokenProcessPool as error:
            raise DataError("a worker process died, perhaps for want of memory; use fewer --workers") from error
        except BaseException:
            for child in set(multiprocessing.active_children()) - strangers:
                child.terminate()
            raise
