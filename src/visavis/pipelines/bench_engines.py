"""Every engine and precision at hand, by turns: milliseconds, time of processor, start and memory of a network.

Each has a process of its own, since memory is a process's and engines disturb each other. All of them analyse and
render the same drawn frames, a few by turns, so that a machine that slows down slows all alike.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, Any

from visavis.core.aside import written_aside
from visavis.core.errors import ConfigError, OutputError
from visavis.nn.engine import ENGINES, Engine, choose_precision, installed
from visavis.pipelines.neighbours import busy_neighbours

#: Frames of a variant in a round.
_A_ROUND = 4
_WARM_UP = 2
#: The peer that people can run on a CPU: the first order model at its published size, as its authors run it.
PEER = "first order model, vox-256"
PLAIN = "plain torch"


@dataclass(frozen=True)
class Variant:
    """What is timed.

    Attributes:
        label: what its row is called.
        model: weights, or None for the peer.
        engine: where and how.
        plain: the network as it is trained, not folded.
    """

    label: str
    model: str | None
    engine: Engine
    plain: bool = False


def variants(model: str, threads: int | None) -> list[Variant]:
    """The network as it is trained, then every engine and precision at hand, then the peer."""
    eager = Engine("cpu", "fp32", threads, "torch").chosen()
    found = [Variant(PLAIN, model, eager, plain=True)]
    for name in ENGINES:
        if not installed(name):
            continue
        best = choose_precision("auto", "cpu", name)
        for precision in dict.fromkeys(("fp32", best)):
            found.append(Variant(f"{name} {precision}", model, replace(eager, name=name, precision=precision)))
    return [*found, Variant(PEER, None, eager, plain=True)]


def bench_engines(model: str, threads: int | None = None, *, frames: int = 40, beside: int = 0) -> dict[str, Any]:
    """Time all variants.

    Args:
        model: name or path of weights.
        threads: of each; None for what this process may use.
        frames: of each, at least.
        beside: busy neighbours meanwhile.

    Returns:
        Medians a frame of each: ``analyse_ms`` and ``render_ms`` of the network alone, ``ms`` of both, ``cpu_ms``,
        ``of_plain`` as a share of the plain network's; then ``start_s`` from the process's first line to the first
        picture, with graphs compiled before, and ``peak_rss_mb``.

    Raises:
        ConfigError: a variant's process ended.
    """
    chosen = variants(model, threads)
    rounds = max(1, -(-frames // _A_ROUND))
    with ExitStack() as stack:
        timed, starts = [], []
        for variant in chosen:
            if not variant.plain:
                # Compiles, if that has to be, so that the start that counts is one with a warm cache.
                with ExitStack() as before:
                    _Timed(variant, before).wait()
            timed.append(_Timed(variant, stack))
            starts.append(timed[-1].wait())
        stack.enter_context(busy_neighbours(beside))
        for _ in range(rounds):
            for one in timed:
                one.turn()
        rows = [_row(one, start, timed[0]) for one, start in zip(timed, starts, strict=True)]
    return {
        "model": model,
        "threads": chosen[0].engine.threads,
        "frames": rounds * _A_ROUND,
        "beside": beside,
        "rows": rows,
    }


class _Timed:
    """A variant's process, from its start on; it ends with the stack."""

    def __init__(self, variant: Variant, stack: ExitStack) -> None:
        self.variant = variant
        told = json.dumps([variant.label, variant.model, asdict(variant.engine), variant.plain])
        self._process = subprocess.Popen(
            [sys.executable, "-m", "visavis.pipelines.bench_engines", told],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        stack.callback(self._end)
        self.frames: list[dict[str, float]] = []
        self.peak_rss_mb = 0.0

    def wait(self) -> float:
        """Seconds to its first picture, once that is there."""
        return float(self._line()["start_s"])

    def turn(self) -> None:
        """Have it make some frames."""
        assert self._process.stdin is not None
        print(file=self._process.stdin, flush=True)
        said = self._line()
        self.frames.append(said["ms"])
        self.peak_rss_mb = said["peak_rss_mb"]

    def median(self, what: str) -> float:
        """Milliseconds a frame."""
        return statistics.median(frame[what] for frame in self.frames)

    def _line(self) -> Any:
        stream: IO[str] | None = self._process.stdout
        assert stream is not None
        line = stream.readline()
        if not line:
            raise ConfigError(f"{self.variant.label}: its process ended before it was timed")
        return json.loads(line)

    def _end(self) -> None:
        self._process.kill()
        self._process.communicate()


def _row(one: _Timed, start_s: float, plain: _Timed) -> dict[str, Any]:
    total = [frame["analyse"] + frame["render"] for frame in one.frames]
    of_plain = [ms / (frame["analyse"] + frame["render"]) for ms, frame in zip(total, plain.frames, strict=True)]
    return {
        "label": one.variant.label,
        "engine": one.variant.engine.name,
        "precision": one.variant.engine.precision,
        "analyse_ms": round(one.median("analyse"), 2),
        "render_ms": round(one.median("render"), 2),
        "ms": round(statistics.median(total), 2),
        "cpu_ms": round(one.median("cpu"), 2),
        "of_plain": round(statistics.median(of_plain), 3),
        "start_s": round(start_s, 2),
        "peak_rss_mb": round(one.peak_rss_mb, 1),
    }


def table(report: Mapping[str, Any]) -> str:
    """The rows for people."""
    head = f"{'':28}{'analyse':>9}{'render':>9}{'ms':>9}{'cpu ms':>9}{'of plain':>10}{'start s':>9}{'MB':>7}"
    lines = [head]
    for row in report["rows"]:
        figures = "".join(f"{row[name]:9.1f}" for name in ("analyse_ms", "render_ms", "ms", "cpu_ms"))
        lines.append(f"{row['label']:28}{figures}{row['of_plain']:10.2f}{row['start_s']:9.1f}{row['peak_rss_mb']:7.0f}")
    beside = f", {report['beside']} busy neighbours" if report["beside"] else ""
    lines.append(f"{report['model']}, {report['threads']} threads, medians of {report['frames']} frames{beside}")
    return "\n".join(lines)


def plot(report: Mapping[str, Any], path: Path) -> None:
    """Draw milliseconds a frame as bars, wall and processor.

    Raises:
        OutputError: matplotlib is missing, or the picture cannot be written.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise OutputError("a plot needs matplotlib: pip install matplotlib") from error
    rows: Sequence[Mapping[str, Any]] = report["rows"]
    figure = Figure(figsize=(8, 0.5 * len(rows) + 1.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for shift, name, words in ((0.2, "ms", "wall"), (-0.2, "cpu_ms", "processor")):
        bars = axes.barh([-i + shift for i in range(len(rows))], [row[name] for row in rows], 0.38, label=words)
        axes.bar_label(bars, fmt="%.0f", padding=2)
    axes.margins(x=0.1)
    axes.axvline(40, color="grey", linewidth=0.8)
    axes.set_yticks([-i for i in range(len(rows))], [row["label"] for row in rows])
    axes.set_xlabel(
        f"ms a frame of {report['model']}, analysis and rendering, {report['threads']} threads (line: 25 fps)"
    )
    axes.legend()
    try:
        with written_aside(path) as aside:
            figure.savefig(aside, format=path.suffix.lstrip(".").lower() or "png", dpi=120)
    except (OSError, ValueError) as error:
        raise OutputError(f"{path}: the plot cannot be written: {error}") from error


def _work(told: str) -> None:
    """A variant's process: a line when its first picture is there, then one for each line that comes."""
    began = time.perf_counter()
    label, model, engine, plain = json.loads(told)
    from visavis.drawn.synthetic import TalkingFace
    from visavis.face.align import whole
    from visavis.generators.base import Generator, family_of
    from visavis.pipelines.analyse import Analyser
    from visavis.pipelines.files import peak_rss_mb
    from visavis.pipelines.load import load_generator
    from visavis.pipelines.render import prepared

    del label
    chosen = Engine(**engine)
    generator: Generator
    if model is None:
        peer = family_of("keypoint")
        generator = peer.from_checkpoint(peer.named["fomm-vox-256"], None, chosen)
    else:
        generator = load_generator(model, chosen, fold=not plain)
    size = generator.size
    seen = []
    with Analyser(generator.needs, video=False) as analyser:
        for frame in TalkingFace(1, size).frames(_A_ROUND):
            face = analyser.find(frame)
            assert face is not None, "the drawn face must be found"
            seen.append(analyser.observe(frame, face, whole(size, size), size))
            if len(seen) == 1:
                person = prepared(generator, seen)
                person.render([generator.analyse(seen[0])] * (generator.memory + 1), None)
                start_s = time.perf_counter() - began
    for observation in seen[:_WARM_UP]:
        person.render([generator.analyse(observation)] * (generator.memory + 1), None)
    print(json.dumps({"start_s": start_s}), flush=True)
    for _ in sys.stdin:
        spent = {"analyse": 0.0, "render": 0.0}
        cpu = time.process_time()
        for observation in seen:
            clock = time.perf_counter()
            motion = generator.analyse(observation)
            middle = time.perf_counter()
            person.render([motion] * (generator.memory + 1), None)
            spent["analyse"] += 1000 * (middle - clock) / len(seen)
            spent["render"] += 1000 * (time.perf_counter() - middle) / len(seen)
        ms = {**spent, "cpu": 1000 * (time.process_time() - cpu) / len(seen)}
        print(json.dumps({"ms": ms, "peak_rss_mb": peak_rss_mb()}), flush=True)


if __name__ == "__main__":
    _work(sys.argv[1])
