"""Milliseconds by stage, beside a plain eager run of the same network in the same run."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch

from visavis.face.align import whole
from visavis.generators.base import Prior
from visavis.media.frame import Frame
from visavis.media.synthetic import TalkingFace
from visavis.media.writer import VideoWriter
from visavis.motion.transfer import Transfer
from visavis.pipelines.analyse import Analyser
from visavis.pipelines.files import peak_rss_mb
from visavis.pipelines.load import choose_device, choose_precision, load_generator
from visavis.pipelines.reenact import to_pixels

_WARM_UP = 3


def _timed(run: Callable[[], Any], into: list[float]) -> Any:
    began = time.perf_counter()
    result = run()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    into.append(1000 * (time.perf_counter() - began))
    return result


def bench(model: str, *, device: str = "auto", precision: str = "auto", frames: int = 40) -> dict[str, Any]:
    """Reenact a drawn face by another and time each stage.

    Returns:
        Median milliseconds a frame by stage, frames per second of their sum, the same frames rendered plainly (fp32,
        gradients on, the source encoded anew each time), their ratio, and peak memory.
    """
    device = choose_device(device)
    precision = choose_precision(precision, device)
    generator = load_generator(model, device=device, precision=precision)
    plain = load_generator(model, device=device, precision="fp32")
    size = generator.size
    crop = whole(size, size)
    source_frame = next(TalkingFace(3, size).frames(1))
    stages: dict[str, list[float]] = {name: [] for name in ("analyse", "motion", "render", "encode")}
    eager: list[float] = []
    with tempfile.TemporaryDirectory() as folder, Analyser(generator.needs) as analyser:
        with Analyser(generator.needs, video=False) as still:
            face = still.find(source_frame)
            assert face is not None, "the drawn face must be found"
            source = still.observe(source_frame, face, crop, size)
        person = generator.prepare([source])
        start = generator.analyse(source)
        carry = Transfer(start, start)
        writer = VideoWriter(Path(folder) / "out.mp4", size=(size, size), fps=Fraction(25))
        with writer:
            for frame in TalkingFace(1, size).frames(frames + _WARM_UP):

                def analyse(frame: Frame = frame) -> Any:
                    found = analyser.find(frame)
                    return None if found is None else analyser.observe(frame, found, crop, size)

                seen = _timed(analyse, stages["analyse"]) or source
                motion = _timed(lambda seen=seen: carry(generator.analyse(seen)), stages["motion"])
                picture = _timed(lambda m=motion: to_pixels(generator.render(person, m, None)), stages["render"])
                _timed(lambda p=picture, t=frame.time: writer.write(Frame(p, t)), stages["encode"])

                def plainly(motion: Any = motion) -> Any:
                    again = plain.prepare([source])
                    return to_pixels(plain.render(again, motion, None))

                _timed(plainly, eager)
    medians = {name: round(statistics.median(times[_WARM_UP:]), 2) for name, times in stages.items()}
    total = sum(medians.values())
    plain_ms = statistics.median(eager[_WARM_UP:])
    return {
        "model": model,
        "device": device,
        "precision": precision,
        "threads": torch.get_num_threads(),
        "frames": frames,
        "sound": Prior.MEL in generator.needs,
        "ms_per_frame": {**medians, "total": round(total, 2)},
        "fps": round(1000 / total, 2),
        "plain_eager_render_ms": round(plain_ms, 2),
        "render_speed_up": round(plain_ms / medians["render"], 2),
        "peak_rss_mb": round(peak_rss_mb(), 1),
    }
