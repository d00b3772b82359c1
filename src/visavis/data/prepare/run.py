"""Raw videos to shards: tracked, checked, with their priors computed once, on one machine or on many.

A clip is the unit of work. It is kept in a file of its own as soon as it is done (:mod:`visavis.data.prepare.parts`),
and shards are put together from those in the end, in the data set's order: they do not depend on how many workers there
were or how often a run was killed.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from visavis.core.aside import why_not
from visavis.core.errors import DataError, OutputError
from visavis.data.prepare.clip import SIZE, Failure, Fate
from visavis.data.prepare.cluster import in_cluster
from visavis.data.prepare.parts import Parts
from visavis.data.prepare.report import PrepareReport
from visavis.data.prepare.spread import Outcome, here, in_processes
from visavis.data.shards import ClipRecord, ShardWriter, read_one
from visavis.data.sound import FPS
from visavis.data.sources import VAL_SHARE, ClipTask, Dataset, find_clips

SHARD_BYTES = 24 << 20  # small enough to be carried one by one
REPORT = "report.json"

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class PrepareOptions:
    """How to prepare.

    Attributes:
        workers: processes on this machine, 0 for this very process; with ``ray``, most clips at a time, 0 for all
            processors of the cluster.
        ray: address of a Ray cluster, ``auto`` or ``local``; None for this machine alone.
        limit: only the first so many clips.
        shard_bytes: largest size of a shard.
        val_share: share of the identities held back where the data set does not say.
        videos: where VoxCeleb's videos lie, if elsewhere.
        force: replace shards that are there, and discard an unfinished run of another data set.
        face: which face of each video, 0 for the largest.
        follow_links: whether links in the data set may lead to files outside of it.
    """

    workers: int = 0
    ray: str | None = None
    limit: int | None = None
    shard_bytes: int = SHARD_BYTES
    val_share: float = VAL_SHARE
    videos: Path | None = None
    force: bool = False
    face: int = 0
    follow_links: bool = False


def prepare(
    dataset: Path, output: Path, options: PrepareOptions | None = None, *, progress: Progress | None = None
) -> PrepareReport:
    """Prepare every clip of ``dataset`` into shards ``<split>-00000.tar`` and a ``report.json`` in ``output``.

    The folder appears under its name only when it is complete. A run that was interrupted in any way goes on where it
    was when it is started again.

    Raises:
        DataError: the data set cannot be used, or none of its clips can.
        OutputError: the shards cannot be written.
    """
    options = options or PrepareOptions()
    found = find_clips(dataset, videos=options.videos, val_share=options.val_share, follow_links=options.follow_links)
    found = replace(found, clips=tuple(replace(clip, face=options.face) for clip in found.clips[: options.limit]))
    _check_output(output, options.force)
    if not found.clips:
        raise DataError(f"{dataset}: none of its {len(found.missing)} videos is there")
    started = time.monotonic()
    wanted: dict[str, str | int] = {"dataset": str(dataset.resolve()), "size": SIZE, "fps": FPS}
    if options.face:
        wanted["face"] = options.face
    with Parts(output, wanted, force=options.force) as parts:
        try:
            report = _prepare(found, parts, output, options, progress)
        except OSError as error:
            raise OutputError(f"{output}: cannot be written ({why_not(error)}); run again to go on") from error
        report.seconds = time.monotonic() - started
        if not report.clips:
            parts.remove()
            name, why = next(iter(report.failed.items()))
            raise DataError(f"{dataset}: none of {len(found.clips)} clips could be prepared; the first, {name}: {why}")
        _publish(parts, output, report)
    return report


def _check_output(output: Path, force: bool) -> None:
    """Refuse what is there already; even ``force`` must not delete anything but shards."""
    if not output.exists():
        return
    if not force:
        raise OutputError(f"{output}: exists already; --force replaces it")
    inside = sorted(path.name for path in output.iterdir()) if output.is_dir() else [output.name]
    others = [name for name in inside if not name.endswith(".tar") and name != REPORT]
    if others or not output.is_dir():
        raise OutputError(f"{output}: '{others[0]}' is no shard; --force replaces folders of nothing but shards")


def _prepare(
    found: Dataset, parts: Parts, output: Path, options: PrepareOptions, progress: Progress | None
) -> PrepareReport:
    report = PrepareReport(missing=found.missing)
    sharded = _in_shards(parts, found)
    waiting: list[ClipTask] = []
    for task in found.clips:
        failure = parts.failure(task)
        if task.name in sharded or parts.has(task):
            report.skipped += 1
        elif failure is not None:
            report.failed[failure.clip] = failure.reason
        else:
            waiting.append(task)
    done = len(found.clips) - len(waiting)
    with closing(_settled(waiting, parts, options)) as outcomes:
        for outcome in outcomes:
            _keep(outcome, parts, output, report)
            done += 1
            if progress is not None:
                progress(done, len(found.clips))
    _assemble(found, parts, sharded, options.shard_bytes, report)
    return report


def _settled(tasks: list[ClipTask], parts: Parts, options: PrepareOptions) -> Generator[Outcome, None, None]:
    """Yield what became of each clip; those that failed through no known fault of theirs have had a second chance."""
    by_name = {task.name: task for task in tasks}
    again: list[ClipTask] = []
    with closing(_outcomes(tasks, parts, options)) as outcomes:
        for outcome in outcomes:
            if isinstance(outcome.result, Failure) and outcome.result.fate is Fate.RETRY:
                again.append(by_name[outcome.result.clip])
            else:
                yield outcome
    yield from _outcomes(again, parts, options)


def _outcomes(tasks: list[ClipTask], parts: Parts, options: PrepareOptions) -> Generator[Outcome, None, None]:
    if not tasks:
        return
    if options.ray is not None:
        yield from in_cluster(tasks, options.ray, options.workers or None)
    elif options.workers == 0:
        yield from here(tasks, parts.scratch)
    else:
        yield from in_processes(tasks, options.workers, parts.scratch)


def _keep(outcome: Outcome, parts: Parts, output: Path, report: PrepareReport) -> None:
    result = outcome.result
    report.workers |= {outcome.seat or outcome.worker} - {""}
    if isinstance(result, ClipRecord):
        parts.add(result)
        return
    if result.fate is Fate.STOP:
        raise OutputError(f"{output}: {result.reason}; run again to go on")
    if result.fate is Fate.FINAL:
        parts.fail(result)
    report.failed[result.clip] = result.reason


def _in_shards(parts: Parts, found: Dataset) -> dict[str, dict[str, Any]]:
    """What is known of the clips in shards that an interrupted run had put together already."""
    there = {record.name: record.info for path in sorted(parts.shards.glob("*.tar")) for record in read_one(path)}
    asked_for = {task.name: (task.identity, task.split) for task in found.clips}
    if any(asked_for.get(name) != (info["identity"], info["split"]) for name, info in there.items()):
        raise OutputError(f"{parts.shards}: holds clips that this run does not ask for; delete it, and run again")
    return there


def _assemble(
    found: Dataset, parts: Parts, sharded: dict[str, dict[str, Any]], shard_bytes: int, report: PrepareReport
) -> None:
    """Put parts together into shards, in the data set's order."""
    with ShardWriter(parts.shards, shard_bytes, parts.drop) as shards:
        for task in found.clips:
            if task.name in sharded:
                report.add(sharded[task.name])
            elif parts.has(task):
                record = parts.record(task.name)
                # An identity or split may have been corrected since the part was made.
                record = replace(record, info={**record.info, "identity": task.identity, "split": task.split})
                shards.add(record)
                report.add(record.info)


def _publish(parts: Parts, output: Path, report: PrepareReport) -> None:
    """Write the report and give the folder of shards its name."""
    shards = list(parts.shards.glob("*.tar"))
    report.shards = len(shards)
    report.bytes = sum(path.stat().st_size for path in shards)
    (parts.shards / REPORT).write_text(json.dumps(report.as_json(), indent=2) + "\n")
    old = parts.folder / "old"
    shutil.rmtree(old, ignore_errors=True)
    if output.exists():
        output.rename(old)
    parts.shards.rename(output)
    parts.remove()
