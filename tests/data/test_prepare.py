"""From raw videos to shards: what is in them, how they are laid out, and what a run reports."""

from __future__ import annotations

import io
import json
import os
import tarfile
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from made import run
from made_shards import contents, first_picture, record
from visavis.audio.feature import MEL_WINDOW
from visavis.audio.mel import RATE_HZ
from visavis.audio.window import SoundWindow
from visavis.core.errors import DataError, OutputError
from visavis.data import quality
from visavis.data.prepare import clip as clip_module
from visavis.data.prepare.report import PrepareReport
from visavis.data.prepare.run import PrepareOptions, prepare
from visavis.data.shards import ClipRecord, Priors, ShardWriter, append, read
from visavis.data.sources import ClipTask, find_clips
from visavis.drawn.synthetic import draw, write_clip
from visavis.media.frame import Frame
from visavis.media.reader import SoundReader, VideoReader, probe
from visavis.media.writer import VideoWriter
from visavis.training.data.dataset import load_clips


def test_a_long_video_becomes_pieces_that_begin_where_they_should(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Each piece's first picture and sound are those of its time in the video."""
    monkeypatch.setattr("visavis.data.sources.PIECE_S", 1)
    monkeypatch.setattr("visavis.data.sources._MAY_BE_LONG_BYTES", 0)
    (tmp_path / "in").mkdir()
    video = tmp_path / "in" / "long.mp4"
    write_clip(video, 3.0, seed=2, size=256)
    tasks = find_clips(tmp_path / "in").clips
    assert [float(task.start) for task in tasks] == pytest.approx([0, 1, 2], abs=0.05)
    piece = clip_module.prepare_clip(tasks[1])
    assert piece.info["frames"] == pytest.approx(25, abs=1)
    number = round(tasks[1].start * 25)
    with VideoReader(video) as reader:
        expected = next(frame.pixels for index, frame in enumerate(reader) if index == number)
    shown = first_picture(piece, tmp_path)
    assert np.abs(shown.astype(int) - expected).mean() < 3
    mel = Priors.decode(piece.priors).mel
    assert mel is not None
    with SoundReader(video, RATE_HZ) as sound:
        streamed = SoundWindow(sound, MEL_WINDOW).at(tasks[1].start + Fraction(5, 25))
    np.testing.assert_allclose(mel[:, 20:40], streamed, atol=3 / 255)


def test_a_file_whose_frames_come_unevenly_is_coded_anew(tmp_path: Path):
    """Its header claims 256 x 256 at 25 a second, but a pause of half a second is in it."""
    times = [Fraction(n, 25) for n in range(10)] + [Fraction(n + 12, 25) for n in range(10, 20)]
    with VideoWriter(tmp_path / "a.mp4", size=(256, 256), fps=Fraction(25)) as writer:
        for time_of in times:
            writer.write(Frame(draw(256, 1), time_of))
    record_of = clip_module.prepare_clip(ClipTask("a", tmp_path / "a.mp4", "a", "train"))
    assert record_of.info["frames"] == 32


def test_a_file_whose_pixels_are_not_square_is_coded_anew(tmp_path: Path):
    """It is shown as 256 x 256, but stored half as wide, which is how training would read it."""
    half = np.ascontiguousarray(draw(256, 1)[:, ::2])
    with av.open(str(tmp_path / "a.mp4"), "w") as file:
        video = file.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 128, 256, "yuv420p"
        video.codec_context.sample_aspect_ratio = Fraction(2)
        for _ in range(5):
            file.mux(video.encode(av.VideoFrame.from_ndarray(half, format="rgb24")))
        file.mux(video.encode(None))
    assert probe(tmp_path / "a.mp4").width == 256
    clip = clip_module.prepare_clip(ClipTask("a", tmp_path / "a.mp4", "a", "train"))
    assert first_picture(clip, tmp_path).shape == (256, 256, 3)


def test_what_is_already_in_form_is_not_coded_again(whole: tuple[Path, PrepareReport], videos: Path):
    assert [clip.video for clip in read(whole[0])] == [path.read_bytes() for path in sorted(videos.glob("*.mp4"))]


def test_hostile_files_cost_their_clip_alone(tmp_path: Path, videos: Path):
    folder = tmp_path / "in"
    folder.mkdir()
    good = (videos / "a.mp4").read_bytes()
    (folder / "good.mp4").write_bytes(good)
    (folder / "text.mp4").write_text("not a video")
    (folder / "empty.mkv").touch()
    (folder / "cut.mp4").write_bytes(good[: len(good) // 2])
    (folder / "noise.avi").write_bytes(np.random.default_rng(0).bytes(20_000))
    (folder / "loop.mp4").symlink_to(folder / "loop.mp4")
    os.mkfifo(folder / "pipe.mp4")
    with VideoWriter(folder / "noface.mp4", size=(256, 256), fps=Fraction(25)) as writer:
        for number in range(3):
            writer.write(Frame(np.full((256, 256, 3), 90, np.uint8), Fraction(number, 25)))
    report = prepare(folder, tmp_path / "out")
    assert report.clips == 1
    assert sorted(report.failed) == ["cut", "empty", "noface", "noise", "text"]
    assert all(len(reason.splitlines()) == 1 for reason in report.failed.values())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]
    assert json.loads((tmp_path / "out" / "report.json").read_text())["failed"][0].keys() == {"clip", "reason"}


def test_every_clip_carries_its_flags(whole: tuple[Path, PrepareReport]):
    for clip in read(whole[0]):
        assert clip.info["keep"] is True
        assert clip.info["why_not"] is None
        assert clip.info["quality"].keys() == {
            "face_px",
            "seen_share",
            "blur",
            "yaw_deg",
            "pitch_deg",
            "roll_deg",
            "sync",
        }
    assert quality.is_kept({}), "shards that are older than the flag go on being used"


def test_shards_stay_under_their_limit_and_hold_every_clip(tmp_path: Path):
    finished: list[str] = []
    sizes = [30_000, 50_000, 200_000, 10, 40_000, 100_000]
    with ShardWriter(tmp_path, 120_000, finished.extend) as shards:
        for number, size in enumerate(sizes):
            shards.add(record(f"c{number}", size))
    assert finished == [f"c{number}" for number in range(6)]
    shards_of = contents(tmp_path)
    clips = [[name for name in shard if name.endswith("mp4")] for shard in shards_of.values()]
    assert clips == [["c0.mp4", "c1.mp4"], ["c2.mp4"], ["c3.mp4", "c4.mp4"], ["c5.mp4"]]
    sizes_of = {path.stem: path.stat().st_size for path in tmp_path.glob("*.tar")}
    assert sizes_of.pop("train-00001") > 120_000, "a clip that is too large by itself has a shard of its own"
    assert max(sizes_of.values()) <= 120_000


def test_the_report_counts(whole: tuple[Path, PrepareReport]):
    output, report = whole
    said = report.as_json()
    assert (said["clips"], said["frames"], said["identities"], said["shards"]) == (4, 20, 4, 1)
    assert said["splits"] == {"train": {"clips": 4, "hours": pytest.approx(0.8 / 3600, abs=1e-4), "identities": 4}}
    assert (said["failed"], said["missing"], said["skipped"]) == ([], 0, 0)
    assert said["clips_per_s"] == pytest.approx(4 / report.seconds)
    assert json.loads((output / "report.json").read_text()) == json.loads(json.dumps(said))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # it leaves its files to the collector
def test_webdataset_reads_the_shards(whole: tuple[Path, PrepareReport]):
    webdataset = pytest.importorskip("webdataset")
    paths = [str(path) for path in sorted(whole[0].glob("*.tar"))]
    samples = list(webdataset.WebDataset(paths, shardshuffle=False))
    ours = list(read(whole[0]))
    assert [sample["__key__"] for sample in samples] == [clip.name for clip in ours]
    assert [sample["mp4"] for sample in samples] == [clip.video for clip in ours]
    assert [json.loads(sample["json"]) for sample in samples] == [clip.info for clip in ours]


def test_the_command_line_reports_in_json(videos: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    assert run(["prepare", videos, "-o", tmp_path / "out", "--limit", "2", "--workers", "2", "--json"]) == 0
    said = json.loads(capfd.readouterr().out)
    assert (said["clips"], said["workers"]) == (2, 2)
    assert run(["prepare", videos, "-o", tmp_path / "out"]) == 1
    assert "--force" in capfd.readouterr().err


def test_force_replaces_shards_and_nothing_else(videos: Path, tmp_path: Path):
    output = tmp_path / "out"
    prepare(videos, output, PrepareOptions(limit=1))
    assert prepare(videos, output, PrepareOptions(limit=2, force=True)).clips == 2
    (output / "letters.txt").write_text("dear to somebody")
    with pytest.raises(OutputError, match=r"letters\.txt"):
        prepare(videos, output, PrepareOptions(limit=1, force=True))
    with pytest.raises(OutputError, match="is no shard"):
        prepare(videos, output / "letters.txt", PrepareOptions(limit=1, force=True))
    assert (output / "letters.txt").read_text() == "dear to somebody"


# Shards in training


def test_training_leaves_out_what_is_not_worth_it_and_reads_shards_without_flags(
    whole: tuple[Path, PrepareReport], tmp_path: Path
):
    """Shards written before there were flags hold the first of these; the last is marked as bad."""
    first, second, *_ = read(whole[0])
    plain = {key: first.info[key] for key in ("identity", "split", "seconds", "frames", "sound_is_speech")}
    with tarfile.open(tmp_path / "train-00000.tar", "w") as shard:
        append(shard, ClipRecord("old", first.video, first.priors, plain))
        append(shard, ClipRecord("bad", second.video, second.priors, {**second.info, "keep": False}))
    (clip,) = load_clips(tmp_path, "train", 1)
    assert clip.identity == "a"
    assert clip.pictures.shape == (5, 256, 256, 3)
    assert clip.mesh.shape == (5, 478, 3)


@pytest.mark.parametrize(
    ("members", "named"),
    [
        ({"x.mp4": b"", "x.npz": b"", "x.json": b"[]"}, "'x' names no identity"),
        ({"x.mp4": b"", "x.npz": b"", "x.json": b"{"}, "damaged shard"),
        ({"x.mp4": b"", "x.npz": b"noise", "x.json": b'{"identity": "x", "split": "train"}'}, "clip x: damaged priors"),
        ({"a.json": b"{}", "b.mp4": b"", "b.npz": b""}, "no clip of split 'train'"),
        ({}, "no clip of split 'train'"),
    ],
)
def test_shards_that_cannot_be_used_are_one_line(tmp_path: Path, members: dict[str, bytes], named: str):
    with tarfile.open(tmp_path / "train-00000.tar", "w") as shard:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            shard.addfile(member, io.BytesIO(data))
    with pytest.raises(DataError, match=named) as refused:
        load_clips(tmp_path, "train", 1)
    assert len(str(refused.value).splitlines()) == 1


def test_a_shard_that_is_cut_off_is_one_line(whole: tuple[Path, PrepareReport], tmp_path: Path):
    (path,) = whole[0].glob("*.tar")
    (tmp_path / path.name).write_bytes(path.read_bytes()[:-200_000])
    with pytest.raises(DataError, match="damaged shard"):
        load_clips(tmp_path, "train", 1)
