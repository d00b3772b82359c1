"""``visavis bench``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from visavis.cli.console import print_json
from visavis.cli.options import EngineName, EngineOption, Json, ModelOption, Threads
from visavis.weights.store import DEFAULT_MODEL


def bench(
    model: ModelOption = DEFAULT_MODEL,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32 or bf16.")] = "auto",
    threads: Threads = None,
    engine: EngineOption = EngineName.auto,
    frames: Annotated[int, typer.Option(min=5, help="Frames to time.")] = 40,
    beside: Annotated[int, typer.Option(min=0, max=64, help="Busy processes meanwhile, as a browser would be.")] = 0,
    engines: Annotated[
        bool,
        typer.Option("--engines", help="The network alone on every engine and precision at hand, and its plain peers."),
    ] = False,
    plot: Annotated[Path | None, typer.Option(help="Picture of --engines, as .png, .svg or .pdf.")] = None,
    as_json: Json = False,
) -> None:
    """Time every stage on a drawn face, beside a plain run of the same network; or every engine."""
    if plot is not None and not engines:
        raise typer.BadParameter("--plot is of --engines")
    if engines:
        _engines(model, threads, frames, beside, plot, as_json)
        return
    from visavis.nn.engine import Engine
    from visavis.pipelines.bench import bench as run
    from visavis.pipelines.neighbours import busy_neighbours

    with busy_neighbours(beside):
        report = {**run(model, Engine(device, precision, threads, engine.value), frames=frames), "beside": beside}
    if as_json:
        print_json(report)
        return
    for stage, ms in report["ms_per_frame"].items():
        print(f"{stage:8} {ms:8.1f} ms")
    how = f"{report['engine']}, {report['precision']}, {report['threads']} threads"
    print(f"{report['fps']} fps on {report['device']} ({how}), {report['cpu_ms_per_frame']} ms of processor a frame")
    plain, ratio = report["plain_eager_render_ms"], report["speed_up"]
    print(f"the same render by the network as it is trained, in fp32: {plain} ms, {ratio} times ours")
    uncached, ratio = report["plain_eager_uncached_ms"], report["speed_up_uncached"]
    print(f"and with the source encoded for every frame: {uncached} ms, {ratio} times ours")
    print(f"peak memory {report['peak_rss_mb']} MB")


def _engines(model: str, threads: int | None, frames: int, beside: int, plot: Path | None, as_json: bool) -> None:
    from visavis.pipelines import bench_engines
    from visavis.weights.store import resolve

    resolve(model)  # what is wrong with a name is said once, before processes start
    report = bench_engines.bench_engines(model, threads, frames=frames, beside=beside)
    if plot is not None:
        bench_engines.plot(report, plot)
    if as_json:
        print_json(report)
    else:
        print(bench_engines.table(report))
