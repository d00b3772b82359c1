"""What evaluation measures is what `visavis reenact` writes."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from visavis.drawn.synthetic import write_clip
from visavis.evaluation.clip import read_clip
from visavis.evaluation.drive import driven
from visavis.evaluation.models import ModelName, load_model
from visavis.media.frame import Frame, Pixels
from visavis.media.reader import VideoReader
from visavis.media.still import write_picture
from visavis.media.writer import VideoWriter
from visavis.motion.kind import Mode
from visavis.nn.engine import PLAIN
from visavis.pipelines.files import ReenactOptions, reenact_file

FRAMES = 10
#: Levels of 255: what two ways to round an encoder's input may leave.
MOST_LEVELS = 0.05


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
    reenact_file(portrait, driving, output, ReenactOptions(motion=mode, engine=PLAIN, crop=False))

    model = ModelName("avfr-256", "avfr-256")
    source = read_clip(driving, every=1).source.observation
    times = [Fraction(n, 25) for n in range(FRAMES)]
    pictures = driven(driving, source, {model: load_model(model, PLAIN)}, times, mode)[model]
    measured = written(tmp_path / "measured.mp4", [pictures[time] for time in times])
    made = frames(output)
    assert len(made) == len(measured) == FRAMES
    levels = [np.abs(a.astype(float) - b).mean() for a, b in zip(made, measured, strict=True)]
    assert np.max(levels) <= MOST_LEVELS


def test_frames_that_are_not_measured_count_for_those_that_are(tmp_path: Path):
    """Of every third frame evaluation sees what reenact makes of it after all frames before it."""
    driving = tmp_path / "driving.mp4"
    write_clip(driving, FRAMES / 25, seed=1)
    model = ModelName("avfr-256", "avfr-256")
    source = read_clip(driving, every=100).source.observation
    models = {model: load_model(model, PLAIN)}
    times = [Fraction(n, 25) for n in range(1, FRAMES)]
    for mode in (Mode.RELATIVE, None):
        every, some = (driven(driving, source, models, t, mode)[model] for t in (times, times[2::3]))
        assert len(some) == 3 and all(np.array_equal(every[time], some[time]) for time in some)
