"""What a call costs and keeps: rates, errors against uncoded motion, and time, on clips of a data set.

    python benchmarks/call_codec.py DATASET [--model NAME] [--limit 8] [--every 10] [--repeat-to 60]
        [--settings '{}' '{"kbps": 2}' '{"mode": "paper80"}']

Every frame is coded and decoded; every tenth is painted and measured, from the coded and from the uncoded motion with
the same pivots and sound, so that what the motion coder does is told apart from what the generator does. lmd is that
of `visavis evaluate`, against the clip. Errors of points are mean distances in pixels of 256 between coded and uncoded
motion: of the 468 points of the face where the weights carry a mesh, and of the keypoints.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from visavis.codec.bitstream import Kind
from visavis.codec.census import Census
from visavis.codec.sound import RATE_HZ
from visavis.evaluation.metrics.image import psnr
from visavis.evaluation.metrics.landmarks import landmark_distance
from visavis.evaluation.rate import pick_clips
from visavis.face.align import crop_for
from visavis.face.tracker import FaceTracker
from visavis.face.types import Observation
from visavis.generators.base import Generator, Person
from visavis.media.clock import at_constant_rate
from visavis.media.frame import Frame, Pixels
from visavis.media.reader import SoundReader, VideoReader
from visavis.motion.layout import Motion
from visavis.pipelines.call.choice import Moment
from visavis.pipelines.call.decoder import CallDecoder
from visavis.pipelines.call.encoder import CallEncoder
from visavis.pipelines.call.opening import FILE_LOOK_S
from visavis.pipelines.call.settings import CallSettings
from visavis.pipelines.call.sound_files import SoundTrack
from visavis.pipelines.call.weights import WeightsId
from visavis.pipelines.load import load_generator

GREY = np.zeros((1, 1, 3), np.uint8)


@dataclass
class Clip:
    """A clip in memory, and what was seen in it, so that it is analysed once for all settings."""

    name: str
    frames: list[Frame]
    fps: Fraction
    sound: np.ndarray | None
    moments: list[Moment | None] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path, seconds: float) -> Clip:
        """Read a clip, played forth and back until it lasts ``seconds``."""
        with VideoReader(path) as reader:
            fps = reader.info.fps.limit_denominator(1001)
            frames = list(at_constant_rate(iter(reader), fps))
        with SoundReader(path, RATE_HZ) as reader:
            sound = SoundTrack(reader).until(len(frames) / fps) if reader.has_sound else None
        turn, once = frames, sound
        while len(frames) < seconds * fps:
            turn, once = turn[::-1], None if once is None else once[::-1]
            frames = frames + turn
            sound = None if sound is None or once is None else np.concatenate([sound, once])
        return cls(path.stem, [Frame(f.pixels, n / fps) for n, f in enumerate(frames)], fps, sound)


class RememberingEncoder(CallEncoder):
    """Analyses a clip the first time only."""

    clip: Clip

    def _look(self, frame: Frame) -> Moment | None:
        number = round(frame.time * self.clip.fps)
        while len(self.clip.moments) <= number:
            self.clip.moments.append(super()._look(self.clip.frames[len(self.clip.moments)]))
        return self.clip.moments[number]


@dataclass(frozen=True)
class SparsePerson:
    """A person of :class:`Sparse`."""

    generator: Sparse
    person: Person

    def render(self, motions: Sequence[Motion], sound: np.ndarray | None) -> Pixels:
        """Grey for most frames."""
        return self.generator.picture(self.person, motions, sound)


class Sparse:
    """A generator that paints every so many frames, from coded and uncoded motion, and grey for the others."""

    def __init__(self, generator: Generator, clip: Clip, every: int, interpolate: int) -> None:
        self._generator, self._clip, self._every = generator, clip, every
        self._apart = interpolate + 1
        self.pairs: dict[int, tuple[Pixels, Pixels]] = {}
        self.face_errors: list[float] = []
        self.point_errors: list[float] = []
        self._count = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._generator, name)

    def prepare(self, references: Sequence[Observation]) -> SparsePerson:
        """A person who is painted every so many frames."""
        return SparsePerson(self, self._generator.prepare(references))

    def picture(self, person: Person, motions: Sequence[Motion], sound: np.ndarray | None) -> Pixels:
        """As the generator; a frame that was sent is asked for before those between it and the last one."""
        block, place = divmod(self._count - 1, self._apart)
        number = 0 if not self._count else block * self._apart + (place or self._apart)
        self._count += 1
        moment = self._clip.moments[number] if number < len(self._clip.moments) else None
        if moment is None:
            return GREY
        self._compare(motions[-1].vector, moment.motion.vector)
        if number % self._every:
            return GREY
        coded, uncoded = (person.render(m, sound) for m in (motions, moment.motions))
        self.pairs[number] = coded, uncoded
        return GREY

    def _compare(self, coded: np.ndarray, true: np.ndarray) -> None:
        layout, half = self._generator.kind.layout, self._generator.size / 2
        distance = layout.of(coded, "keypoints") - layout.of(true, "keypoints")
        self.point_errors.append(float(np.linalg.norm(distance, axis=1).mean() * half))
        model = getattr(self._generator, "face_model", None)
        if model is not None:
            a, b = (model.points(v[layout.where("camera").start :])[:468, :2] for v in (coded, true))
            self.face_errors.append(float(np.linalg.norm(a - b, axis=1).mean() * half))


def run(
    generator: Generator, weights: WeightsId, clip: Clip, settings: CallSettings, every: int, tracker: FaceTracker
) -> dict[str, float]:
    """Code one clip with one setting and measure it."""
    with tracker_for_crop() as finder:
        faces = [face for frame in clip.frames[:250:25] if (face := finder.find(frame.pixels)) is not None]
    crop = crop_for(faces, *clip.frames[0].pixels.shape[:2])
    census = Census()
    packets: list[bytes] = []
    with RememberingEncoder(
        generator,
        weights,
        fps=clip.fps,
        settings=settings,
        crop=crop,
        has_sound=clip.sound is not None,
        look_s=FILE_LOOK_S,
    ) as encoder:
        encoder.clip = clip
        began = time.process_time()
        for number, frame in enumerate(clip.frames):
            at, to = (round(n * RATE_HZ / clip.fps) for n in (number, number + 1))
            packets += encoder.push(frame, None if clip.sound is None else clip.sound[at:to])
        packets += encoder.finish()
        encode_ms = 1000 * (time.process_time() - began) / len(clip.frames)
    sparse = Sparse(generator, clip, every, settings.interpolate)
    with CallDecoder(sparse, weights) as decoder:  # type: ignore[arg-type]
        for packet in packets:
            census.count(packet)
            decoder.push(packet)
        decoder.finish()
        tally = decoder.tally
    seconds = float(len(clip.frames) / clip.fps)
    heads = sum(3 + 1 for packet in packets if packet[0] >> 5 == Kind.MOTION)
    return {
        "seconds": seconds,
        "motion_kbps": 8 * (census.bytes["motion"] + heads) / seconds / 1000,
        "video_kbps": census.rates()["video_kbps"] or 0,
        "pivots": census.pivots,
        "pivot_bytes": census.bytes["pivots"],
        "encode_ms": encode_ms,
        "decode_ms": tally.spent.ms["decode"] / len(clip.frames),
        "prepare_ms": tally.spent.ms["prepare"] / max(census.pivots, 1),
        **compare(clip, sparse, tracker),
    }


def tracker_for_crop() -> FaceTracker:
    """A tracker that treats each picture alone."""
    return FaceTracker(video=False)


def compare(clip: Clip, sparse: Sparse, tracker: FaceTracker) -> dict[str, float]:
    """Errors of points, and metrics of the painted frames against the clip."""
    out: dict[str, list[float]] = {}
    for number, pictures in sparse.pairs.items():
        moment = clip.moments[number]
        assert moment is not None
        real = tracker.find(moment.picture)
        for name, picture in zip(("", "uncoded_"), pictures, strict=True):
            out.setdefault(f"{name}psnr", []).append(psnr(picture, moment.picture))
            found = tracker.find(picture)
            if real is not None and found is not None:
                lmd, mouth = landmark_distance(found.mesh, real.mesh, picture.shape[0])
                out.setdefault(f"{name}lmd", []).append(lmd)
                out.setdefault(f"{name}lmd_mouth", []).append(mouth)
    errors = {"face_px": sparse.face_errors, "points_px": sparse.point_errors}
    return {name: float(np.mean(values)) for name, values in {**out, **errors}.items() if values}


def rows(results: dict[str, list[dict[str, float]]]) -> Iterator[str]:
    """A table, one line a setting, all clips together."""
    names = [*next(iter(results.values()))[0]][1:]
    yield "| setting | " + " | ".join(names) + " |"
    yield "|" + "---|" * (len(names) + 1)
    for setting, clips in results.items():
        weights = np.array([clip["seconds"] for clip in clips])
        means = [np.average([clip.get(name, np.nan) for clip in clips], weights=weights) for name in names]
        yield f"| {setting} | " + " | ".join(f"{mean:.3f}" for mean in means) + " |"


def main(arguments: Sequence[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--model", default="avfr-256")
    parser.add_argument("--split", default="val")
    parser.add_argument("--limit", type=int, default=8)
    parser.add_argument("--every", type=int, default=10)
    parser.add_argument("--repeat-to", type=float, default=0.0, help="seconds that clips are played forth and back for")
    parser.add_argument("--settings", type=json.loads, nargs="+", default=[{}, {"mode": "paper80"}])
    parser.add_argument("--out", type=Path, help="JSON of every clip")
    chosen = parser.parse_args(arguments)
    generator, weights = load_generator(chosen.model), WeightsId.of(chosen.model)
    results: dict[str, list[dict[str, float]]] = {}
    with FaceTracker(video=False) as tracker:
        for path in pick_clips(chosen.dataset, chosen.split, 256, chosen.limit, Fraction(4)):
            clip = Clip.read(path, chosen.repeat_to)
            for values in chosen.settings:
                settings = CallSettings(**values)
                row = run(generator, weights, clip, settings, chosen.every, tracker)
                results.setdefault(json.dumps(values), []).append(row)
                print(path.stem, values, {k: round(v, 3) for k, v in row.items()}, file=sys.stderr, flush=True)
    print("\n".join(rows(results)))
    if chosen.out is not None:
        chosen.out.write_text(json.dumps(results, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
