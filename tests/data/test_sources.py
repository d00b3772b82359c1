"""Which clips a data set holds: its three layouts, and the boxes of VoxCeleb."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from made_shards import first_picture
from visavis.core.errors import DataError
from visavis.data.prepare import clip as clip_module
from visavis.data.prepare.run import PrepareOptions, prepare
from visavis.data.shards import Priors, read
from visavis.data.sources import ClipTask, find_clips
from visavis.drawn.synthetic import draw
from visavis.media.frame import Frame
from visavis.media.writer import VideoWriter


def test_the_manifest_names_identity_split_and_speech(tmp_path: Path):
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "x1.mp4").touch()
    (tmp_path / "manifest.csv").write_text("id,identity,split,av_sync\nx1,x,val,likely\nx2,x,val,\n")
    found = find_clips(tmp_path)
    (task,) = found.clips
    assert (task.identity, task.split, task.sound_is_speech) == ("x", "val", True)
    assert found.missing == ("x2",)
    (tmp_path / "manifest.csv").write_text("id\nx1\n")
    with pytest.raises(DataError, match="identity"):
        find_clips(tmp_path)
    (tmp_path / "manifest.csv").write_text("id,identity,split\nx1,x,../../etc\n")
    with pytest.raises(DataError, match="split"):
        find_clips(tmp_path)


def test_a_plain_folder_splits_by_identity_and_never_between(tmp_path: Path):
    for person in range(200):
        folder = tmp_path / f"person{person}"
        folder.mkdir()
        (folder / "one.mp4").write_text("x")
        (folder / "two.mov").write_text("x")
    clips = find_clips(tmp_path, val_share=0.2).clips
    by_person: dict[str, set[str]] = {}
    for task in clips:
        by_person.setdefault(task.identity, set()).add(task.split)
    assert all(len(splits) == 1 for splits in by_person.values())
    held_back = {person for person, splits in by_person.items() if splits == {"val"}}
    assert 0.1 < len(held_back) / 200 < 0.3
    (tmp_path / "person0" / "one.mp4").unlink()
    fewer = {task.identity for task in find_clips(tmp_path, val_share=0.2).clips if task.split == "val"}
    assert fewer == held_back, "the split of one person depends on the others"
    (tmp_path / "splits.csv").write_text("identity,split\nperson0,test\n")
    assert {task.split for task in find_clips(tmp_path).clips if task.identity == "person0"} == {"test"}


def test_names_are_unique_and_safe_in_a_shard(tmp_path: Path):
    for name in ("a.b.mp4", "a_b.mp4", "ü.mkv", "a" * 200 + ".mp4"):
        (tmp_path / name).write_text("x")
    names = [task.name for task in find_clips(tmp_path).clips]
    assert len(set(names)) == 4
    assert all(name.replace("_", "").replace("-", "").isascii() and "." not in name for name in names)
    assert max(map(len, names)) <= 170


TRACK = """Identity  : \t{identity}
Reference : \t{video}
Offset    : \t-2
FV Conf   : \t20.230\t(1)
ASD Conf  : \t2.765

"""


def write_track(path: Path, boxes: list[tuple[float, ...]], first: int, form: str) -> None:
    """Write a track file as VoxCeleb publishes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{first + n:06d} \t" + " \t".join(form % value for value in box) for n, box in enumerate(boxes)]
    head = TRACK.format(identity=path.parent.parent.name, video=path.parent.name)
    path.write_text(head + "FRAME \tX \tY \tW \tH \n" + " \n".join(lines) + " \n")


def two_faces(path: Path, frames: int = 45) -> None:
    """A wide video, 640 x 320: one person left, another (who moves up and down) right, 30 frames a second."""
    with VideoWriter(path, size=(320, 640), fps=Fraction(30)) as writer:
        left, right = draw(320, 1), draw(256, 4)
        for number in range(frames):
            pixels = np.full((320, 640, 3), 128, np.uint8)
            pixels[:, :320] = left
            top = 10 + number % 30
            pixels[top : top + 256, 352:608] = right
            writer.write(Frame(pixels, Fraction(number, 30)))


@pytest.mark.parametrize("form", ["shares", "pixels", "pixels of 360"])
def test_voxceleb_follows_its_boxes_and_counts_missing_videos(tmp_path: Path, form: str):
    """The person on the right is asked for, though the one on the left is larger."""
    (tmp_path / "videos").mkdir()
    two_faces(tmp_path / "videos" / "21Uxsk56VDQ.mp4")
    x, y, side = 420.0, 70.0, 140.0
    scale = {"shares": (1 / 640, 1 / 320), "pixels": (1, 1), "pixels of 360": (360 / 320, 360 / 320)}[form]
    box = (x * scale[0], y * scale[1], side * scale[0], side * scale[1])
    write_track(
        tmp_path / "vox_txt/id00012/21Uxsk56VDQ/00001.txt", [box] * 20, 10, "%.3f" if form == "shares" else "%.0f"
    )
    write_track(tmp_path / "vox_txt/id00012/gone-video_/00002.txt", [box] * 20, 10, "%.3f")
    report = prepare(tmp_path, tmp_path.with_name("out"), PrepareOptions(force=True))
    assert (report.clips, report.failed, report.missing) == (1, {}, ("gone-video_",))
    (clip,) = read(tmp_path.with_name("out"))
    assert clip.name == "id00012_21Uxsk56VDQ_00001"
    assert (clip.info["identity"], clip.info["frames"], clip.info["start_s"]) == ("id00012", 20, 0.4)
    assert clip.info["published_offset_frames"] == -2
    assert clip.info["sound_is_speech"] is False, "there is no sound in it"
    shown = first_picture(clip, tmp_path)
    # The mesh spans about half of the square, as in every other crop.
    height = np.ptp(Priors.decode(clip.priors).mesh[0, :, 1]) / 2
    assert 0.4 < height < 0.6
    assert skin(shown) == pytest.approx(skin(draw(256, 4)), abs=15)
    assert skin(draw(256, 1)) - skin(draw(256, 4)) > 50


def skin(picture: np.ndarray) -> float:
    """How bright the middle of a picture is: people are drawn with different skin."""
    return float(picture[100:156, 100:156].mean())


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "no boxes"),
        ("Identity : x\n\nFRAME X Y W H\n000001 1 2 nan 4\n", "no box"),
        ("Identity : x\n\nFRAME X Y W H\n000001 1 2 -3 4\n", "no box"),
        ("Identity : x\n\nFRAME X Y W H\n000001 1 2 3 4\n9999999 1 2 3 4\n", "spread"),
        ("Identity : x\n\nFRAME X Y W H\n000001 1000 1000 3 4\n", "no face"),
        ("Identity : x\n\nFRAME X Y W H\n900001 0.1 0.1 0.8 0.8\n", "36000.04 s"),
    ],
)
def test_a_bad_track_costs_its_clip_alone(tmp_path: Path, videos: Path, text: str, named: str):
    track = tmp_path / "id1" / "abc" / "00001.txt"
    write_track(track, [(0.2, 0.2, 0.6, 0.6)], 0, "%.3f")
    (task,) = (ClipTask("t", videos / "a.mp4", "id1", "train", boxes=track),)
    track.write_text(text)
    failure = clip_module.attempt(task)
    assert isinstance(failure, clip_module.Failure)
    assert named in failure.reason
    assert failure.fate is clip_module.Fate.FINAL


def test_published_test_folders_become_val_and_cut_videos_need_no_boxes(tmp_path: Path):
    for part, identity in (("vox2_dev_txt", "id1"), ("vox2_test_txt", "id2")):
        write_track(tmp_path / part / identity / "v1deo" / "00003.txt", [(0.2, 0.2, 0.6, 0.6)], 0, "%.3f")
        (tmp_path / "mp4" / identity / "v1deo").mkdir(parents=True)
        (tmp_path / "mp4" / identity / "v1deo" / "00003.mp4").write_text("x")
    found = find_clips(tmp_path)
    assert [(task.identity, task.split, task.boxes) for task in found.clips] == [
        ("id1", "train", None),
        ("id2", "val", None),
    ]
