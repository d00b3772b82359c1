"""Face messages in a video's own stream: others play it as before, and the messages tell the face's motion."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from layouts import morphable, points
from made import run, tiny_weights
from visavis.codec.sei.annex_b import Standard, sei_unit
from visavis.codec.sei.packets import Packing
from visavis.core.errors import CodecError, MediaError
from visavis.drawn.synthetic import TalkingFace, write_clip
from visavis.face.align import Crop
from visavis.media.frame import Frame
from visavis.media.writer import VideoWriter
from visavis.motion.keypoint_kind import KeypointKind
from visavis.motion.layout import PIXEL, Layout, Motion, Part
from visavis.pipelines.sei.read_file import find_messages
from visavis.pipelines.sei.write_file import in_picture

FRAMES = 14


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn speaker in H.264 with sound, in H.265, and in VP9; tiny weights."""
    folder = tmp_path_factory.mktemp("sei")
    write_clip(folder / "talk.mp4", FRAMES / 25, seed=1)
    tiny_weights(folder / "tiny.safetensors")
    _write_h265(folder / "h265.mp4")
    with VideoWriter(folder / "vp9.webm", size=(256, 256), fps=Fraction(25)) as writer:
        for frame in TalkingFace(1, 256).frames(3):
            writer.write(frame)
    return folder


def _write_h265(path: Path) -> None:
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx265", rate=25)
        stream.width = stream.height = 256
        stream.pix_fmt, stream.options = "yuv420p", {"preset": "ultrafast", "x265-params": "log-level=none:keyint=6"}
        for frame in TalkingFace(1, 256).frames(FRAMES):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(frame.pixels, format="rgb24")))
        file.mux(stream.encode(None))


def decoded(path: Path) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    with av.open(str(path)) as file:
        for frame in file.decode(video=0):
            yield frame.pts, frame.to_ndarray(format="rgb24")


def sound(path: Path) -> list[bytes]:
    with av.open(str(path)) as file:
        return [bytes(packet) for packet in file.demux(audio=0)]


@pytest.mark.parametrize("ending", [".mp4", ".mov", ".mkv"])
def test_another_decoder_plays_the_same_pictures_and_sound(ending: str, folder: Path, tmp_path: Path):
    out = tmp_path / f"out{ending}"
    assert run(["sei", "write", folder / "talk.mp4", "-o", out, "--model", folder / "tiny.safetensors"]) == 0
    before, after = list(decoded(folder / "talk.mp4")), list(decoded(out))
    assert len(before) == len(after) == FRAMES
    assert all((a == b).all() for (_, a), (_, b) in zip(before, after, strict=True))
    assert sound(out) == sound(folder / "talk.mp4")
    if ending == ".mp4":
        assert [time for time, _ in before] == [time for time, _ in after]
    assert os.listdir(tmp_path) == [out.name]


def test_messages_tell_every_picture_and_begin_anew_at_key_frames(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    out = tmp_path / "out.mp4"
    command = ["sei", "write", folder / "h265.mp4", "-o", out, "--model", folder / "tiny.safetensors", "--json"]
    assert run(command) == 0
    report = json.loads(capfd.readouterr().out)
    with av.open(str(out)) as file:
        keys = [packet.is_keyframe for packet in file.demux(video=0) if packet.size]
    assert (report["standard"], report["pictures"], report["messages"]) == ("h265", FRAMES, FRAMES)
    assert report["base"] == sum(keys) == 3
    assert len(list(decoded(out))) == FRAMES
    assert run(["sei", "read", out, "--json"]) == 0
    about = json.loads(capfd.readouterr().out)
    assert about["holding"] == {"keypoints": FRAMES, "affine": FRAMES} and about["damaged"] == 0
    assert [message["base"] for message in about["messages"]] == keys
    assert sum(message["bytes"] for message in about["messages"]) == report["bytes"] == about["bytes"]


def test_points_are_those_of_the_pictures_and_not_of_their_order(folder: Path, tmp_path: Path):
    """A still face in the first half, moved by a tenth of the picture in the second: the points say when."""
    still = next(TalkingFace(1, 256).frames(1).__iter__()).pixels
    with VideoWriter(tmp_path / "jump.mp4", size=(256, 256), fps=Fraction(25)) as writer:
        for number in range(FRAMES):
            shift = 0 if number < FRAMES // 2 else 24
            writer.write(Frame(np.roll(still, shift, axis=1), Fraction(number, 25)))
    out = tmp_path / "out.mp4"
    assert run(["sei", "write", tmp_path / "jump.mp4", "-o", out, "--model", folder / "tiny.safetensors"]) == 0
    found = sorted(find_messages(out), key=lambda one: one.time or 0)
    seen = np.stack([one.message.points for one in found if one.message is not None])
    assert [one.time for one in found] == [Fraction(n, 25) for n in range(FRAMES)]
    assert found != sorted(found, key=lambda one: one.picture), "the coder reorders pictures, or nothing is tested"
    steps = np.abs(np.diff(seen, axis=0)).max((1, 2))
    assert steps.argmax() == FRAMES // 2 - 1


def test_points_of_a_crop_are_put_into_the_whole_picture():
    layout = Layout("keypoints", (*points(2).parts, Part("jacobians", (2, 2, 2), "ratio", PIXEL)))
    motion = Motion.of(layout, keypoints=[[-1, -1], [1, 0]], jacobians=np.tile(np.eye(2), (2, 1, 1)))
    made = in_picture(motion, Crop(100, 50, 200), 400, 800)
    # The crop's corner is at (100, 50) of 800x400, the middle of its right side at (300, 150).
    assert np.allclose(made["keypoints"], [[-0.75, -0.75], [-0.25, -0.25]], atol=1e-6)
    assert np.allclose(made["jacobians"], [[[0.25, 0], [0, 0.5]]] * 2, atol=1e-6)
    whole = in_picture(motion, Crop(0, 0, 256), 256, 256)
    assert np.allclose(whole.vector, motion.vector)


def test_what_holds_no_messages_says_so(folder: Path, capfd: pytest.CaptureFixture[str]):
    assert run(["sei", "read", folder / "talk.mp4", "--json"]) == 0
    about = json.loads(capfd.readouterr().out)
    assert about["pictures"] == FRAMES and about["messages"] == [] and about["holding"] == {}


def test_other_codings_and_motion_without_points_are_refused_in_one_line(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    weights = folder / "tiny.safetensors"
    for command in (
        ["sei", "write", folder / "vp9.webm", "-o", tmp_path / "out.mkv", "--model", weights],
        ["sei", "read", folder / "vp9.webm"],
    ):
        assert run(command) == 1
        assert "messages go into H.264 and H.265" in capfd.readouterr().err
    monkeypatch.setattr(KeypointKind, "layout", property(lambda kind: morphable()))
    assert run(["sei", "write", folder / "talk.mp4", "-o", tmp_path / "out.mp4", "--model", weights]) == 1
    assert "has no keypoints" in capfd.readouterr().err
    assert os.listdir(tmp_path) == []


def test_sound_that_a_container_cannot_hold_is_refused_in_one_line(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    (tmp_path / "in").mkdir()
    video = tmp_path / "in/telephone.avi"
    with av.open(str(video), "w") as file:
        pictures, voice = file.add_stream("libx264", rate=25), file.add_stream("pcm_mulaw", rate=8000)
        pictures.width = pictures.height = 256
        pictures.pix_fmt, pictures.options, voice.layout = "yuv420p", {"bf": "0"}, "mono"
        for frame in TalkingFace(1, 256).frames(3):
            file.mux(pictures.encode(av.VideoFrame.from_ndarray(frame.pixels, format="rgb24")))
        file.mux(pictures.encode(None))
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 960), np.int16), format="s16", layout="mono")
        silence.sample_rate, silence.pts = 8000, 0
        file.mux([*voice.encode(silence), *voice.encode(None)])
    command = ["sei", "write", video, "-o", tmp_path / "out.mp4", "--model", folder / "tiny.safetensors"]
    assert run(command) == 1
    printed = capfd.readouterr().err
    assert "sound coded as pcm_mulaw" in printed and len(printed.splitlines()) == 1
    assert os.listdir(tmp_path) == ["in"]


def test_packets_are_taken_apart_by_hand():
    """A sequence of units after lengths of two bytes, and one with start codes; by ISO/IEC 14496-15 and Annex B."""
    first, slice_unit, message = b"\x67abc", b"\x65\x88slice", b"\1\2"
    short = Packing.of(Standard.H264, b"\1\x64\0\x1f\xfd")
    assert short.length_bytes == 2
    packet = b"\0\4" + first + b"\0\7" + slice_unit
    unit = sei_unit(message, Standard.H264)
    wanted = b"\0\4" + first + len(unit).to_bytes(2, "big") + unit + b"\0\7" + slice_unit
    assert short.insert(packet, [message]) == wanted and short.extract(wanted) == [message]
    plain = Packing.of(Standard.H264, b"\0\0\0\1\x67")
    assert plain.length_bytes == 0
    assert plain.insert(b"\0\0\1" + slice_unit, [message]) == b"\0\0\0\1" + unit + b"\0\0\0\1" + slice_unit
    for bad in (packet[:-1], b"\0", b"\0\4" + first):
        with pytest.raises(CodecError):
            short.insert(bad, [message])


def test_a_damaged_file_gives_messages_or_one_error(folder: Path, tmp_path: Path):
    out = tmp_path / "out.mp4"
    assert run(["sei", "write", folder / "talk.mp4", "-o", out, "--model", folder / "tiny.safetensors"]) == 0
    good, noise = out.read_bytes(), np.random.default_rng(0)
    for _ in range(40):
        bad = bytearray(good)
        at = int(noise.integers(len(bad)))
        bad[at : at + 4] = noise.bytes(4)
        (tmp_path / "bad.mp4").write_bytes(bad)
        try:
            assert len(list(find_messages(tmp_path / "bad.mp4"))) <= 4 * FRAMES
        except MediaError as error:
            assert "\n" not in str(error)
