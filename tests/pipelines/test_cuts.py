"""Cuts, late faces and several people through reenactment, calls and preparation."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from made import run, tiny_weights
from made_shards import contents
from scenes import ground, put, small_face, write_video
from visavis.core.errors import DataError, FaceError
from visavis.data.prepare import framing
from visavis.data.prepare.clip import prepare_clip
from visavis.data.shards import Priors
from visavis.data.sources import ClipTask
from visavis.drawn.drawing import draw
from visavis.face.align import Crop, crop_for
from visavis.face.types import Face
from visavis.generators.base import Prior
from visavis.media.frame import Frame, Pixels
from visavis.media.reader import VideoReader
from visavis.media.still import write_picture
from visavis.pipelines.analyse import Analyser
from visavis.pipelines.call.encoder import CallEncoder
from visavis.pipelines.call.weights import WeightsId
from visavis.pipelines.load import load_generator
from visavis.pipelines.seen import seen_ahead
from visavis.training.data.gaps import _decode


def cut(count: int = 20, at: int = 8) -> list[Pixels]:
    """A person who is on the left, and from frame ``at`` on larger and on the right."""
    before = put(ground(360, 640), (draw(200, 2), 20, 100))
    after = put(ground(360, 640, 1), (draw(280, 2), 340, 40))
    return [before if number < at else after for number in range(count)]


def square_face(middle: tuple[float, float], size: float) -> Face:
    """A mesh that fills a square."""
    mesh = np.random.default_rng(0).uniform(-0.5, 0.5, (478, 3)).astype(np.float32)
    mesh -= mesh.mean(0)
    return Face((mesh * size + np.array([*middle, 0], np.float32)).astype(np.float32))


def test_after_a_cut_the_crop_lies_to_the_face_as_before():
    crop = Crop(10, 20, 200).carried(square_face((110, 120), 100), square_face((400, 300), 150))
    assert (crop.left, crop.top, crop.side) == pytest.approx((250, 150, 300), abs=0.01)


def test_only_faces_before_the_first_cut_choose_the_crop():
    first = [square_face((100 + i, 100), 80) for i in range(3)]
    both = [*first, square_face((500, 100), 80), square_face((501, 100), 80)]
    assert crop_for(both, 300, 800) == crop_for(first, 300, 800)


def test_what_is_observed_after_a_cut_is_neither_smeared_nor_at_the_edge():
    """As an analyser sees it that knows nothing of what was before."""
    with Analyser([Prior.MESH]) as analyser, Analyser([Prior.MESH]) as fresh:
        crop: Crop | None = None
        for number, pixels in enumerate(cut(11)):
            frame = Frame(pixels, Fraction(number, 25))
            face = analyser.find(frame)
            assert face is not None
            crop = analyser.follow(crop or crop_for([face], *pixels.shape[:2]), face)
            observed = analyser.observe(frame, face, crop, 128)
            if number == 8:
                other = fresh.find(frame)
                assert other is not None
                alone = fresh.observe(frame, other, crop, 128)
                assert observed.mesh is not None and alone.mesh is not None
                assert np.abs(observed.mesh - alone.mesh)[:, :2].mean() < 0.01
                assert np.abs(observed.mesh[:, :2].mean(0)).max() < 0.2
        assert analyser.jumps == 1


def test_a_cut_holds_no_frame_of_a_call(tmp_path: Path):
    weights = str(tiny_weights(tmp_path / "tiny.safetensors"))
    with CallEncoder(load_generator(weights), WeightsId.of(weights), fps=Fraction(25)) as encoder:
        for number, pixels in enumerate(cut(16)):
            encoder.push(Frame(pixels, Fraction(number, 25)))
        encoder.finish()
        assert (encoder.tally.coded, encoder.tally.frames_without_face) == (16, 0)


def reenact(capfd: pytest.CaptureFixture[str], folder: Path, *arguments: object) -> tuple[int, str, dict[str, object]]:
    """Status, the line on stderr and the report of a run with tiny weights."""
    weights = tiny_weights(folder / "tiny.safetensors")
    status = run(["reenact", *arguments, "-o", folder / "o.mp4", "--model", weights, "--force", "--json"])
    out, err = capfd.readouterr()
    return status, err, json.loads(out) if out else {}


def test_a_cut_holds_no_frame_of_a_film(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    write_video(tmp_path / "cut.mp4", cut())
    write_picture(tmp_path / "p.png", draw(256, 0))
    status, _, report = reenact(capfd, tmp_path, tmp_path / "p.png", tmp_path / "cut.mp4")
    assert (status, report["frames"], report["frames_without_face"]) == (0, 20, 0)


def test_the_shared_cut_holds_no_frame(shared: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    write_picture(tmp_path / "p.png", draw(256, 0))
    status, _, report = reenact(capfd, tmp_path, tmp_path / "p.png", shared / "cases/cut.mp4")
    assert (status, report["frames"], report["frames_without_face"]) == (0, 30, 0)


def test_source_and_driver_have_their_own_choice_of_face(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    """Two faces in the picture, one in the video: the second of the first can be animated by the other."""
    write_picture(tmp_path / "p.png", put(ground(360, 640), (draw(300, 1), 10, 30), (draw(220, 4), 400, 60)))
    write_video(tmp_path / "d.mp4", [draw(192, 3)] * 3)
    inputs = (tmp_path / "p.png", tmp_path / "d.mp4")
    status, _, report = reenact(capfd, tmp_path, *inputs, "--source-face", 1)
    assert (status, report["frames_without_face"]) == (0, 0)
    status, error, _ = reenact(capfd, tmp_path, *inputs, "--face", 1)
    assert status == 1 and "d.mp4: face number 1 was not found" in error
    status, error, _ = reenact(capfd, tmp_path, *inputs, "--face", 1, "--driver-face", 0, "--source-face", 2)
    assert status == 1 and "p.png: face number 2 was not found" in error


def test_a_driver_without_a_face_is_refused_before_anything_is_rendered(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    write_picture(tmp_path / "p.png", draw(256, 0))
    write_video(tmp_path / "wall.mp4", [ground(120, 160)] * 30)
    monkeypatch.setattr("visavis.pipelines.files.Reenactor", lambda *_, **__: pytest.fail("it is too late"))
    status, error, _ = reenact(capfd, tmp_path, tmp_path / "p.png", tmp_path / "wall.mp4")
    assert status == 1 and "no face was found in any frame (160x120); if there is one, crop to the face" in error


def test_a_still_picture_as_driver_is_refused_in_words(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    write_picture(tmp_path / "p.png", draw(256, 0))
    status, error, _ = reenact(capfd, tmp_path, tmp_path / "p.png", tmp_path / "p.png")
    assert status == 1 and "is a still picture" in error and "give a video" in error
    assert not (tmp_path / "o.mp4").exists()


@pytest.fixture
def late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A video of 4 s whose face comes after 2.4 s, when looking ahead means half a second."""
    monkeypatch.setattr("visavis.pipelines.seen._LOOK_AHEAD_S", Fraction(1, 2))
    monkeypatch.setattr(framing, "_LOOK_S", Fraction(1, 2))
    wall = ground(240, 320)
    write_video(tmp_path / "late.mp4", [wall] * 60 + [put(wall, (draw(200, 1), 60, 30))] * 40)
    return tmp_path / "late.mp4"


def test_a_face_that_comes_late_is_waited_for(late: Path):
    with VideoReader(late) as reader, Analyser(()) as analyser:
        times = [seen.frame.time for seen in seen_ahead(reader, analyser)]
    assert 2.4 <= times[0] <= 3.4
    assert times == [times[0] + Fraction(k, 5) for k in range(len(times))]
    assert times[-1] - times[0] == Fraction(2, 5)
    missing = pytest.raises(FaceError, match="face number 1 was not found in any frame")
    with VideoReader(late) as reader, Analyser((), face=1) as analyser, missing:
        list(seen_ahead(reader, analyser, which=1))


def test_a_clip_begins_with_its_face(late: Path):
    record = prepare_clip(ClipTask("a", late, "a", "train"))
    assert 2.4 <= record.info["start_s"] <= 3.4
    assert record.info["frames"] == round(25 * (4 - record.info["start_s"]))
    assert record.info["frames_without_face"] == 0


def test_a_clip_goes_on_after_a_cut_and_says_where_it_was(tmp_path: Path):
    write_video(tmp_path / "cut.mp4", cut(24, at=9))
    record = prepare_clip(ClipTask("a", tmp_path / "cut.mp4", "a", "train"))
    assert (record.info["frames"], record.info["frames_without_face"], record.info["cuts"]) == (24, 0, [9])
    middles = Priors.decode(record.priors).mesh[:, :, :2].astype(np.float32).mean(1)
    assert np.abs(middles).max() < 0.2
    # Frames on both sides of the cut are no neighbours: of four runs of six, the second lies across.
    assert len(_decode(record, 1)) == 3


def test_the_second_face_of_a_video_can_be_prepared(tmp_path: Path):
    (tmp_path / "in").mkdir()
    (large, _), (small, mesh) = small_face(1, 130), small_face(4, 90)
    write_video(tmp_path / "in/two.mp4", [put(ground(360, 640), (large, 10, 20), (small, 420, 150))] * 5)
    assert run(["prepare", tmp_path / "in", "-o", tmp_path / "out", "--face", 1]) == 0
    members = {name: data for shard in contents(tmp_path / "out").values() for name, data in shard.items()}
    (info,) = (json.loads(data) for name, data in members.items() if name.endswith(".json"))
    height = mesh[:, 1].max() - mesh[:, 1].min()
    assert info["quality"]["face_px"] == pytest.approx(height, abs=4)
    with pytest.raises(DataError, match="face number 3 was not found"):
        prepare_clip(ClipTask("a", tmp_path / "in/two.mp4", "a", "train", face=3))


def test_the_version_is_said(capfd: pytest.CaptureFixture[str]):
    from visavis import __version__

    assert run(["--version"]) == 0
    assert capfd.readouterr().out == f"visavis {__version__}\n"
