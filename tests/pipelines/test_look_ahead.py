"""The look through the beginning of a driving video finds its start frame as the stream will see it."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from visavis.drawn.synthetic import Pose, draw, write_clip
from visavis.face.tracker import FaceTracker
from visavis.generators.base import Prior
from visavis.media.frame import Frame
from visavis.media.reader import VideoReader
from visavis.media.twice import TwiceReader
from visavis.media.writer import VideoWriter
from visavis.pipelines.look_ahead import find_source, look_ahead


@pytest.mark.parametrize("seed", [1, 2])
def test_the_start_frame_is_found_as_the_stream_will_track_it(seed: int, tmp_path: Path):
    """Within 0.4 pixels, which is jitter: a mesh of another kind of square lies 0.44 to 0.49 pixels off."""
    clip = tmp_path / "clip.mp4"
    write_clip(clip, 1.6, seed=seed, size=192)
    with VideoReader(clip) as reader:
        frames = list(reader)
    with FaceTracker() as tracker:
        tracked = [tracker.find(frame.pixels) for frame in frames]
        face = tracked[25]
        assert face is not None
        with TwiceReader(clip) as reader:
            found_ahead = look_ahead(reader, face.mesh, [Prior.MESH], 64, crop=False)
        start, crop = found_ahead.start, found_ahead.crop
        assert start is not None and start.mesh is not None
        assert len(found_ahead.meshes) == len(frames[::3])
        number = next(i for i, frame in enumerate(frames) if frame.time == start.time)
        assert number % 3 == 0 and number > 0
        truth = tracked[number]
        assert truth is not None
    assert _distance(start.mesh, crop.to_crop(truth.mesh)) < 0.4 * 2 / 192


def _distance(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    return float(np.linalg.norm((one - other)[:, :2], axis=1).mean())


def test_a_source_video_gives_its_best_frame_and_not_its_first(tmp_path: Path):
    """Eyes shut, then turned away, then a face that shows its eyes and teeth."""
    clip = tmp_path / "source.mp4"
    poses = [Pose(lids=1.0)] * 3 + [Pose(yaw=0.9, mouth=0.5)] * 3 + [Pose(mouth=0.5)] * 3 + [Pose(lids=0.8)] * 3
    with VideoWriter(clip, size=(256, 256), fps=Fraction(25)) as writer:
        for number, pose in enumerate(poses):
            writer.write(Frame(draw(256, 3, pose), Fraction(number, 25)))
    (found,) = find_source(clip)
    assert found.frame.time == Fraction(6, 25)


def test_what_is_known_beforehand_reaches_the_first_frame(tmp_path: Path):
    """The look-ahead's meshes lie in the crop that the stream cuts: the driver's range is that of its frames."""
    clip = tmp_path / "clip.mp4"
    write_clip(clip, 1.0, seed=1, size=192)
    with VideoReader(clip) as reader:
        first = next(iter(reader))
    with FaceTracker(video=False) as tracker:
        face = tracker.find(first.pixels)
    assert face is not None
    with TwiceReader(clip) as reader:
        ahead = look_ahead(reader, face.mesh, [Prior.MESH], 64, crop=False)
    meshes = np.stack(ahead.meshes)
    assert meshes.shape == (9, 478, 3)
    assert np.abs(meshes[:, :468, :2]).max() < 1
    assert _distance(meshes[0], ahead.crop.to_crop(face.mesh)) < 0.02
