"""Pictures that packaged models make of a drawn person, and the files that say what they looked like.

    PYTHONPATH=src python tests/golden_pictures.py

writes the files anew, after weights were replaced or a network changed on purpose. Look at them before you commit them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from observing import observed
from visavis.drawn.drawing import Pose, draw
from visavis.evaluation.baselines import BUILT_IN
from visavis.evaluation.metrics.image import psnr
from visavis.evaluation.metrics.landmarks import landmark_distance
from visavis.face.tracker import FaceTracker
from visavis.face.types import Observation
from visavis.generators.base import Generator
from visavis.media.frame import Pixels
from visavis.motion.kind import Mode
from visavis.nn.engine import PLAIN
from visavis.pipelines.load import load_generator
from visavis.pipelines.reenact import Reenactor
from visavis.weights.checkpoint import sha256
from visavis.weights.store import resolve

FOLDER = Path(__file__).parent / "goldens"
MODEL = "avfr-256"
PERSON = 3
SIZE = 256
SHOWN = 128  # golden pictures are stored at half the side: what is wrong by a pixel shows there too
POSES = (
    Pose(mouth=1.0, yaw=0.1, x=0.02),
    Pose(yaw=-0.45, pitch=0.15, roll=0.08, lids=1.0),
    Pose(x=-0.05, y=0.02, roll=-0.12, mouth=0.5, gaze=0.6),
)
#: How each engine loads the packaged weights. A new engine joins by its line here.
ENGINES: dict[str, Callable[[], Generator]] = {"torch": lambda: load_generator(MODEL, PLAIN)}


@dataclass(frozen=True)
class Case:
    """The drawn person as source and as driver, seen by the product's own trackers.

    Attributes:
        source: neutral.
        driving: in :data:`POSES`; these are the truth.
    """

    source: Observation
    driving: list[Observation]


def the_case(person: int = PERSON) -> Case:
    """A drawn person; by itself the one that all engines are shown."""
    first, *others = observed([draw(SIZE, person), *(draw(SIZE, person, pose) for pose in POSES)])
    return Case(first, others)


def crossed(generator: Generator, driver: int) -> tuple[Pixels, Pixels, Pixels]:
    """The source by another person's first pose, relative: what is rendered, the truth, and the driver's picture."""
    source, start, driving = observed([draw(SIZE, PERSON), draw(SIZE, driver), draw(SIZE, driver, POSES[0])])
    ahead = [one.mesh for one in (start, driving) if one.mesh is not None]
    reenactor = Reenactor(generator, source, start=start, ahead=ahead, mode=Mode.RELATIVE)
    return reenactor.picture(driving, driving.time), draw(SIZE, PERSON, POSES[0]), driving.picture


def rendered(case: Case, generator: Generator | None, name: str = MODEL) -> list[Pixels]:
    """The source in the driving poses, by the path that evaluation takes."""
    if generator is None:
        return [BUILT_IN[name](case.source, driving) for driving in case.driving]
    reenactor = Reenactor(generator, case.source, mode=None)
    return [reenactor.picture(driving, driving.time) for driving in case.driving]


def scores(case: Case, pictures: Sequence[Pixels]) -> dict[str, float]:
    """Mean ``psnr`` and ``lmd`` of pictures against the truth."""
    values = []
    with FaceTracker(video=False) as tracker:
        for picture, driving in zip(pictures, case.driving, strict=True):
            faces = [tracker.find(one) for one in (picture, driving.picture)]
            assert faces[0] is not None and faces[1] is not None
            values.append((psnr(picture, driving.picture), landmark_distance(faces[0].mesh, faces[1].mesh, SIZE)[0]))
    means = np.mean(values, 0)
    return {"psnr": float(means[0]), "lmd": float(means[1])}


def strip(pictures: Sequence[Pixels]) -> NDArray[np.uint8]:
    """Pictures side by side at the side that is stored."""
    small = [cv2.resize(picture, (SHOWN, SHOWN), interpolation=cv2.INTER_AREA) for picture in pictures]
    return np.asarray(np.concatenate(small, 1), np.uint8)


def golden_file() -> Path:
    """Where the pictures of :data:`MODEL` lie."""
    return FOLDER / f"{MODEL}.png"


def stored() -> tuple[NDArray[np.uint8], str]:
    """The pictures as they were, and the SHA-256 of the weights that made them."""
    with Image.open(golden_file()) as image:
        return np.asarray(image.convert("RGB"), np.uint8), str(image.info["weights"])


def renew() -> None:
    """Write the pictures of today's weights."""
    facts = PngInfo()
    facts.add_text("weights", sha256(resolve(MODEL)))
    picture = strip(rendered(the_case(), ENGINES["torch"]()))
    Image.fromarray(picture).save(golden_file(), optimize=True, pnginfo=facts)


if __name__ == "__main__":
    renew()
