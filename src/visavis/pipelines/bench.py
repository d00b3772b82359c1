"""Milliseconds by stage, beside a plain eager run of the same network in the same run."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from visavis.audio.window import SoundWindow
from visavis.drawn.synthetic import TalkingFace
from visavis.face.align import whole
from visavis.face.types import Observation
from visavis.generators.base import Generator
from visavis.media.frame import Frame, Pixels
from visavis.media.writer import VideoWriter
from visavis.motion.transfer import Transfer
from visavis.motion.types import KeypointMotion
from visavis.pipelines.analyse import Analyser
from visavis.pipelines.files import peak_rss_mb
from visavis.pipelines.load import choose_device, choose_precision, load_generator
from visavis.pipelines.reenact import to_pixels

_WARM_UP = 3

Mel = NDArray[np.float32]


def _timed(run: Callable[[], Any], into: list[float]) -> Any:
    began = time.perf_counter()
    result = run()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    into.append(1000 * (time.perf_counter() - began))
    return result


def _move(generator: Generator, carry: Transfer, seen: Observation) -> KeypointMotion:
    return carry(generator.analyse(seen))


def _render(generator: Generator, person: Any, motion: KeypointMotion, mel: Mel) -> Pixels:
    return to_pixels(generator.render(person, motion, mel))


def _encode_and_render(generator: Generator, source: Observation, motion: KeypointMotion, mel: Mel) -> Pixels:
    return _render(generator, generator.prepare([source]), motion, mel)


def bench(
    model: str, *, device: str = "auto", precision: str = "auto", threads: int | None = None, frames: int = 40
) -> dict[str, Any]:
    """Reenact a drawn face by another and time each stage.

    Returns:
        Median milliseconds a frame by stage and frames per second of their sum; the same frames rendered by the
        network as it is trained, in eager fp32, with the source encoded once and with the source encoded for every
        frame; the ratios of both to ours; peak memory.
    """
    device = choose_device(device)
    precision = choose_precision(precision, device)
    generator = load_generator(model, device=device, precision=precision, threads=threads)
    plain = load_generator(model, device=device, precision="fp32", threads=threads, fold=False)
    size = generator.size
    crop = whole(size, size)
    source_frame = next(TalkingFace(3, size).frames(1))
    stages: dict[str, list[float]] = {name: [] for name in ("analyse", "motion", "render", "encode")}
    eager: list[float] = []
    uncached: list[float] = []
    with tempfile.TemporaryDirectory() as folder, Analyser(generator.needs) as analyser:
        with Analyser(generator.needs, video=False) as still:
            face = still.find(source_frame)
            assert face is not None, "the drawn face must be found"
            source = still.observe(source_frame, face, crop, size)
        person, plain_person = generator.prepare([source]), plain.prepare([source])
        window = SoundWindow([TalkingFace(1, size).sound(float((frames + _WARM_UP) / 25))])
        start = generator.analyse(source)
        carry = Transfer(start, start, face=generator.face_model)
        writer = VideoWriter(Path(folder) / "out.mp4", size=(size, size), fps=Fraction(25))
        with writer:
            for frame in TalkingFace(1, size).frames(frames + _WARM_UP):

                def analyse(frame: Frame = frame) -> Any:
                    found = analyser.find(frame)
                    return None if found is None else analyser.observe(frame, found, crop, size)

                seen = _timed(analyse, stages["analyse"]) or source
                mel = window.at(frame.time)
                motion = _timed(partial(_move, generator, carry, seen), stages["motion"])
                picture = _timed(partial(_render, generator, person, motion, mel), stages["render"])
                _timed(partial(writer.write, Frame(picture, frame.time)), stages["encode"])
                _timed(partial(_render, plain, plain_person, motion, mel), eager)
                _timed(partial(_encode_and_render, plain, source, motion, mel), uncached)
    medians = {name: round(statistics.median(times[_WARM_UP:]), 2) for name, times in stages.items()}
    total = sum(medians.values())
    plain_ms, uncached_ms = statistics.median(eager[_WARM_UP:]), statistics.median(uncached[_WARM_UP:])
    return {
        "model": model,
        "device": device,
        "precision": precision,
        "threads": torch.get_num_threads(),
        "frames": frames,
        "ms_per_frame": {**medians, "total": round(total, 2)},
        "fps": round(1000 / total, 2),
        "plain_eager_render_ms": round(plain_ms, 2),
        "plain_eager_uncached_ms": round(uncached_ms, 2),
        "speed_up": round(plain_ms / medians["render"], 2),
        "speed_up_uncached": round(uncached_ms / medians["render"], 2),
        "peak_rss_mb": round(peak_rss_mb(), 1),
    }
