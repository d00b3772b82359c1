"""Calls as files: encode, decode and inspect on the command line."""

from __future__ import annotations

import json
import os
import tempfile
import threading
from collections.abc import Iterable
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch

from made import run, tiny_weights
from visavis.codec.bitstream import Kind, MotionGroup, PivotFragment, parse
from visavis.codec.container import MARK, CallReader, CallWriter, record
from visavis.codec.pivots import PivotAssembler
from visavis.codec.stills import decode_still
from visavis.core.errors import OutputError
from visavis.drawn.synthetic import Pose, draw, write_clip
from visavis.evaluation.call_codec import CallCodec, CallPoint
from visavis.generators.keypoint import KeypointConfig, KeypointGenerator
from visavis.media.clock import at_constant_rate
from visavis.media.frame import Frame, Pixels
from visavis.media.reader import SoundReader, VideoReader
from visavis.media.still import write_picture
from visavis.media.writer import VideoWriter
from visavis.motion.keypoint_kind import KeypointKind
from visavis.nn.engine import Engine
from visavis.pipelines.call.between import chosen as between_chosen
from visavis.pipelines.call.enlarge import chosen as enlarge_chosen
from visavis.weights.checkpoint import save

SECONDS = 1.4
FRAMES = 35


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn caller with sound, weights of both families, and a call of theirs."""
    folder = tmp_path_factory.mktemp("calls")
    write_clip(folder / "caller.mp4", SECONDS, seed=1, size=128)
    tiny_weights(folder / "tiny.safetensors")
    torch.manual_seed(0)
    keypoint = KeypointGenerator(KeypointConfig.tiny())
    save(folder / "fomm.safetensors", keypoint.network.state_dict(), family="keypoint", config=keypoint.plain_config)
    arguments = ["encode", folder / "caller.mp4", "-o", folder / "call.vsv", "--model", folder / "tiny.safetensors"]
    assert run(arguments) == 0
    return folder


def report(capfd: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    """The JSON of a verb that must succeed and say nothing else."""
    capfd.readouterr()
    assert run([*arguments, "--json"]) == 0
    printed = capfd.readouterr()
    assert printed.err == ""
    values = json.loads(printed.out)
    assert isinstance(values, dict)
    return values


@pytest.mark.parametrize("model", ["tiny", "fomm"])
@pytest.mark.parametrize("mode", ["adaptive", "paper80"])
def test_there_and_back(model: str, mode: str, folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    call, out, weights = tmp_path / "a.vsv", tmp_path / "a.mp4", folder / f"{model}.safetensors"
    there = report(capfd, "encode", folder / "caller.mp4", "-o", call, "--model", weights, "--mode", mode)
    assert (there["frames"], there["fps"], there["seconds"]) == (FRAMES, 25.0, SECONDS)
    assert there["interpolated"] == 0 and there["pivots"] >= 1
    sizes = there["bytes"]
    assert set(sizes) == {"header", "pivots", "motion", "audio", "total"}
    assert sum(sizes.values()) == 2 * sizes["total"] == 2 * call.stat().st_size
    assert there["video_kbps"] == pytest.approx(8 * (sizes["total"] - sizes["audio"]) / SECONDS / 1000, rel=1e-3)
    assert there["audio_kbps"] == pytest.approx(8 * sizes["audio"] / SECONDS / 1000, rel=1e-3)
    assert there["bpp"] == pytest.approx(1000 * there["video_kbps"] * SECONDS / FRAMES / 64**2, rel=1e-3)
    back = report(capfd, "decode", call, "-o", out, "--model", weights)
    assert (back["frames"], back["seconds"], back["concealed"]) == (FRAMES, SECONDS, 0)
    assert (back["width"], back["height"]) == (64, 64)
    with VideoReader(out) as reader:
        assert [frame.time for frame in reader] == [Fraction(n, 25) for n in range(FRAMES)]


def test_sound_is_in_time_in_the_file(folder: Path, tmp_path: Path):
    out = tmp_path / "out.mp4"
    assert run(["decode", folder / "call.vsv", "-o", out, "--model", folder / "tiny.safetensors"]) == 0

    def sound(path: Path) -> np.ndarray:
        with SoundReader(path, 16_000) as reader:
            return np.concatenate([chunk.samples for chunk in reader])[:20_000]

    real, made = sound(folder / "caller.mp4"), sound(out)
    lags = range(-320, 321, 4)
    match = [float(np.dot(real[400:19_600], np.roll(made, -lag)[400:19_600])) for lag in lags]
    assert abs(lags[int(np.argmax(match))]) <= 32  # two milliseconds


def test_no_audio_sends_none(folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    call, out, weights = tmp_path / "a.vsv", tmp_path / "a.mp4", folder / "tiny.safetensors"
    there = report(capfd, "encode", folder / "caller.mp4", "-o", call, "--model", weights, "--no-audio")
    assert there["bytes"]["audio"] == 0 == there["audio_kbps"]
    assert run(["decode", call, "-o", out, "--model", weights]) == 0
    with av.open(str(out)) as container:
        assert not container.streams.audio


@pytest.mark.parametrize("between", [1, 3])
def test_frames_between_are_made(between: int, folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    call, weights = tmp_path / "a.vsv", folder / "tiny.safetensors"
    arguments = ("encode", folder / "caller.mp4", "-o", call, "--model", weights, "--interpolate", between)
    there = report(capfd, *arguments)
    assert there["interpolated"] == FRAMES - -(-FRAMES // (between + 1))
    back = report(capfd, "decode", call, "-o", tmp_path / "a.mp4", "--model", weights)
    assert back["frames"] == FRAMES and back["concealed"] == 0


def test_pictures_can_be_enlarged(folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    weights = folder / "tiny.safetensors"
    back = report(capfd, "decode", folder / "call.vsv", "-o", tmp_path / "a.mp4", "--model", weights, "--size", 512)
    assert (back["width"], back["height"]) == (512, 512)


def test_inspect_says_what_a_call_is_made_of(folder: Path, capfd: pytest.CaptureFixture[str]):
    about = report(capfd, "inspect", folder / "call.vsv")
    assert (about["mode"], about["model"], about["frames"], about["fps"]) == ("adaptive", "tiny", FRAMES, 25.0)
    assert len(about["weights"]) == 64
    assert about["packets"]["header"] == about["packets"]["end"] == 1
    assert about["packets"]["motion"] == -(-FRAMES // 8) and about["absolute_groups"] >= 2
    assert about["bytes"]["total"] == (folder / "call.vsv").stat().st_size
    assert (about["damaged"], about["cut"]) == (0, False)
    assert run(["inspect", folder / "call.vsv"]) == 0
    assert "mode: adaptive" in capfd.readouterr().out


def test_a_call_without_a_motion_packet_is_decoded_in_full_length(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    packets = list(CallReader(folder / "call.vsv"))
    motion = [packet for packet in packets if packet[0] >> 5 == Kind.MOTION]
    assert isinstance(parse(motion[1]), MotionGroup)
    for gone in ({motion[1]}, {motion[0]}, {motion[-1]}, {motion[-1], motion[-2]}):
        holed = tmp_path / "holed.vsv"
        holed.write_bytes(MARK + b"".join(record(packet) for packet in packets if packet not in gone))
        arguments = ("decode", holed, "-o", tmp_path / "a.mp4", "--model", folder / "tiny.safetensors", "--force")
        back = report(capfd, *arguments)
        assert back["frames"] == FRAMES and back["concealed"] >= 3


def test_a_cut_call_is_decoded_up_to_the_cut(folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    data = (folder / "call.vsv").read_bytes()
    (tmp_path / "cut.vsv").write_bytes(data[: len(data) * 2 // 3])
    weights = folder / "tiny.safetensors"
    back = report(capfd, "decode", tmp_path / "cut.vsv", "-o", tmp_path / "a.mp4", "--model", weights)
    assert 0 < back["frames"] < FRAMES


def refused(capfd: pytest.CaptureFixture[str], *arguments: object) -> str:
    capfd.readouterr()
    assert run(arguments) in (1, 2)
    printed = capfd.readouterr()
    assert printed.out == "" and len(printed.err.splitlines()) == 1
    return printed.err


def test_wrong_weights_and_calls_are_refused_in_one_line(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    call, out = folder / "call.vsv", tmp_path / "out.mp4"
    error = refused(capfd, "decode", call, "-o", out, "--model", folder / "fomm.safetensors")
    assert "weights 'tiny'" in error and "--model" in error
    assert "which are not here; name their file by --model" in refused(capfd, "decode", call, "-o", out)
    assert "is not a call" in refused(capfd, "decode", folder / "caller.mp4", "-o", out)
    assert "no such file" in refused(capfd, "decode", folder / "none.vsv", "-o", out)
    assert "--force" in refused(capfd, "decode", call, "-o", folder / "caller.mp4", "--model", "tiny")
    assert "--force" in refused(capfd, "encode", folder / "caller.mp4", "-o", call)
    wrong = ("encode", folder / "caller.mp4", "-o", tmp_path / "c.vsv")
    assert "--interpolate" in refused(capfd, *wrong, "--interpolate", 9)
    assert "--kbps" in refused(capfd, *wrong, "--kbps", 0.01)
    (tmp_path / "junk.vsv").write_bytes(MARK + record(b"\x20junk"))
    assert "does not begin with a call's header" in refused(capfd, "decode", tmp_path / "junk.vsv", "-o", out)
    assert "junk.vsv" in refused(capfd, "inspect", tmp_path / "junk.vsv")
    assert sorted(os.listdir(tmp_path)) == ["junk.vsv"]


def film(path: Path, pictures: Iterable[Pixels], times: Iterable[Fraction], fps: Fraction = Fraction(25)) -> Path:
    """A video without sound."""
    with ExitStack() as stack:
        writer: VideoWriter | None = None
        for picture, at in zip(pictures, times, strict=False):
            if writer is None:
                writer = stack.enter_context(VideoWriter(path, size=picture.shape[:2], fps=fps))
            writer.write(Frame(picture, at))
    return path


def grey(count: int) -> list[Pixels]:
    return [np.full((128, 128, 3), 90, np.uint8)] * count


def test_a_call_may_come_through_a_pipe(folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    """It is read twice, for pictures and for sound, and inspected."""
    for verb in (["decode", tmp_path / "pipe", "-o", tmp_path / "o.mp4"], ["inspect", tmp_path / "pipe2"]):
        os.mkfifo(verb[1])
        threading.Thread(target=verb[1].write_bytes, args=((folder / "call.vsv").read_bytes(),), daemon=True).start()
        model = ["--model", folder / "tiny.safetensors"] if verb[0] == "decode" else []
        assert report(capfd, *verb, *model)["frames"] == FRAMES
    with SoundReader(tmp_path / "o.mp4") as sound:
        assert sum(len(chunk.samples) for chunk in sound) / sound.rate_hz == pytest.approx(SECONDS, abs=0.05)


def test_a_call_gets_its_name_as_videos_do(folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    """A link stays one; a file that came meanwhile stays; a video's name is refused, since no video is inside."""
    (tmp_path / "linked.vsv").touch()
    (tmp_path / "link.vsv").symlink_to("linked.vsv")
    with CallWriter(tmp_path / "link.vsv", replace=True) as writer:
        writer.write(b"x")
    assert (tmp_path / "link.vsv").is_symlink()
    assert (tmp_path / "linked.vsv").read_bytes() == MARK + record(b"x")
    with pytest.raises(OutputError, match=r"kept as .*late-2\.vsv"), CallWriter(tmp_path / "late.vsv", replace=False):
        (tmp_path / "late.vsv").write_text("quicker")
    assert (tmp_path / "late.vsv").read_text() == "quicker"
    assert (tmp_path / "late-2.vsv").read_bytes() == MARK
    assert run(["encode", folder / "caller.mp4", "-o", tmp_path / "call.mp4", "--model", folder / "tiny.safetensors"])
    assert "let it end in .vsv" in capfd.readouterr().err
    assert sorted(os.listdir(tmp_path)) == ["late-2.vsv", "late.vsv", "link.vsv", "linked.vsv"]


def test_a_call_is_kept_where_modes_cannot_be_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refused(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "chmod", refused)
    with CallWriter(tmp_path / "call.vsv") as writer:
        writer.write(b"x")
    assert os.listdir(tmp_path) == ["call.vsv"]


def test_a_video_without_a_face_leaves_nothing(tmp_path: Path, folder: Path, capfd: pytest.CaptureFixture[str]):
    film(tmp_path / "grey.mp4", grey(10), (Fraction(n, 25) for n in range(10)))
    weights = folder / "tiny.safetensors"
    assert "no face" in refused(capfd, "encode", tmp_path / "grey.mp4", "-o", tmp_path / "c.vsv", "--model", weights)
    assert os.listdir(tmp_path) == ["grey.mp4"]


def test_a_still_picture_is_no_call(tmp_path: Path, folder: Path, capfd: pytest.CaptureFixture[str]):
    write_picture(tmp_path / "p.png", draw(128, 1))
    wrong = ("encode", tmp_path / "p.png", "-o", tmp_path / "c.vsv", "--model", folder / "tiny.safetensors")
    assert "is a still picture" in refused(capfd, *wrong)


def test_a_face_that_comes_after_the_look_ahead_is_found(
    tmp_path: Path, folder: Path, capfd: pytest.CaptureFixture[str]
):
    """Eleven seconds of a wall at five frames a second, then a person."""
    pictures = [*grey(55), *[draw(128, 1, Pose(mouth=0.1 * (n % 5))) for n in range(20)]]
    film(tmp_path / "late.mp4", pictures, (Fraction(n, 5) for n in range(75)), Fraction(5))
    call, weights = tmp_path / "c.vsv", folder / "tiny.safetensors"
    there = report(capfd, "encode", tmp_path / "late.mp4", "-o", call, "--model", weights)
    assert there["frames"] == 75 and 50 <= there["frames_without_face"] <= 58
    back = report(capfd, "decode", call, "-o", tmp_path / "c.mp4", "--model", weights)
    assert back["seconds"] == 15.0 and back["frames"] >= 16


def test_the_face_that_is_asked_for_is_sent(tmp_path: Path, folder: Path, capfd: pytest.CaptureFixture[str]):
    """Two people side by side, the smaller one as number 1; there is no number 3."""
    large, small = draw(256, 1), draw(160, 4)
    both = np.full((256, 448, 3), 128, np.uint8)
    both[:, :256], both[48:208, 272:432] = large, small
    film(tmp_path / "two.mp4", [both] * 9, (Fraction(n, 25) for n in range(9)))
    weights = folder / "tiny.safetensors"

    def sent(face: int) -> Pixels:
        call = tmp_path / f"{face}.vsv"
        report(capfd, "encode", tmp_path / "two.mp4", "-o", call, "--model", weights, "--face", face)
        assembler = PivotAssembler()
        for packet in map(parse, CallReader(call)):
            if isinstance(packet, PivotFragment) and (pivot := assembler.push(packet)) is not None:
                return decode_still(pivot.picture)
        raise AssertionError("there is no pivot")

    def skin(picture: Pixels) -> float:
        side = picture.shape[0]
        return float(picture[side * 7 // 16 : side * 9 // 16, side * 7 // 16 : side * 9 // 16].mean())

    assert abs(skin(sent(0)) - skin(large)) < 20 and abs(skin(sent(1)) - skin(small)) < 20
    assert skin(large) > skin(small) + 60
    wrong = ("encode", tmp_path / "two.mp4", "-o", tmp_path / "c.vsv", "--model", weights, "--face", 3)
    assert "face number 3 was not found" in refused(capfd, *wrong)


def test_stamps_in_milliseconds_send_every_frame_once(tmp_path: Path):
    """30 frames a second whose stamps were rounded, as MKV, WebM and FLV do; each picture tells its number."""
    for fps in (Fraction(30), Fraction(24), Fraction(60), Fraction(30_000, 1001)):
        times = [Fraction(round(1000 * n / fps), 1000) for n in range(60)]
        frames = [Frame(np.full((2, 2, 3), n, np.uint8), at) for n, at in enumerate(times)]
        steady = list(at_constant_rate(iter(frames), fps))
        assert [int(frame.pixels[0, 0, 0]) for frame in steady] == list(range(60))
        assert [frame.time for frame in steady] == [n / fps for n in range(60)]


def test_a_file_of_rounded_stamps_sends_every_frame_once(shared: Path):
    path = shared / "cases" / "d30_an.mkv"
    if not path.is_file():
        pytest.skip(f"{path} is not here")
    with VideoReader(path) as reader:
        plain = list(reader)
    with VideoReader(path) as reader:
        steady = list(at_constant_rate(iter(reader), reader.info.fps))
    assert [frame.pixels.tobytes() for frame in steady] == [frame.pixels.tobytes() for frame in plain]


def test_a_rate_that_a_short_clip_cannot_hold_is_said(folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    weights, call = folder / "tiny.safetensors", tmp_path / "a.vsv"
    there = report(capfd, "encode", folder / "caller.mp4", "-o", call, "--model", weights, "--kbps", 1)
    assert there["video_kbps"] > 1.1
    assert f"pictures take {there['video_kbps']:.2f} kbit/s where 1 were asked for" in there["note"]
    assert there["pivots"] == 1
    arguments = ["encode", folder / "caller.mp4", "-o", call, "--model", weights, "--kbps", 1, "--force"]
    assert run(arguments) == 0
    printed = capfd.readouterr().out.splitlines()
    assert "1 pivot," in printed[0] and printed[1] == f"note: {there['note']}"
    assert report(capfd, "encode", folder / "caller.mp4", "-o", tmp_path / "b.vsv", "--model", weights)["note"] is None


def test_decode_needs_no_room_but_for_its_result(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "full"))
    out = tmp_path / "out.mp4"
    assert run(["decode", folder / "call.vsv", "-o", out, "--model", folder / "tiny.safetensors"]) == 0
    assert os.listdir(tmp_path) == ["out.mp4"]


def test_small_networks_run_where_the_generator_does(monkeypatch: pytest.MonkeyPatch):
    asked: list[object] = []

    def to(self: torch.nn.Module, where: object) -> torch.nn.Module:
        asked.append(where)
        return self

    monkeypatch.setattr(torch.nn.Module, "to", to)
    engine = Engine("cuda", "fp32")
    between_chosen("network", 2, KeypointKind(3, True), engine)
    enlarge_chosen("network", 256, 512, engine=engine)
    assert asked == ["cuda", "cuda"]


def test_a_call_is_one_of_the_codecs_that_are_compared(folder: Path):
    codec = CallCodec("tiny", {"adaptive": CallPoint()}, str(folder / "tiny.safetensors"))
    coded = codec.run(folder / "caller.mp4", "adaptive")
    frames = list(coded.frames)
    assert len(frames) == FRAMES and frames[0].shape == (128, 128, 3)
    # What nobody looks at is not painted, and what somebody does is the same.
    few = list(codec.run(folder / "caller.mp4", "adaptive", 4).frames)
    assert len(few) == FRAMES
    assert all(np.array_equal(few[n], frames[n - n % 4]) for n in range(FRAMES))
    sizes = [len(p) for p in CallReader(folder / "call.vsv") if p[0] >> 5 != Kind.SOUND]
    assert sum(coded.sizes_bytes) == pytest.approx(sum(sizes), rel=0.1)
