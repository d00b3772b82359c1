"""How small a face may be, and what looking for it costs.

    python benchmarks/small_faces.py [STILLS]

Twelve drawn people (or the first pictures of a folder) are placed somewhere in full HD and 4K pictures. Counted are
those whose mesh is found within a tenth of the face's height on average; timed are a first look at a picture, a look
at one without a face, and a frame in which the face is followed.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from visavis.drawn.drawing import draw
from visavis.face.tracker import FaceTracker
from visavis.face.types import Face
from visavis.media.frame import Pixels
from visavis.media.still import read_picture

PEOPLE = 12
HEIGHTS_PX = (60, 100, 120, 172, 215, 322)


def people(stills: Path | None) -> list[tuple[Pixels, Face]]:
    """Pictures with the face in each."""
    if stills is None:
        pictures = [draw(1024, seed) for seed in range(PEOPLE)]
    else:
        paths = sorted(path for path in stills.iterdir() if path.suffix in {".jpg", ".png"})
        pictures = [read_picture(path).pixels for path in paths[:: max(1, len(paths) // PEOPLE)][:PEOPLE]]
    with FaceTracker(video=False) as tracker:
        return [(picture, face) for picture in pictures if (face := tracker.find(picture)) is not None]


def scene(height: int, width: int, seed: int) -> Pixels:
    """Soft colours with boxes and ellipses in front."""
    rng = np.random.default_rng(seed)
    out = cv2.resize(rng.integers(0, 256, (6, 10, 3)).astype(np.uint8), (width, height))
    for _ in range(120):
        x, y, a, b = (int(rng.integers(n)) for n in (width, height, width // 8, width // 8))
        colour = tuple(int(value) for value in rng.integers(0, 256, 3))
        cv2.rectangle(out, (x, y), (x + a, y + b), colour, -1)
        cv2.ellipse(out, (y, x), (a, b), float(rng.uniform(0, 180)), 0, 360, colour, -1)
    return np.asarray(out, np.uint8)


def placed(picture: Pixels, face: Face, face_height: float, wall: Pixels, seed: int) -> tuple[Pixels, np.ndarray]:
    """A picture with the person somewhere in it, and where the mesh's points are."""
    scale = face_height / (face.box[3] - face.box[1])
    small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    rng = np.random.default_rng(100 + seed)
    left, top = (int(rng.integers(max(1, wall.shape[1 - k] - small.shape[1 - k] + 1))) for k in (0, 1))
    out = wall.copy()
    there = out[top : top + small.shape[0], left : left + small.shape[1]]
    there[:] = small[: there.shape[0], : there.shape[1]]
    return out, face.mesh[:, :2] * scale + [left, top]


def milliseconds(call: Callable[[], object]) -> float:
    """How long a call takes."""
    began = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - began)


def main() -> None:
    """Print the counts and the costs."""
    found = people(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
    for height, width in ((1080, 1920), (2160, 3840)):
        walls = [scene(height, width, seed) for seed in range(len(found))]
        for face_height in (size * height // 1080 for size in HEIGHTS_PX):
            right, first, next_frame = 0, [], []
            for seed, (picture, face) in enumerate(found):
                pixels, mesh = placed(picture, face, face_height, walls[seed], seed)
                with FaceTracker() as tracker:
                    tracker.find(np.zeros((64, 64, 3), np.uint8))  # graphs start
                    first.append(milliseconds(lambda: tracker.find(pixels)))  # noqa: B023
                    tracker.find(pixels)
                    seen = tracker.find(pixels)
                    next_frame.append(milliseconds(lambda: tracker.find(pixels)))  # noqa: B023
                if seen is not None:
                    off = np.linalg.norm(seen.mesh[:, :2] - mesh, axis=1).mean() / face_height
                    right += bool(off < 0.1)
            print(
                f"{width}x{height}, faces of {face_height} px: {right} of {len(found)}; "
                f"first look {np.median(first):.0f} ms, followed {np.median(next_frame):.1f} ms a frame",
                flush=True,
            )
        with FaceTracker(video=False) as tracker:
            tracker.find(walls[0])
            nobody = [milliseconds(lambda: tracker.find(wall)) for wall in walls]  # noqa: B023
        print(f"{width}x{height}, nobody there: {np.median(nobody):.0f} ms a look")


if __name__ == "__main__":
    main()
