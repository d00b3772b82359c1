"""Milliseconds by stage, beside a plain eager run of the same network in the same run."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch

from visavis.audio.window import SoundWindow
from visavis.drawn.synthetic import TalkingFace
from visavis.face.align import whole
from visavis.face.types import Observation
from visavis.generators.base import Generator
from visavis.media.frame import Frame, Pixels
from visavis.media.writer import VideoWriter
from visavis.motion.kind import Carrier
from visavis.motion.layout import Motion
from visavis.nn.engine import Engine
from visavis.pipelines.analyse import Analyser
from visavis.pipelines.files import peak_rss_mb
from visavis.pipelines.load import load_generator
from visavis.pipelines.render import Cue, Cues, SoundAt, prepared

_WARM_UP = 3
_T = TypeVar("_T")


def _timed(run: Callable[[], _T], into: list[float]) -> _T:
    began = time.perf_counter()
    result = run()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    into.append(1000 * (time.perf_counter() - began))
    return result


def _move(generator: Generator, carry: Carrier, seen: Observation) -> Motion:
    return carry(generator.analyse(seen))


def _encode_and_render(generator: Generator, source: Observation, cue: Cue) -> Pixels:
    return prepared(generator, [source]).render(*cue)


def bench(model: str, engine: Engine | None = None, *, frames: int = 40) -> dict[str, Any]:
    """Reenact a drawn face by another and time each stage.

    Returns:
        Median milliseconds a frame by stage, frames per second of their sum, and time of processor; the same frames
        rendered by the network as it is trained, in eager fp32, with the source encoded once and with the source
        encoded for every frame; the ratios of both to ours; peak memory.
    """
    generator = load_generator(model, engine)
    plain = load_generator(model, replace(generator.engine, precision="fp32", name="torch"), fold=False)
    size = generator.size
    crop = whole(size, size)
    source_frame = next(TalkingFace(3, size).frames(1))
    stages: dict[str, list[float]] = {name: [] for name in ("analyse", "motion", "render", "encode")}
    eager: list[float] = []
    uncached: list[float] = []
    processor: list[float] = []
    with tempfile.TemporaryDirectory() as folder, Analyser(generator.needs_of_driver) as analyser:
        with Analyser(generator.needs, video=False) as still:
            face = still.find(source_frame)
            assert face is not None, "the drawn face must be found"
            source = still.observe(source_frame, face, crop, size)
        person, plain_person = prepared(generator, [source]), prepared(plain, [source])
        cues = Cues(generator, _sound_at(generator, float((frames + _WARM_UP) / 25)))
        start = generator.analyse(source)
        carry = generator.kind.carrier(start, start)
        writer = VideoWriter(Path(folder) / "out.mp4", size=(size, size), fps=Fraction(25))
        with writer:
            for frame in TalkingFace(1, size).frames(frames + _WARM_UP):

                def analyse(frame: Frame = frame) -> Observation | None:
                    found = analyser.find(frame)
                    return None if found is None else analyser.observe(frame, found, crop, size)

                clock = time.process_time()
                seen = _timed(analyse, stages["analyse"]) or source
                motion = _timed(partial(_move, generator, carry, seen), stages["motion"])
                cue = cues(motion, frame.time)
                picture = _timed(partial(person.render, *cue), stages["render"])
                _timed(partial(writer.write, Frame(picture, frame.time)), stages["encode"])
                processor.append(1000 * (time.process_time() - clock))
                _timed(partial(plain_person.render, *cue), eager)
                _timed(partial(_encode_and_render, plain, source, cue), uncached)
    medians = {name: round(statistics.median(times[_WARM_UP:]), 2) for name, times in stages.items()}
    total = sum(medians.values())
    plain_ms, uncached_ms = statistics.median(eager[_WARM_UP:]), statistics.median(uncached[_WARM_UP:])
    return {
        "model": model,
        "device": generator.engine.device,
        "precision": generator.engine.precision,
        "threads": generator.engine.threads,
        "engine": generator.engine.name,
        "frames": frames,
        "ms_per_frame": {**medians, "total": round(total, 2)},
        "fps": round(1000 / total, 2),
        "cpu_ms_per_frame": round(statistics.median(processor[_WARM_UP:]), 2),
        "plain_eager_render_ms": round(plain_ms, 2),
        "plain_eager_uncached_ms": round(uncached_ms, 2),
        "speed_up": round(plain_ms / medians["render"], 2),
        "speed_up_uncached": round(uncached_ms / medians["render"], 2),
        "peak_rss_mb": round(peak_rss_mb(), 1),
    }


def _sound_at(generator: Generator, seconds: float) -> SoundAt | None:
    """The drawn face's voice, as the generator hears it."""
    hears = generator.hears
    if hears is None:
        return None
    return SoundWindow([TalkingFace(1, generator.size).sound(seconds, hears.rate_hz)], hears).at
