"""What is written is what its name says, is marked, and replaces nothing that it must not."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image, ImageSequence

from made import good_inputs, run
from visavis.core.errors import OutputError
from visavis.drawn.synthetic import TalkingFace, write_wave
from visavis.media.forms import VIDEO_KINDS
from visavis.media.frame import Frame
from visavis.media.provenance import DIGITAL_SOURCE_TYPE, marks
from visavis.media.reader import SoundReader, VideoReader
from visavis.media.writer import VideoWriter, check_output

FORMATS = {
    ".mp4": "mov,mp4,m4a,3gp,3g2,mj2",
    ".mov": "mov,mp4,m4a,3gp,3g2,mj2",
    ".mkv": "matroska,webm",
    ".webm": "matroska,webm",
    ".gif": "gif",
}
CODECS = {".webm": ["opus", "vp9"], ".gif": ["gif"]}


def write(path: Path, times: list[Fraction], *, sound: Path | None = None, replace: bool = True) -> None:
    with VideoWriter(
        path, size=(64, 64), fps=Fraction(25), sound=sound, metadata=marks("a-model"), replace=replace
    ) as writer:
        for number, time in enumerate(times):
            writer.write(Frame(np.full((64, 64, 3), 20 + 9 * number, np.uint8), time))


@pytest.mark.parametrize("kind", VIDEO_KINDS)
def test_a_name_s_ending_is_what_is_inside(kind: str, tmp_path: Path):
    """By what FFmpeg and Pillow take it for, and the first bytes; QuickTime files have a brand of their own."""
    write_wave(tmp_path / "voice.wav", TalkingFace(1).sound(1.0))
    path = tmp_path / f"out{kind.upper()}"
    times = [Fraction(n, 25) for n in range(10)]
    write(path, times, sound=tmp_path / "voice.wav")
    head = path.read_bytes()[:64]
    if kind == ".webp":
        with Image.open(path) as picture:
            assert (picture.format, picture.n_frames) == ("WEBP", 10)  # type: ignore[attr-defined]
    else:
        with av.open(str(path)) as file:
            assert file.format.name == FORMATS[kind]
            assert sorted(s.codec_context.name for s in file.streams) == CODECS.get(kind, ["aac", "h264"])
    brand = {".mp4": b"isom", ".mov": b"qt  ", ".mkv": b"matroska", ".webm": b"webm", ".gif": b"GIF8", ".webp": b"WEBP"}
    assert brand[kind] in head
    with VideoReader(path) as reader:
        frames = list(reader)
        assert reader.info.fps == 25
    assert [frame.time for frame in frames] == pytest.approx(times, abs=1e-9)
    for number, frame in enumerate(frames):
        assert frame.pixels.mean() == pytest.approx(20 + 9 * number, abs=1.5)
    with SoundReader(path) as sound:
        assert sound.has_sound == (kind not in (".gif", ".webp"))
        if sound.has_sound:
            assert sum(len(chunk.samples) for chunk in sound) == pytest.approx(0.4 * 16_000, abs=400)
    assert sorted(os.listdir(tmp_path)) == sorted([path.name, "voice.wav"])


#: How far a time may be from the right one in seconds: half a tick of the format.
TICKS = {
    ".mp4": Fraction(1, 180_000),
    ".mov": Fraction(1, 180_000),
    ".mkv": Fraction(1, 2000),
    ".webm": Fraction(1, 2000),
    ".gif": Fraction(1, 200),
    ".webp": Fraction(1, 2000),
}


@pytest.mark.parametrize("kind", VIDEO_KINDS)
def test_times_are_as_exact_as_the_kind_allows(kind: str, tmp_path: Path):
    """29.97 a second, then uneven ones; roundings do not add up."""
    times = [Fraction(1001 * n, 30_000) for n in range(20)] + [Fraction(n, 1000) for n in (700, 777, 1200)]
    write(tmp_path / f"a{kind}", times)
    with VideoReader(tmp_path / f"a{kind}") as reader:
        found = [frame.time for frame in reader]
    assert max(abs(a - b) for a, b in zip(found, times, strict=True)) <= TICKS[kind]


def test_a_gif_keeps_what_viewers_can_show(tmp_path: Path):
    """They slow down what asks for less than 20 ms a frame: of 60 a second, some are left out, and the pace is kept."""
    write(tmp_path / "a.gif", [Fraction(n, 60) for n in range(25)])
    with Image.open(tmp_path / "a.gif") as picture:
        lengths = [frame.info["duration"] for frame in ImageSequence.Iterator(picture)]
        assert picture.info["loop"] == 0
    assert min(lengths) >= 20
    assert sum(lengths) == pytest.approx(25 / 60 * 1000, abs=20)


@pytest.mark.parametrize("kind", VIDEO_KINDS)
def test_every_kind_says_that_it_is_generated(kind: str, tmp_path: Path):
    """In the tags that players and tools show; of pictures, in a comment and in XMP."""
    path = tmp_path / f"a{kind}"
    write(path, [Fraction(0), Fraction(1, 25)])
    if kind == ".webp":
        with Image.open(path) as picture:
            said = picture.info["xmp"].decode()
            picture.seek(1)
    elif kind == ".gif":
        with Image.open(path) as picture:
            picture.seek(1)
            picture.load()
            said = str(picture.info.get("comment", b""))
        said = said if "AI" in said else path.read_bytes().decode("latin1").replace("\xff", "")
    else:
        with av.open(str(path)) as file:
            tags = {name.lower(): value for name, value in file.metadata.items()}
            said = tags["comment"]
    assert "AI-generated" in said
    assert DIGITAL_SOURCE_TYPE in said


def test_colours_of_a_gif_are_those_of_the_picture(tmp_path: Path):
    face = next(TalkingFace(1, 96, Fraction(25)).frames(1)).pixels
    with VideoWriter(tmp_path / "a.gif", size=(96, 96), fps=Fraction(25)) as writer:
        writer.write(Frame(face, Fraction(0)))
    with Image.open(tmp_path / "a.gif") as picture:
        found = np.asarray(picture.convert("RGB"), float)
    assert np.abs((found - face).mean((0, 1))).max() < 1
    assert np.abs(found - face).mean() < 4


@pytest.mark.parametrize("name", ["out.avi", "out", "out.mp3", "out.mp4.part", "out.png"])
def test_other_endings_are_refused_before_any_work(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    good_inputs(tmp_path)
    monkeypatch.setattr("visavis.pipelines.files.load_generator", lambda *a, **k: pytest.fail("work was done"))
    monkeypatch.chdir(tmp_path)
    before = sorted(os.listdir())
    assert run(["reenact", "portrait.png", "driving.mp4", "-o", name, "--model", "tiny.safetensors"]) == 1
    said = capfd.readouterr().err
    assert said.count("\n") == 1 and ".webm" in said and name in said
    assert sorted(os.listdir()) == before


def test_only_files_are_replaced(tmp_path: Path):
    """A device, a pipe, a link to nothing or to a folder stay what they are, with or without force."""
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "nothing.mp4").symlink_to(tmp_path / "gone.mp4")
    (tmp_path / "null.mp4").symlink_to("/dev/null")
    (tmp_path / "folder.mp4").symlink_to(tmp_path)
    for force in (False, True):
        for name, word in (("pipe", "pipe"), ("nothing", "link"), ("null", "device"), ("folder", "folder")):
            with pytest.raises(OutputError, match=word) as caught:
                check_output(tmp_path / f"{name}.mp4", [], force=force)
            assert "--force" not in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(OutputError, match="device"):
        check_output(Path("/dev/null"), [], force=True)
    assert sorted(os.listdir(tmp_path)) == ["folder.mp4", "nothing.mp4", "null.mp4", "pipe.mp4"]


def test_a_link_to_a_file_stays_a_link(tmp_path: Path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "real.mp4").write_text("old")
    (tmp_path / "link.mp4").symlink_to(tmp_path / "there" / "real.mp4")
    write(tmp_path / "link.mp4", [Fraction(0)])
    assert (tmp_path / "link.mp4").is_symlink()
    assert (tmp_path / "there" / "real.mp4").stat().st_size > 500
    assert os.listdir(tmp_path / "there") == ["real.mp4"]


def test_a_second_run_does_not_replace_the_first(tmp_path: Path):
    """Both began when there was nothing; the one that ends later is kept beside, and says where."""
    path = tmp_path / "out.mp4"
    check_output(path, [], force=False)
    with (
        pytest.raises(OutputError, match=r"out-2\.mp4") as caught,
        VideoWriter(path, size=(64, 64), fps=Fraction(25), replace=False) as late,
    ):
        late.write(Frame(np.zeros((64, 64, 3), np.uint8), Fraction(0)))
        write(path, [Fraction(0), Fraction(1, 25)], replace=False)
        first = path.read_bytes()
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == first
    with VideoReader(tmp_path / "out-2.mp4") as reader:
        assert sum(1 for _ in reader) == 1
    assert sorted(os.listdir(tmp_path)) == ["out-2.mp4", "out.mp4"]


def refusing(*names: str) -> dict[str, Callable[..., None]]:
    def refuse(*arguments: object, **options: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    return {name: refuse for name in names}


@pytest.mark.parametrize("refused", [("chmod",), ("chmod", "link"), ("chmod", "link", "replace", "rename")], ids=str)
@pytest.mark.parametrize("replace", [False, True])
def test_a_result_is_kept_where_the_system_refuses_what_mounts_refuse(
    refused: tuple[str, ...], replace: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Shares of other systems know no modes and no links, stores of objects no renaming."""
    if replace:
        (tmp_path / "out.mp4").write_text("old")
    for name, refuse in refusing(*refused).items():
        monkeypatch.setattr(f"os.{name}", refuse)
        if hasattr(Path, name):
            monkeypatch.setattr(f"pathlib.Path.{name}", refuse)
    write(tmp_path / "out.mp4", [Fraction(0), Fraction(1, 25)], replace=replace)
    monkeypatch.undo()
    with VideoReader(tmp_path / "out.mp4") as reader:
        assert sum(1 for _ in reader) == 2
    assert os.listdir(tmp_path) == ["out.mp4"]


def test_names_with_colons_and_percents_are_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for name in ("clip-12:30.mp4", "file:x.mp4", "concat:d.mkv", "a%03d.mp4", "http:.webm", "-.mp4", "ä ' ö.mov"):
        write(Path(name), [Fraction(0), Fraction(1, 25)])
        with VideoReader(Path(name)) as reader:
            assert sum(1 for _ in reader) == 2
    assert len(os.listdir()) == 7
