"""How threads that wait, their number and the precision change a frame's cost: variants in turn, in one run.

Each variant is a process of its own, since how threads wait is decided when torch is loaded. All of them render the
same drawn faces, a few frames each by turns, so that a machine that slows down slows all alike; ratios to the first
are what to read. ``--busy N`` runs N more processes that compute, as a neighbour would.

    python benchmarks/runtime.py --rounds 6 --busy 2
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import time
from typing import IO

import visavis  # before torch: how threads wait is decided when that is loaded

FRAMES = 3  # of a variant in a round

#: Environment, threads (None: as visavis chooses) and precision of each variant.
VARIANTS: dict[str, tuple[dict[str, str], int | None, str]] = {
    "spin, 2 threads, fp32": ({"GOMP_SPINCOUNT": "300000"}, 2, "fp32"),
    "spin, 1 thread, fp32": ({"GOMP_SPINCOUNT": "300000"}, 1, "fp32"),
    "sleep, 2 threads, fp32": ({"OMP_WAIT_POLICY": "passive"}, 2, "fp32"),
    "sleep, 1 thread, fp32": ({"OMP_WAIT_POLICY": "passive"}, 1, "fp32"),
    "sleep, 2 threads, bf16": ({"OMP_WAIT_POLICY": "passive"}, 2, "bf16"),
    "sleep, 1 thread, bf16": ({"OMP_WAIT_POLICY": "passive"}, 1, "bf16"),
    "as it comes": ({}, None, "auto"),
}
OTHER = "the other checkout"


def work(threads: int | None, precision: str, model: str) -> None:
    """Render frames whenever a line comes, and answer with milliseconds of wall and processor a frame."""
    from visavis.drawn.synthetic import TalkingFace
    from visavis.face.align import whole
    from visavis.face.types import Observation
    from visavis.motion.layout import Motion
    from visavis.nn.engine import Engine
    from visavis.pipelines.analyse import Analyser
    from visavis.pipelines.load import load_generator
    from visavis.pipelines.render import prepared

    generator = load_generator(model, Engine(precision=precision, threads=threads))
    size = generator.size
    seen = []
    with Analyser(generator.needs, video=False) as analyser:
        for frame in TalkingFace(1, size).frames(FRAMES):
            face = analyser.find(frame)
            assert face is not None, "the drawn face must be found"
            seen.append(analyser.observe(frame, face, whole(size, size), size))
    person = prepared(generator, seen[:1])

    def window(observation: Observation) -> list[Motion]:
        return [generator.analyse(observation)] * (generator.memory + 1)

    for _ in range(2):
        person.render(window(seen[0]), None)
    print(json.dumps({"threads": generator.engine.threads, "precision": generator.engine.precision}), flush=True)
    for _ in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        for observation in seen:
            person.render(window(observation), None)
        spent = [1000 * (time.perf_counter() - wall) / FRAMES, 1000 * (time.process_time() - cpu) / FRAMES]
        print(json.dumps(spent), flush=True)


def burn() -> None:
    """Keep one processor busy for ever."""
    while True:
        sum(i * i for i in range(10_000))


def start(name: str, model: str, other: str | None) -> subprocess.Popen[str]:
    """Start a variant's process; it answers with a line once it is warm."""
    changes, threads, precision = VARIANTS.get(name, ({"PYTHONPATH": other or ""}, None, "auto"))
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("OMP_", "GOMP_", "KMP_"))}
    environment |= {key: value for key, value in changes.items() if value}
    command = [sys.executable, __file__, "--model", model, "--work", json.dumps([threads, precision])]
    return subprocess.Popen(
        command, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )


def _line(stream: IO[str] | None) -> str:
    assert stream is not None
    return stream.readline()


def main() -> None:
    """Run the variants by turns and print medians, and medians of ratios to the first."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--busy", type=int, default=0)
    parser.add_argument("--model", default="avfr-256")
    parser.add_argument("--other", metavar="SRC", help="src folder of another checkout, run as it comes, and first")
    parser.add_argument("--only", nargs="*", default=list(VARIANTS))
    parser.add_argument("--work", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        threads, precision = json.loads(options.work)
        work(threads, precision, options.model)
        return
    load = os.getloadavg()[0]
    names = [OTHER, *options.only] if options.other else options.only
    processes = {name: start(name, options.model, options.other) for name in names}
    about = {name: json.loads(_line(process.stdout)) for name, process in processes.items()}
    neighbours = [multiprocessing.Process(target=burn, daemon=True) for _ in range(options.busy)]
    for neighbour in neighbours:
        neighbour.start()
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in processes}
    for _ in range(options.rounds):
        for name, process in processes.items():
            assert process.stdin is not None
            print("go", file=process.stdin, flush=True)
            wall, cpu = json.loads(_line(process.stdout))
            spent[name].append((wall, cpu))
    for process in processes.values():
        process.terminate()
    first = spent[names[0]]
    print(f"visavis {visavis.__version__}; load {load:.1f} before; {options.busy} busy processes beside")
    for name, times in spent.items():
        wall, cpu = (statistics.median(t[i] for t in times) for i in (0, 1))
        ratio = statistics.median(t[0] / f[0] for t, f in zip(times, first, strict=True))
        print(f"{name:24} {wall:7.0f} ms a frame, {cpu:7.0f} ms of processor, {ratio:5.2f} of the first  {about[name]}")


if __name__ == "__main__":
    main()
