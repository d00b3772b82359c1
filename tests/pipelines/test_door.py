"""The front door: frames in, frames out, by public names alone."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from made import FRAMES, good_inputs
from visavis import CallDecoder, CallEncoder, Frame, Reenactor, VisavisError, read_frames
from visavis.drawn.synthetic import TalkingFace
from visavis.nn.engine import Engine


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of good inputs."""
    folder = tmp_path_factory.mktemp("inputs")
    good_inputs(folder)
    return folder


def tiny(inputs: Path) -> str:
    """Path of the smallest weights."""
    return str(inputs / "tiny.safetensors")


def blank(number: int) -> Frame:
    """A frame without a face."""
    return Frame(np.full((256, 256, 3), 90, np.uint8), Fraction(number, 25))


def test_frames_come_out_as_they_go_in(inputs: Path):
    asked: list[Fraction] = []

    def camera():
        for frame in TalkingFace(1, 256).frames(4):
            asked.append(frame.time)
            yield frame

    made = Reenactor(inputs / "portrait.png", model=tiny(inputs), engine=Engine("cpu")).stream(camera())
    first = next(made)
    assert (first.time, len(asked)) == (0, 1), "a frame is made as soon as it is asked for"
    assert first.pixels.shape == (64, 64, 3) and first.pixels.dtype == np.uint8
    assert [frame.time for frame in made] == asked[1:]


def test_a_path_is_as_good_as_frames(inputs: Path):
    by_path = Reenactor(str(inputs / "portrait.png"), model=tiny(inputs), engine=Engine(precision="fp32"))
    assert by_path.size == 64
    from_file = list(by_path.stream(inputs / "driving.mp4"))
    assert len(from_file) == FRAMES == by_path.tally.frames
    by_frame = Reenactor(next(read_frames(inputs / "driving.mp4")), model=tiny(inputs), motion="absolute")
    assert len(list(by_frame.stream(read_frames(inputs / "driving.mp4")))) == FRAMES


def test_sound_reaches_the_network_and_is_silence_otherwise(inputs: Path):
    reenactor = Reenactor(inputs / "portrait.png", model=tiny(inputs), engine=Engine(precision="fp32"))
    frames = list(read_frames(inputs / "driving.mp4"))
    silent, again, heard = (
        np.stack([frame.pixels for frame in reenactor.stream(frames, sound)])
        for sound in (None, None, inputs / "voice.wav")
    )
    assert np.array_equal(silent, again)
    assert not np.array_equal(silent, heard)


def test_frames_before_the_first_face_are_answered_too(inputs: Path):
    late = [blank(0), blank(1), *(Frame(f.pixels, f.time + Fraction(2, 25)) for f in TalkingFace(1, 256).frames(2))]
    reenactor = Reenactor(inputs / "portrait.png", model=tiny(inputs))
    assert [frame.time for frame in reenactor.stream(late)] == [frame.time for frame in late]
    assert reenactor.tally.frames_without_face == 2


@pytest.mark.parametrize("driving", [[], [blank(0), blank(1)]], ids=["nothing", "nobody"])
def test_a_stream_without_a_face_ends_in_our_error(driving: list[Frame], inputs: Path):
    with pytest.raises(VisavisError, match=r"frames|face"):
        list(Reenactor(inputs / "portrait.png", model=tiny(inputs)).stream(driving))


def test_a_source_without_a_face_is_refused(inputs: Path):
    with pytest.raises(VisavisError, match="no face"):
        Reenactor(blank(0), model=tiny(inputs))


def test_a_call_needs_nothing_but_the_name_of_weights(inputs: Path):
    model = tiny(inputs)
    with (
        CallEncoder.of(model, fps=25, engine=Engine("cpu")) as encoder,
        CallDecoder.of(model, engine=Engine("cpu")) as decoder,
    ):
        made = []
        for frame in read_frames(inputs / "driving.mp4"):
            for packet in encoder.push(frame):
                made += decoder.push(packet)
        for packet in encoder.finish():
            made += decoder.push(packet)
        made += decoder.finish()
    assert len(made) == FRAMES
