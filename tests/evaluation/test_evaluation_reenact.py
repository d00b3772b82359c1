"""What evaluation measures is what `visavis reenact` writes."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from visavis.drawn.synthetic import write_clip
from visavis.evaluation.clip import read_clip
from visavis.evaluation.metrics.landmarks import landmark_distance
from visavis.evaluation.models import ModelName, load_model, renderer
from visavis.face.tracker import FaceTracker
from visavis.media.frame import Frame, Pixels
from visavis.media.reader import VideoReader
from visavis.media.still import write_picture
from visavis.media.writer import VideoWriter
from visavis.motion.transfer import Mode
from visavis.pipelines.files import ReenactOptions, reenact_file

FRAMES = 10
#: Evaluation sees each frame alone, reenact follows the face and smooths its mesh. Mean over the clip of the difference
#: in levels of 255 (about 1.6), and of the distance of meshes in pixels (about 0.7; one frame late 0.9, no motion 3.5).
MOST_LEVELS, MOST_PX = 1.8, 0.8


def frames(path: Path) -> list[Pixels]:
    with VideoReader(path) as reader:
        return [frame.pixels for frame in reader]


def written(path: Path, pictures: Sequence[Pixels]) -> list[Pixels]:
    """Pictures as they come back from a file, so that the codec's part is in both."""
    with VideoWriter(path, size=pictures[0].shape[:2], fps=Fraction(25)) as writer:
        for number, picture in enumerate(pictures):
            writer.write(Frame(picture, Fraction(number, 25)))
    return frames(path)


def test_evaluation_renders_what_reenact_writes(tmp_path: Path):
    """The source is the driver's own first frame, so that both begin their motion there.

    Relative motion, that is: with absolute motion reenact keeps the source's size and place, while the same protocol
    has a ground truth to meet and renders the driving motion as it is.
    """
    mode = Mode.RELATIVE
    driving, portrait, output = tmp_path / "driving.mp4", tmp_path / "portrait.png", tmp_path / "out.mp4"
    write_clip(driving, FRAMES / 25, seed=1)
    write_picture(portrait, frames(driving)[0])
    reenact_file(portrait, driving, output, ReenactOptions(motion=mode, device="cpu", precision="fp32", crop=False))

    model = ModelName("avfr-256", "avfr-256")
    clip = read_clip(driving, every=1)
    render = renderer(model, load_model(model, "cpu"), clip.source.observation, clip.observations, mode)
    measured = written(tmp_path / "measured.mp4", [render(seen.observation) for seen in clip.driving])
    made = frames(output)[1:]
    assert len(made) == len(measured) == FRAMES - 1
    levels = [np.abs(a.astype(float) - b).mean() for a, b in zip(made, measured, strict=True)]
    assert np.mean(levels) <= MOST_LEVELS
    with FaceTracker(video=False) as tracker:
        pairs = [[tracker.find(picture) for picture in both] for both in zip(made, measured, strict=True)]
    distances = [landmark_distance(a.mesh, b.mesh, 256)[0] for a, b in pairs if a is not None and b is not None]
    assert len(distances) == len(pairs)
    assert np.mean(distances) <= MOST_PX
