"""Clips spread over a Ray cluster. Videos must lie under the same path on every machine; results travel through Ray."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Iterable, Iterator
from typing import Any

from visavis.core.errors import ConfigError
from visavis.data.prepare.clip import Failure, Fate
from visavis.data.prepare.spread import LIMIT_S, Outcome, work
from visavis.data.sources import ClipTask

_LISTEN_S = 10.0


def in_cluster(
    tasks: Iterable[ClipTask], address: str, workers: int | None, limit_s: float = LIMIT_S
) -> Iterator[Outcome]:
    """Prepare clips on a Ray cluster; outcomes come in the order in which they are done.

    Only as many clips as the cluster has processors are under way, so Ray's object store stays small.

    Args:
        tasks: the clips.
        address: ``local`` starts a cluster on this machine, ``auto`` finds a running one, else ``host:port`` or
            ``ray://host:port``.
        workers: most clips at a time; None for as many as the cluster has processors.
        limit_s: seconds after which a clip is given up.

    Raises:
        ConfigError: Ray is not installed, or there is no cluster at the address (any more).
    """
    ray = _connect(address, workers)
    try:
        remote = ray.remote(num_cpus=1, max_retries=0)(work)
        waiting = iter(tasks)
        under_way: dict[Any, tuple[ClipTask, float]] = {}
        while True:
            while len(under_way) < _room(ray, workers) and (task := next(waiting, None)) is not None:
                under_way[remote.remote(task)] = (task, time.monotonic())
            if not under_way:
                return
            done, _ = ray.wait(list(under_way), num_returns=1, timeout=1.0)
            for reference in done:
                task, _ = under_way.pop(reference)
                yield _fetch(ray, reference, task)
            for reference in _overdue(under_way, limit_s):
                task, _ = under_way.pop(reference)
                ray.cancel(reference, force=True)
                why = f"{task.path}: took longer than {limit_s:.0f} s and was given up"
                yield Outcome(Failure(task.name, why, Fate.RETRY), "")
    except ray.exceptions.RayError as error:
        raise ConfigError(
            f"the Ray cluster at '{address}' was lost ({_first_line(error)}); run again to go on"
        ) from error
    finally:
        ray.shutdown()


def _room(ray: Any, workers: int | None) -> int:
    """How many clips may be under way now; a cluster grows and shrinks, and a clip that queues would seem slow."""
    processors = max(1, int(ray.cluster_resources().get("CPU", 1)))
    return min(workers or processors, processors)


def _overdue(under_way: dict[Any, tuple[ClipTask, float]], limit_s: float) -> list[Any]:
    now = time.monotonic()
    return [reference for reference, (_, began) in under_way.items() if now - began > limit_s]


def _fetch(ray: Any, reference: Any, task: ClipTask) -> Outcome:
    try:
        outcome: Outcome = ray.get(reference)
        return outcome
    except ray.exceptions.RayError as error:
        why = f"{type(error).__name__}: {_first_line(error)}"
        return Outcome(Failure(task.name, f"{task.path}: {why}", Fate.RETRY), "")


def _connect(address: str, workers: int | None) -> Any:
    try:
        import ray
    except ImportError as error:
        raise ConfigError("Ray is not installed; install it by `pip install visavis[cluster]`") from error
    _check_that_somebody_listens(address)
    local = address == "local"
    own: dict[str, Any] = {"num_cpus": workers or None, "include_dashboard": False} if local else {}
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **own)
    except (ConnectionError, ValueError, RuntimeError, OSError) as error:
        raise ConfigError(f"no Ray cluster can be reached at '{address}' ({_first_line(error)})") from error
    return ray


def _check_that_somebody_listens(address: str) -> None:
    """Ray itself waits for minutes for a cluster that is not there."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not (colon and port.isdigit()):
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_LISTEN_S).close()
    except (OSError, OverflowError) as error:
        raise ConfigError(f"no Ray cluster can be reached at '{address}' ({_first_line(error)})") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
