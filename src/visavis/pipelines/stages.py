"""Stages that work at the same time: each in a thread of its own, in order, with little between them.

Decoding, MediaPipe, networks and encoding leave Python while they compute, so threads are enough. What a stage makes is
what it would make alone: it sees the same items in the same order, and nothing that changes belongs to two of them.

A stage that makes each of its items without a look at the others, as networks do pictures, can make several at once: it
then hands on promises, in order, of what is being made.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from typing import Generic, TypeVar

from visavis.core.closing import Closing

T = TypeVar("T")
#: Something that is being made; calling it waits until it is there, and raises what went wrong.
Promise = Callable[[], T]

#: Items between two stages: enough that one that is slow now and then does not hold up the next.
_BETWEEN = 2
#: Where a lock cannot be interrupted, Ctrl-C is seen after so long.
_LOOK_UP_S = 0.5


class _Stopped(Exception):
    """Nobody wants what this stage makes any more."""


class _Channel(Generic[T]):
    """What one stage hands to the next: a few items in order, then the end or an error.

    Args:
        stop: set when nobody goes on.
    """

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._changed = threading.Condition()
        self._items: deque[T] = deque()
        self._error: BaseException | None = None
        self._ended = False

    @property
    def stopped(self) -> bool:
        """Whether nobody goes on."""
        return self._stop.is_set()

    def put(self, item: T) -> None:
        with self._changed:
            self._wait(lambda: len(self._items) < _BETWEEN)
            self._items.append(item)
            self._changed.notify_all()

    def end(self, error: BaseException | None) -> None:
        with self._changed:
            self._ended, self._error = True, error
            self._changed.notify_all()

    def wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def take(self) -> Iterator[T]:
        """Yield the items; raise what ended the stage before, once those from before it are taken."""
        while True:
            with self._changed:
                self._wait(lambda: bool(self._items) or self._ended)
                if not self._items:
                    break
                item = self._items.popleft()
                self._changed.notify_all()
            yield item
        if self._error is not None:
            raise self._error

    def _wait(self, until: Callable[[], bool]) -> None:
        while not self._stop.is_set() and not until():
            self._changed.wait(_LOOK_UP_S)
        if self._stop.is_set():
            raise _Stopped


class Stages(Closing):
    """A few stages at work, all of which have ended when the ``with`` block has.

    Enter it after whatever the stages use, so that it ends first. An error in a stage is raised where its items are
    taken, after those from before it, as if all had happened in one thread; what other stages do then is dropped.

    Args:
        at_once: how many things that are begun are made at the same time; with one, each is made where it is begun.
    """

    def __init__(self, at_once: int = 1) -> None:
        self._stop = threading.Event()
        self._running: list[tuple[threading.Thread, _Channel[object]]] = []
        self._makers = ThreadPoolExecutor(at_once, thread_name_prefix="visavis-make") if at_once > 1 else None

    def ahead(self, items: Iterable[T], name: str) -> Iterator[T]:
        """The same items, made by a thread of their own before they are asked for, at most three at a time.

        Args:
            items: to be had one after another; a generator is closed by the thread that ran it.
            name: of the stage, for debuggers.
        """
        channel: _Channel[T] = _Channel(self._stop)
        thread = threading.Thread(target=_run, args=(items, channel), name=f"visavis-{name}", daemon=True)
        self._running.append((thread, channel))  # type: ignore[arg-type]
        thread.start()
        return channel.take()

    def begin(self, make: Callable[[], T]) -> Promise[T]:
        """Begin to make something that depends on nothing that is begun later.

        Who begins things takes a stage to themselves, :meth:`ahead`, so that only a few are under way.
        """
        return made_at_once(make) if self._makers is None else _Begun(self._makers.submit(make), self._stop)

    def close(self) -> None:
        """Stop all stages, and wait until each has done the item that it is at."""
        self._stop.set()
        interrupted: KeyboardInterrupt | None = None
        while self._running or self._makers is not None:
            try:
                if self._running:
                    thread, channel = self._running[-1]
                    channel.wake()
                    with suppress(RuntimeError):  # interrupted as it started: it will find that all have stopped
                        thread.join()
                    self._running.pop()
                elif self._makers is not None:
                    self._makers.shutdown(cancel_futures=True)
                    self._makers = None
            except KeyboardInterrupt as again:
                # What a thread still uses must not be closed under it.
                interrupted = again
        if interrupted is not None:
            raise interrupted


class _Begun(Generic[T]):
    """A promise of what another thread makes."""

    def __init__(self, future: Future[T], stop: threading.Event) -> None:
        self._future, self._stop = future, stop

    def __call__(self) -> T:
        while not wait([self._future], _LOOK_UP_S).done:
            if self._stop.is_set():
                raise _Stopped
        return self._future.result()


def made_at_once(make: Callable[[], T]) -> Promise[T]:
    """Make something now: what :meth:`Stages.begin` is where there are no stages."""
    made = make()
    return lambda: made


def _run(items: Iterable[T], channel: _Channel[T]) -> None:
    if channel.stopped:
        return
    error: BaseException | None = None
    iterator = iter(items)
    try:
        for item in iterator:
            channel.put(item)
    except _Stopped:
        pass
    except BaseException as raised:  # whoever takes the items raises it
        error = raised
    finally:
        close = getattr(iterator, "close", None)
        if close is not None:
            with suppress(_Stopped):
                close()
        channel.end(error)
