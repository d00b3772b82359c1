"""``visavis bench``."""

from __future__ import annotations

from typing import Annotated

import typer

from visavis.cli.console import print_json
from visavis.cli.options import EngineName, EngineOption, Json, Threads


def bench(
    model: Annotated[str, typer.Option(help="Name or path of weights.")] = "avfr-256",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32 or bf16.")] = "auto",
    threads: Threads = None,
    engine: EngineOption = EngineName.auto,
    frames: Annotated[int, typer.Option(min=5, help="Frames to time.")] = 40,
    as_json: Json = False,
) -> None:
    """Time every stage on a drawn face, beside a plain run of the same network."""
    from visavis.nn.engine import Engine
    from visavis.pipelines.bench import bench as run

    report = run(model, Engine(device, precision, threads, engine.value), frames=frames)
    if as_json:
        print_json(report)
        return
    for stage, ms in report["ms_per_frame"].items():
        print(f"{stage:8} {ms:8.1f} ms")
    print(f"{report['fps']} fps on {report['device']} ({report['precision']}, {report['threads']} threads)")
    plain, ratio = report["plain_eager_render_ms"], report["speed_up"]
    print(f"the same render by the network as it is trained, in fp32: {plain} ms, {ratio} times ours")
    uncached, ratio = report["plain_eager_uncached_ms"], report["speed_up_uncached"]
    print(f"and with the source encoded for every frame: {uncached} ms, {ratio} times ours")
    print(f"peak memory {report['peak_rss_mb']} MB")
