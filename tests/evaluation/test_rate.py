"""The comparison of codecs: rates by hand, the right clips, results that others confirm, and a table with its plot."""

from __future__ import annotations

import csv
import json
import stat
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.bitstream import BitStreamFilterContext
from av.video.reformatter import Interpolation
from PIL import Image

from made import run
from visavis.core.errors import ConfigError, DataError
from visavis.drawn.synthetic import draw
from visavis.evaluation.anchors import ANCHORS
from visavis.evaluation.metrics.rate import bits_per_pixel, kbps, rate_at, wire_bytes
from visavis.evaluation.rate import Cache, ClipRate, Task, compare, pick_clips
from visavis.evaluation.rate_report import markdown, plot
from visavis.media.frame import Frame
from visavis.media.reader import VideoReader
from visavis.media.writer import VideoWriter

FPS = Fraction(25)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people, three clips, one of them short; one clip also at 512."""
    folder = tmp_path_factory.mktemp("dataset")
    (folder / "clips").mkdir()
    (folder / "clips512").mkdir()
    rows = [("a_short", "a", 5), ("a_long", "a", 15), ("b_long", "b", 15)]
    for seed, (name, _, frames) in enumerate(rows):
        write_moving(folder / "clips" / f"{name}.mp4", seed, 256, frames)
    write_moving(folder / "clips512" / "b_long.mp4", 2, 512, 5)
    with (folder / "manifest.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "identity", "split"])
        writer.writerows([name, identity, "val"] for name, identity, _ in rows)
    return folder


def write_moving(path: Path, seed: int, size: int, frames: int) -> None:
    """A drawn face that is carried to the right, over a ground that rolls round."""
    face = draw(size, seed=seed)
    with VideoWriter(path, size=(size, size), fps=FPS) as writer:
        for number in range(frames):
            writer.write(Frame(np.roll(face, 2 * number, 1), number / FPS))


def test_rates_by_hand():
    """80 bytes a frame at 25 fps are 16 kbps; each in its packet of 40 bytes of headers they are 24 on the wire."""
    assert kbps(80 * 25, 1) == 16
    assert kbps(wire_bytes([80] * 25), 1) == 24
    assert bits_per_pixel(80, 1, 256 * 256) == pytest.approx(0.00977, abs=1e-5)
    assert wire_bytes([1200, 1201, 0]) == 1200 + 40 + 1201 + 2 * 40


def test_the_rate_at_a_quality_lies_between_the_points_around_it():
    assert rate_at(30, [10, 20], [30, 40]) == pytest.approx(10)
    assert rate_at(35, [10, 40], [30, 40]) == pytest.approx(20)  # half way in the logarithm
    assert rate_at(1.5, [40, 10], [1, 2]) == pytest.approx(20)  # a distance falls as rate grows
    assert rate_at(50, [10, 20], [30, 40]) is None
    assert rate_at(50, [], []) is None


def test_one_long_clip_an_identity_is_picked(dataset: Path):
    names = [path.stem for path in pick_clips(dataset, "val", 256, None, Fraction("0.4"))]
    assert names == ["a_long", "b_long"]
    assert [path.parent.name for path in pick_clips(dataset, "val", 512, None, Fraction("0.4"))] == ["clips512"]
    with pytest.raises(DataError, match="longer than 4 s"):
        pick_clips(dataset, "val", 256, None, Fraction(4))


@pytest.mark.parametrize("name", ["x264", "x265", "svtav1", "svtav1-half"])
def test_every_frame_comes_back_from_one_key_frame(dataset: Path, name: str):
    clip, codec = dataset / "clips" / "a_long.mp4", ANCHORS[name]
    few, many = (codec.run(clip, point) for point in (codec.points[0], codec.points[-1]))
    frames = list(few.frames)
    assert len(frames) == 15 and all(frame.shape == (256, 256, 3) for frame in frames)
    assert len(few.sizes_bytes) == 15
    assert few.sizes_bytes[0] > 3 * max(few.sizes_bytes[1:])
    assert sum(few.sizes_bytes) < sum(many.sizes_bytes)


def test_frames_come_back_in_their_order(dataset: Path):
    """Encoders code frames out of order; what is compared must not be."""
    clip = dataset / "clips" / "a_long.mp4"
    with VideoReader(clip) as reader:
        real = np.stack([frame.pixels[::4, ::4] for frame in reader]).astype(float)
    for name in ("x264", "x265", "svtav1"):
        made = np.stack([frame[::4, ::4] for frame in ANCHORS[name].run(clip, ANCHORS[name].points[-1]).frames])
        errors = np.abs(made.astype(float)[:, None] - real[None]).mean((2, 3, 4))
        assert list(errors.argmin(1)) == list(range(15))


def test_x264_spends_what_ffmpeg_muxes_less_its_name(dataset: Path, tmp_path: Path):
    """The same encoder through a container, which holds the parameter sets, and FFmpeg's own filter of NAL units."""
    clip = dataset / "clips" / "b_long.mp4"
    coded = ANCHORS["x264"].run(clip, "veryslow crf 38")
    target = tmp_path / "out.mkv"
    with av.open(str(target), "w") as container, VideoReader(clip) as reader:
        options = {"preset": "veryslow", "crf": "38", "threads": "1", "x264-params": "keyint=infinite:scenecut=0"}
        stream = container.add_stream("libx264", rate=FPS, options=options)
        stream.height, stream.width, stream.pix_fmt = 256, 256, "yuv420p"
        for frame in reader:
            picture = av.VideoFrame.from_ndarray(frame.pixels, format="rgb24")
            picture = picture.reformat(format="yuv420p", interpolation=Interpolation.BICUBIC)
            picture.pts = round(frame.time * FPS)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    with av.open(str(target)) as container:
        nameless = BitStreamFilterContext("filter_units=remove_types=6", container.streams.video[0])
        muxed = sum(out.size for packet in container.demux(video=0) for out in nameless.filter(packet))
    # A start code is a byte shorter than a length; sequence and picture parameter sets are some 40 bytes.
    assert 20 < sum(coded.sizes_bytes) + len(coded.sizes_bytes) - muxed < 60


def test_a_report_has_a_row_a_point_and_says_what_is_missing(dataset: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "")
    report = compare(dataset, "val", ["svtav1", "vvenc"], limit=1, longer_than=Fraction("0.4"), every=7)
    assert [row["point"] for row in report["rows"]] == list(ANCHORS["svtav1"].points)
    assert report["absent"]["vvenc"] == "vvencapp is not on the PATH"
    assert report["clips"] == ["a_long"]
    first = report["rows"][0]
    assert first["frames"] == 15 and first["seconds"] == pytest.approx(0.6)
    assert first["kbps"] * 1000 * 0.6 / 8 / (15 * 256 * 256 / 8) == pytest.approx(first["bpp"], rel=1e-2)
    assert first["wire_kbps"] == pytest.approx(first["kbps"] + 8, abs=1.5)
    assert first["lpips"] is None and "lpips" in report["unavailable"]
    rates, fidelity = ([row[name] for row in report["rows"]] for name in ("kbps", "psnr"))
    assert rates == sorted(rates) and fidelity == sorted(fidelity)
    assert report["rows"][-1]["lmd"] < 1


def test_a_second_run_reads_its_results(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    settings = {"limit": 1, "longer_than": Fraction("0.4"), "every": 10, "cache": tmp_path / "cache"}
    first = compare(dataset, "val", ["svtav1-half"], **settings)

    def never(*_: object) -> None:
        raise AssertionError("coded again")

    monkeypatch.setattr("visavis.evaluation.rate.run_task", never)
    assert compare(dataset, "val", ["svtav1-half"], **settings) == first
    with pytest.raises(AssertionError, match="coded again"):
        compare(dataset, "val", ["svtav1-half"], **{**settings, "every": 5})


def test_a_damaged_result_is_measured_anew(dataset: Path, tmp_path: Path):
    cache, task = Cache(tmp_path), Task("x264", ("veryslow crf 51",), dataset / "clips" / "a_long.mp4", 256, 5)
    result = ClipRate(100, 140, 15, 0.6, 65536, sums={"l1": (0.5, 3)})
    cache.put(task, "veryslow crf 51", result)
    assert cache.get(task, "veryslow crf 51") == result
    (kept,) = tmp_path.glob("*.json")
    for damage in ("", "{", "[]", '{"bytes": 1}', '{"sums": {"l1": 3}}'):
        kept.write_text(damage)
        assert cache.get(task, "veryslow crf 51") is None


def test_workers_find_what_one_process_finds(dataset: Path):
    settings = {"longer_than": Fraction("0.4"), "every": 10}
    one = compare(dataset, "val", ["svtav1-half"], **settings)
    assert compare(dataset, "val", ["svtav1-half"], workers=2, **settings) == one


def test_h266_goes_through_the_program_on_the_path(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    """A program that fails is named in one line; whether vvencapp itself works is for machines that have it."""
    program = tmp_path / "vvencapp"
    program.write_text("#!/bin/sh\necho 'no such preset' >&2\nexit 3\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert ANCHORS["vvenc"].missing() is None
    status = run(["rate", "--data", dataset, "--codec", "vvenc", "--longer-than", "0.4"])
    assert status == 1
    assert capfd.readouterr().err.strip().splitlines()[-1] == "error: vvencapp failed: no such preset"


@pytest.mark.skipif(ANCHORS["vvenc"].missing() is not None, reason="vvencapp is not on the PATH")
def test_h266_frames_come_back(dataset: Path):
    coded = ANCHORS["vvenc"].run(dataset / "clips" / "a_long.mp4", "medium qp 46")
    assert len(list(coded.frames)) == len(coded.sizes_bytes) == 15


def test_unknown_codecs_and_sizes_are_refused(dataset: Path):
    with pytest.raises(ConfigError, match="no codec 'x263'"):
        compare(dataset, "val", ["x263"])
    with pytest.raises(ConfigError, match="256 and 512"):
        compare(dataset, "val", ["x264"], size=300)


def test_clips_of_another_size_are_refused(dataset: Path, tmp_path: Path):
    (tmp_path / "clips").mkdir()
    (tmp_path / "manifest.csv").write_text((dataset / "manifest.csv").read_text())
    for name in ("a_short", "a_long", "b_long"):
        write_moving(tmp_path / "clips" / f"{name}.mp4", 1, 128, 3)
    with pytest.raises(DataError, match="128x128; 256 a side"):
        compare(tmp_path, "val", ["svtav1"], longer_than=Fraction(0), limit=1)


def test_the_command_writes_table_plot_and_json(dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "new" / "out"
    arguments = ["rate", "--data", dataset, "--codec", "svtav1", "x265", "--limit", 1, "--longer-than", 0.4]
    assert run([*arguments, "--every", 10, "--out", out, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert {row["codec"] for row in report["rows"]} == {"svtav1", "x265"}
    assert json.loads((out / "rate.json").read_text()) == report
    table = (out / "rate.md").read_text()
    assert "| svtav1 preset 4 crf 63 |" in table and "Not measured: fid" in table
    with Image.open(out / "rate.png") as picture:
        assert picture.format == "PNG" and min(picture.size) > 300
    assert sorted(path.name for path in out.iterdir()) == ["cache", "rate.json", "rate.md", "rate.png"]
    before = (out / "rate.json").read_bytes()
    assert run([*arguments, "--every", 20, "-o", out]) == 1
    assert "--force" in capsys.readouterr().err
    assert (out / "rate.json").read_bytes() == before
    assert run([*arguments, "--every", 20, "-o", out, "--force"]) == 0
    assert (out / "rate.json").read_bytes() != before


def test_512_is_measured_where_it_is(dataset: Path):
    report = compare(dataset, "val", ["svtav1-half"], size=512, longer_than=Fraction("0.4"), every=10)
    assert report["clips"] == ["b_long"] and report["rows"][0]["bpp"] > 0


def test_a_report_without_any_codec_is_still_a_report(tmp_path: Path):
    report = {"clips": ["a"], "split": "val", "size": 256, "every": 5, "rows": [], "absent": {"x": "y"}}
    report["unavailable"] = {}
    assert "Not measured: x (y)." in markdown(report)
    plot(report, tmp_path / "empty.png")
    assert (tmp_path / "empty.png").is_file()
