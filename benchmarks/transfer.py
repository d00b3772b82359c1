"""How well motion is carried from person to person: mouths that open, lids that close, and sheets to look at.

    python benchmarks/transfer.py DATA OUT [--split val] [--pairs 10] [--skip 0] [--motion relative]
    python benchmarks/transfer.py DATA OUT --mixed --pairs 24

DATA holds ``clips/*.mp4`` and ``manifest.csv``, and may hold ``stills/*.jpg`` and ``stills.csv``: every second source
is a still then. Each pair renders every third frame of 2.5 seconds around the driver's deepest blink. Prints a line
for a pair: correlation and range (of the driver's) of the mouth's aperture over the face's height, correlation of
lids, and their least opening in driver and result (eye aspect ratio), all as MediaPipe's mesh sees the pictures.
Sheets show every frame, driver over result.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from visavis.evaluation.metrics.dynamics import eye_openness
from visavis.evaluation.protocol import find_clips
from visavis.face.align import whole
from visavis.face.tracker import FaceTracker
from visavis.generators.base import Generator
from visavis.media.frame import Frame, Pixels
from visavis.media.reader import VideoReader
from visavis.media.still import read_picture
from visavis.media.twice import TwiceReader
from visavis.motion.kind import Mode
from visavis.nn.engine import PLAIN
from visavis.pipelines.analyse import Analyser, Seen
from visavis.pipelines.load import load_generator
from visavis.pipelines.look_ahead import look_ahead, observe_source
from visavis.pipelines.reenact import Reenactor

WINDOW_S, EVERY, TILE, COLUMNS = 2.5, 3, 256, 8
Array = np.ndarray


@dataclass(frozen=True)
class Result:
    """A pair's frames: pictures and meshes of driver and result."""

    driver: list[Pixels]
    made: list[Pixels]
    driver_meshes: list[Array]
    made_meshes: list[Array | None]


def aperture(mesh: Array) -> float:
    """Gap of the inner lips over the height of the face."""
    return float(np.linalg.norm(mesh[13] - mesh[14]) / np.linalg.norm(mesh[10] - mesh[152]))


def sources(data: Path, split: str) -> list[tuple[str, Path]]:
    """Who is animated: the first clip of each identity, and stills between them where there are any."""
    clips = {clip.identity: clip.path for clip in reversed(find_clips(data, split))}
    found = sorted(clips.items())
    listed = data / "stills.csv"
    if not listed.is_file():
        return found
    with listed.open(newline="", encoding="utf-8") as lines:
        rows = [row for row in csv.DictReader(lines) if row["split"] == split]
    stills = [(row["identity"], data / "stills" / f"{row['id']}.jpg") for row in rows]
    step = max(len(stills) // max(len(found), 1), 1)
    return [one for pair in zip(found, stills[::step][: len(found)], strict=False) for one in pair]


def pairs(data: Path, splits: list[str]) -> Iterator[tuple[Path, Path]]:
    """Source and driver of different identities, the splits by turns."""
    lists = []
    for split in splits:
        drivers = sorted({clip.identity: clip.path for clip in reversed(find_clips(data, split))}.items())
        people = sources(data, split)
        lists.append(
            [
                (source, drivers[(3 * number + 5) % len(drivers)][1])
                for number, (who, source) in enumerate(people)
                if drivers[(3 * number + 5) % len(drivers)][0] != who
            ]
        )
    for together in zip(*lists, strict=False):
        yield from together


def first_face(path: Path) -> Seen:
    """The picture, or the first frame with a face: whatever state it is in, as a picture of one's own may be."""
    with Analyser((), video=False) as analyser:
        frames = [read_picture(path)] if path.suffix == ".jpg" else VideoReader(path)
        for frame in frames:
            face = analyser.find(frame)
            if face is not None:
                return Seen(frame, face)
    raise SystemExit(f"{path}: no face")


def window(path: Path) -> tuple[list[Frame], list[Array]]:
    """Frames around the deepest blink of the first ten seconds, and the meshes that tell."""
    frames, meshes = [], []
    with VideoReader(path) as reader, FaceTracker() as tracker:
        for frame in reader:
            if frame.time > 10:
                break
            face = tracker.find(frame.pixels)
            if face is not None:
                frames.append(frame)
                meshes.append(face.mesh)
        length = round(WINDOW_S * float(reader.info.fps))
    deepest = int(np.argmin([eye_openness(mesh) for mesh in meshes]))
    begin = int(np.clip(deepest - length // 3, 0, max(len(frames) - length, 0)))
    chosen = slice(begin, begin + length, EVERY)
    return frames[chosen], meshes[chosen]


def animate(generator: Generator, source: Path, driving: Path, mode: Mode) -> tuple[Seen, Result]:
    """Reenact a window as the program does."""
    still = first_face(source)
    frames, meshes = window(driving)
    square = whole(*still.frame.pixels.shape[:2])
    with TwiceReader(driving) as reader:
        ahead = look_ahead(reader, still.face.mesh, generator.needs, generator.size, crop=False)
    reenactor = Reenactor(
        generator, observe_source(still, square, generator), start=ahead.start, ahead=ahead.meshes, mode=mode
    )
    with Analyser(generator.needs) as analyser, FaceTracker(video=False) as tracker:
        tracker.find(still.frame.pixels)
        made = [frame.pixels for frame in reenactor.stream(frames, analyser, ahead.crop)]
        faces = [tracker.find(picture) for picture in made]
    return still, Result(
        [frame.pixels for frame in frames], made, meshes, [None if face is None else face.mesh for face in faces]
    )


def measures(result: Result) -> dict[str, float]:
    """The figures of one pair."""
    both = [(a, b) for a, b in zip(result.driver_meshes, result.made_meshes, strict=True) if b is not None]
    mouth = np.array([(aperture(a), aperture(b)) for a, b in both]).T
    lids = np.array([(eye_openness(a), eye_openness(b)) for a, b in both]).T
    spans = np.percentile(mouth, 95, axis=1) - np.percentile(mouth, 5, axis=1)
    return {
        "mouth": float(np.corrcoef(mouth)[0, 1]),
        "range": float(spans[1] / max(spans[0], 1e-6)),
        "lids": float(np.corrcoef(lids)[0, 1]),
        "least_driver": float(lids[0].min()),
        "least_made": float(lids[1].min()),
        "no_face": len(result.made) - len(both),
    }


def sheet(path: Path, source: Pixels, result: Result) -> None:
    """Driver over result, every frame."""

    def tile(picture: Pixels) -> Array:
        return cv2.resize(picture, (TILE, TILE), interpolation=cv2.INTER_AREA)

    rows = []
    for at in range(0, len(result.made), COLUMNS):
        part = slice(at, at + COLUMNS)
        blank = [np.zeros((TILE, TILE, 3), np.uint8)] * (COLUMNS - len(result.made[part]))
        rows.append(np.hstack([tile(source), *map(tile, result.driver[part]), *blank]))
        rows.append(np.hstack([tile(source) * 0, *map(tile, result.made[part]), *blank]))
    cv2.imwrite(str(path), np.vstack(rows)[..., ::-1])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", default="avfr-256")
    parser.add_argument("--split", default="val")
    parser.add_argument("--mixed", action="store_true", help="people of val and train by turns")
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--skip", type=int, default=0)
    parser.add_argument("--motion", choices=[mode.value for mode in Mode], default="relative")
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    generator = load_generator(chosen.model, PLAIN)
    listed = list(pairs(chosen.data, ["val", "train"] if chosen.mixed else [chosen.split]))
    found = []
    spread = np.linspace(0, len(listed) - 1, min(chosen.pairs, len(listed))).astype(int)
    for source, driving in [listed[number] for number in spread[chosen.skip :]]:
        still, result = animate(generator, source, driving, Mode(chosen.motion))
        name = f"{source.stem}_by_{driving.stem}_{chosen.motion}"
        sheet(chosen.out / f"{name}.png", still.frame.pixels, result)
        found.append(measures(result))
        print(f"{name:40s}", *(f"{key} {value:.2f}" for key, value in found[-1].items()), flush=True)
    print("mean", *(f"{key} {np.mean([one[key] for one in found]):.3f}" for key in found[0]))


if __name__ == "__main__":
    main()
