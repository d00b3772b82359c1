"""What an engine and a precision cost in quality: the same frames of shards by each, against the truth and the first.

The source is a clip's first frame, every so many frames of it are rendered as the clip has them (same identity), in
silence. Keypoints are each engine's own.

    python benchmarks/precision.py SHARDS --clips 12 --every 25 openvino:fp32 openvino:bf16
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

import visavis  # noqa: F401 - before torch: how threads wait is decided when that is loaded
from visavis.data.pictures import opened
from visavis.data.shards import read
from visavis.evaluation.metrics.image import psnr
from visavis.evaluation.metrics.landmarks import landmark_distance
from visavis.face.tracker import FaceTracker
from visavis.face.types import Observation
from visavis.nn.engine import Engine
from visavis.pipelines.load import load_generator
from visavis.pipelines.render import prepared


def clips(shards: Path, split: str, count: int, every: int) -> Iterator[tuple[str, list[Observation]]]:
    """Clips of a split, of as many people as there are first, as observations of their first frame and every n-th."""
    people: set[str] = set()
    for record in read(shards):
        if record.info["split"] != split or record.info["identity"] in people or len(people) == count:
            continue
        people.add(record.info["identity"])
        priors = record.decoded()
        seen = []
        with opened(record.name, record.video) as pictures:
            for number in range(len(priors.seen)):
                if not pictures.grab():
                    break
                if number % every or not priors.seen[number]:
                    continue
                picture = pictures.retrieve()
                assert picture is not None
                mask = cv2.resize(priors.segmentation[number], picture.shape[:2], interpolation=cv2.INTER_LINEAR)
                seen.append(Observation(picture, mesh=priors.mesh[number], segmentation=np.asarray(mask, np.uint8)))
        if len(seen) > 1:
            yield record.name, seen


def main() -> None:
    """Print a row for each variant."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("shards", type=Path)
    parser.add_argument("variants", nargs="+", metavar="ENGINE:PRECISION")
    parser.add_argument("--model", default="avfr-256")
    parser.add_argument("--split", default="val")
    parser.add_argument("--clips", type=int, default=12)
    parser.add_argument("--every", type=int, default=25)
    options = parser.parse_args()
    chosen = [variant.partition(":")[::2] for variant in options.variants]
    generators = [load_generator(options.model, Engine("cpu", precision, None, name)) for name, precision in chosen]
    figures: list[list[tuple[float, ...]]] = [[] for _ in generators]
    with FaceTracker(video=False) as tracker:
        for _, seen in clips(options.shards, options.split, options.clips, options.every):
            people = [prepared(generator, seen[:1]) for generator in generators]
            for driving in seen[1:]:
                truth = driving.picture
                real = tracker.find(truth)
                first = None
                for generator, person, found in zip(generators, people, figures, strict=True):
                    picture = person.render([generator.analyse(driving)] * (generator.memory + 1), None)
                    first = picture if first is None else first
                    face = tracker.find(picture)
                    lmd = (np.nan, np.nan)
                    if face is not None and real is not None:
                        lmd = landmark_distance(face.mesh, real.mesh, len(truth))
                    own = psnr(picture, truth)
                    same = np.inf if np.array_equal(picture, first) else psnr(picture, first)
                    found.append((own, *lmd, same, own - psnr(first, truth)))
    print(f"{options.model}, {len(figures[0])} frames: psnr, lmd, lmd_mouth; psnr to the first, worst loss of a frame")
    for name, found in zip(options.variants, figures, strict=True):
        values = np.array(found)
        own, lmd, mouth = np.nanmean(values[:, :3], 0)
        print(f"{name:16} {own:7.3f} {lmd:7.3f} {mouth:7.3f} {values[:, 3].mean():7.1f} {values[:, 4].min():7.3f}")


if __name__ == "__main__":
    main()
