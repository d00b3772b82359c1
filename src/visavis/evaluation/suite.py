"""Every model renders the same frames of a data set and is measured the same way."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from visavis.core.errors import DataError, VisavisError
from visavis.evaluation.clip import read_clip, read_source
from visavis.evaluation.columns import COLUMNS, mesh_note
from visavis.evaluation.drive import driven
from visavis.evaluation.measure import ClipMeasure
from visavis.evaluation.models import ModelName, load_model, parse_models
from visavis.evaluation.networks import MetricNetworks
from visavis.evaluation.processes import in_processes
from visavis.evaluation.protocol import Pair, Protocol, find_clips, pair
from visavis.evaluation.results import ClipResult, Tally, reasons
from visavis.evaluation.sheet import write_sheet
from visavis.face.tracker import FaceTracker
from visavis.motion.kind import Mode
from visavis.nn.engine import Engine

#: What is measured where nobody says what: two baselines, and the packaged weights.
USUAL_ROWS = ("copy", "mesh-warp", "avfr-256", "headgan-256")

#: Reports do not depend on what a processor has in hardware.
REFERENCE = Engine("auto", "fp32", 1, "torch")

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Plan:
    """What a worker process has to know.

    Attributes:
        models: the rows.
        protocol: same or cross identity.
        every: every how many frames one is measured.
        window_s: length of the window of consecutive frames; 0 for none.
        engine: where and how models run.
        weights: folder of metric networks, or None for the usual places alone.
        sheets: folder for contact sheets, or None.
    """

    models: tuple[ModelName, ...]
    protocol: Protocol
    every: int
    window_s: float
    engine: Engine
    weights: Path | None
    sheets: Path | None


class Worker:
    """Holds the networks of one process and measures clips, one at a time."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._generators = {model.label: load_model(model, plan.engine) for model in plan.models}
        self.networks = MetricNetworks.load(plan.weights)

    def __call__(self, task: Pair) -> ClipResult:
        """Measure every model on one clip; an error raised on purpose becomes the clip's."""
        try:
            return self._measure(task)
        except VisavisError as error:
            return ClipResult(task.driving.name, failed=str(error))

    def _measure(self, task: Pair) -> ClipResult:
        plan = self._plan
        same = plan.protocol is Protocol.SAME
        clip = read_clip(task.driving.path, every=plan.every, window_s=plan.window_s)
        source = clip.source if same else read_source(task.source.path)
        generators = {model: self._generators[model.label] for model in plan.models}
        # The driver of the same protocol is the source in the same crop: its motion is rendered as it is.
        mode = None if same else Mode.RELATIVE
        pictures = driven(task.driving.path, source.observation, generators, clip.times, mode)
        result = ClipResult(task.driving.name, len(clip.driving))
        shown = {}
        with FaceTracker(video=False) as tracker:
            measure = ClipMeasure(clip, source, plan.protocol, self.networks, tracker, speech=task.driving.speech)
            result.real, result.degrees = measure.real_features, measure.degrees
            for model in plan.models:
                result.models[model.label], shown[model.label] = measure.measure(pictures[model])
        if plan.sheets is not None and clip.driving:
            driving = [seen.observation.picture for seen in clip.driving]
            write_sheet(plan.sheets / f"{task.driving.name}.png", source.observation.picture, driving, shown)
        return result


def evaluate(
    dataset: Path,
    split: str,
    models: Sequence[str],
    *,
    protocol: str = "same",
    limit: int | None = None,
    every: int = 5,
    window_s: float = 2.0,
    engine: Engine = REFERENCE,
    workers: int = 1,
    metric_weights: Path | None = None,
    sheets: Path | None = None,
    by_pose: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Measure models on a data set; the report is that of the command line's JSON.

    Args:
        dataset: folder with ``clips/*.mp4`` and ``manifest.csv``.
        split: which of its splits.
        models: rows, each ``NAME``, ``PATH`` or ``LABEL=NAME-OR-PATH``; `copy`, `mesh-warp` and `real` are built in.
        protocol: `same` or `cross`, see :class:`visavis.evaluation.protocol.Protocol`.
        limit: how many clips at most.
        every: every how many frames one is measured.
        window_s: seconds of consecutive frames of each clip, for what moves; 0 leaves that out.
        engine: where and how models run.
        workers: how many processes, each with one thread; the report does not depend on it.
        metric_weights: folder with networks of metrics.
        sheets: folder for a contact sheet a clip (source | driver | each model).
        by_pose: whether the report also has ``by_pose``, see :class:`visavis.evaluation.by_pose.ByPose`.
        progress: called with clips done and clips in all.

    Raises:
        DataError: no clips, or none that could be measured.
        WeightsError: a model cannot be loaded.
    """
    began = time.monotonic()
    names = parse_models(models)
    tasks = pair(find_clips(dataset, split), Protocol(protocol))[:limit]
    if sheets is not None:
        sheets.mkdir(parents=True, exist_ok=True)
    plan = Plan(tuple(names), Protocol(protocol), every, window_s, engine, metric_weights, sheets)
    tally = Tally([model.label for model in names])
    with _one_thread():
        # Loaded here in any case: what is wrong with a model or a folder is said once, before processes start.
        worker = Worker(plan)
        for done, result in enumerate(_results(worker, plan, tasks, workers), 1):
            tally.add(result)
            if progress is not None:
                progress(done, len(tasks))
    if not tally.clips:
        name, why = next(iter(tally.failed.items()))
        raise DataError(f"{dataset}: none of {len(tasks)} clips could be measured; the first, {name}: {why}")
    seconds = time.monotonic() - began
    rows = tally.rows()
    return {
        "protocol": protocol,
        "split": split,
        "clips": tally.clips,
        "frames": tally.frames,
        "every": every,
        "window_s": window_s,
        "models": {model.label: model.name for model in names},
        "rows": rows,
        "by_pose": tally.by_pose.report() if by_pose else None,
        "note": mesh_note(name for row in rows for name, value in row.items() if value is not None),
        "unavailable": reasons(rows, _known(plan, worker.networks)),
        "networks": worker.networks.used,
        "worst": tally.worst(),
        "failed": tally.failed,
        "workers": workers,
        "seconds": round(seconds, 2),
        "seconds_per_clip": round(seconds / len(tasks), 2),
    }


def _known(plan: Plan, networks: MetricNetworks) -> dict[str, str]:
    """Why metrics are left out, as far as the plan and the networks say."""
    known = dict(networks.unavailable)
    for column in COLUMNS:
        if column.truth and plan.protocol is Protocol.CROSS:
            known[column.name] = "the cross protocol has no ground truth"
        elif column.window and plan.window_s <= 0:
            known.setdefault(column.name, "consecutive frames were not asked for (--window 0)")
    return known


@contextmanager
def _one_thread() -> Iterator[None]:
    """One thread in here: sums of another number of threads differ in their last digits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


_of_process: Worker | VisavisError | None = None


def _start(plan: Plan) -> None:
    global _of_process
    # The parent says what has to be said.
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    torch.set_num_threads(1)
    try:
        _of_process = Worker(plan)
    except VisavisError as error:
        _of_process = error


def _run(task: Pair) -> ClipResult:
    if isinstance(_of_process, VisavisError):
        raise _of_process
    assert _of_process is not None
    return _of_process(task)


def _results(worker: Worker, plan: Plan, tasks: Sequence[Pair], workers: int) -> Iterator[ClipResult]:
    """Results in the order of the tasks."""
    if workers <= 1 or len(tasks) <= 1:
        yield from map(worker, tasks)
        return
    yield from in_processes(_run, tasks, workers, _start, (plan,))
