"""Dubbing: the mouth says something else, all the rest of each full frame is as it was."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from made import good_inputs, run
from made_speaker import LoudSpeaker
from visavis import DubOptions, Frame, ReenactOptions, VisavisError, dub_file, load_generator, reenact_file
from visavis.drawn.synthetic import TalkingFace, write_wave
from visavis.face.tracker import FaceTracker
from visavis.face.types import Face
from visavis.media.frame import Pixels
from visavis.media.reader import VideoReader
from visavis.media.writer import VideoWriter
from visavis.nn.engine import Engine
from visavis.pipelines.analyse import Seen
from visavis.pipelines.dub import Dubber
from visavis.pipelines.said import Said

EXACT = Engine("cpu", "fp32", 1)
BLANK = 3


def full(picture: Pixels) -> Pixels:
    """A full frame with the picture in it."""
    frame = np.full((300, 420, 3), 70, np.uint8)
    frame[30:286, 100:356] = picture
    return frame


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Good inputs, a wide video of 30 frames a second with a blank frame in it, and speech that is shorter."""
    folder = tmp_path_factory.mktemp("inputs")
    good_inputs(folder)
    write_wave(folder / "short.wav", TalkingFace(2).sound(0.2))
    fps = Fraction(30)
    with VideoWriter(folder / "wide.mp4", size=(300, 420), fps=fps) as writer:
        for number, frame in enumerate(TalkingFace(1, 256, fps).frames(9)):
            pixels = np.full((300, 420, 3), 70, np.uint8) if number == BLANK else full(frame.pixels)
            writer.write(Frame(pixels, frame.time))
    return folder


def test_only_the_lower_face_changes(inputs: Path):
    frames = [Frame(full(frame.pixels), frame.time) for frame in TalkingFace(1, 256).frames(4)]
    frames.insert(2, Frame(np.full((300, 420, 3), 70, np.uint8), Fraction(3, 50)))
    faces: list[Face | None] = []
    with FaceTracker(video=False) as tracker:
        faces = [tracker.find(frame.pixels) for frame in frames]
    known = [face for face in faces if face is not None]
    generator = load_generator(str(inputs / "tiny.safetensors"), EXACT)
    with (
        Said(inputs / "voice.wav", LoudSpeaker()) as said,
        Dubber(generator, [Seen(frames[0], known[0])], known, said) as dubber,
    ):
        made = list(dubber.stream(frames))
    assert [frame.time for frame in made] == [frame.time for frame in frames]
    assert dubber.tally.frames_without_face == 1 and np.array_equal(made[2].pixels, frames[2].pixels)
    for before, after, face in zip(frames, made, faces, strict=True):
        if face is None:
            continue
        changed = (before.pixels != after.pixels).any(-1)
        rows = np.flatnonzero(changed.any(1))
        left, _, right, bottom = face.box
        assert changed.any() and rows[0] > face.mesh[168, 1], "nothing above the nose"
        assert not changed[:, : int(left - 20)].any() and not changed[:, int(right + 20) :].any()
        assert rows[-1] < bottom + 40


def test_a_file_keeps_its_length_and_size_and_counts(inputs: Path, tmp_path: Path):
    options = DubOptions(model=str(inputs / "tiny.safetensors"), engine=EXACT)
    report = dub_file(inputs / "wide.mp4", inputs / "short.wav", tmp_path / "out.mp4", options, speaker=LoudSpeaker())
    assert (report.frames, report.fps, report.width, report.height) == (9, 30.0, 420, 300)
    assert (report.frames_without_face, report.frames_of_speech) == (1, 6), "0.2 s of 30 frames a second"
    with VideoReader(tmp_path / "out.mp4") as reader:
        assert reader.info.has_sound and len(list(reader)) == 9


def test_what_is_said_lies_between_its_frames(inputs: Path):
    with Said(inputs / "voice.wav", LoudSpeaker()) as said:
        with FaceTracker(video=False) as tracker:
            face = tracker.find(next(TalkingFace(3, 256).frames(1)).pixels)
        assert face is not None
        said.by([face.mesh / 128 - 1])
        at = [said.expression(Fraction(n, 100)) for n in range(20, 29)]
    steps = np.abs(np.diff([one.sum() for one in at]))
    assert steps.max() > 0
    for start in (0, 4):
        assert np.allclose(np.diff(at[start : start + 5], 2, axis=0), 0, atol=1e-5), "straight between 40 ms"


def test_reenactment_by_another_sound_moves_the_lips_by_it(inputs: Path, tmp_path: Path):
    asked = []

    class Counting(LoudSpeaker):
        def speaking(self, *args, **options):  # type: ignore[no-untyped-def]
            asked.append(super().speaking(*args, **options))
            return asked[-1]

    options = ReenactOptions(model=str(inputs / "tiny.safetensors"), audio=inputs / "voice.wav", engine=EXACT)
    arguments = inputs / "portrait.png", inputs / "driving.mp4", tmp_path / "out.mp4", options
    assert reenact_file(*arguments, speaker=Counting()).frames == 6
    assert asked[0].number >= 6 and max(asked[0].heard) > 0


@pytest.mark.parametrize(
    ("video", "speech", "named"),
    [
        ("wide.mp4", "wide.mp4", "no sound"),
        ("wide.mp4", "missing.wav", "missing.wav"),
        ("portrait.png", "voice.wav", "still picture"),
        ("voice.wav", "voice.wav", "voice.wav"),
    ],
)
def test_bad_input_is_refused_and_leaves_nothing(video: str, speech: str, named: str, inputs: Path, tmp_path: Path):
    options = DubOptions(model=str(inputs / "tiny.safetensors"), engine=EXACT)
    with pytest.raises(VisavisError, match=named):
        dub_file(inputs / video, inputs / speech, tmp_path / "out.mp4", options, speaker=LoudSpeaker())
    assert not list(tmp_path.iterdir())


def test_the_command_dubs(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    monkeypatch.setattr("visavis.pipelines.dub.load_speaker", lambda _: LoudSpeaker())
    monkeypatch.chdir(inputs)
    words = f"dub wide.mp4 short.wav -o {tmp_path}/out.mp4 --model tiny.safetensors --json".split()
    assert run(words) == 0
    assert '"frames_of_speech": 6' in capfd.readouterr().out
    assert run(words) == 1, "the result exists"
