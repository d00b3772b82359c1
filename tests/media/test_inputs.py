"""Where inputs come from: pipes are read once, devices, addresses and playlists are refused in one line."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from PIL import Image

from made import FRAMES, good_inputs, run
from visavis.core.errors import MediaError
from visavis.drawn.synthetic import draw
from visavis.media import spool
from visavis.media.container import open_input
from visavis.media.reader import SoundReader, VideoReader, probe
from visavis.media.still import is_picture, read_picture


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    good_inputs(folder)
    return folder


def fed(path: Path, data: bytes) -> Path:
    """A FIFO into which somebody writes once."""
    os.mkfifo(path)

    def write() -> None:
        with suppress(BrokenPipeError):  # who has read enough closes it
            path.write_bytes(data)

    threading.Thread(target=write, daemon=True).start()
    return path


def test_what_comes_through_a_pipe_is_read_as_often_as_needed(inputs: Path, tmp_path: Path):
    film = fed(tmp_path / "film", (inputs / "driving.mp4").read_bytes())
    for _ in range(2):
        with VideoReader(film) as reader, SoundReader(film) as sound:
            assert sum(1 for _ in reader) == FRAMES
            assert sum(len(chunk.samples) for chunk in sound) > 3000
    picture = fed(tmp_path / "picture", (inputs / "portrait.png").read_bytes())
    assert is_picture(picture)
    assert (read_picture(picture).pixels == draw(256, seed=0)).all()


@pytest.mark.parametrize("redirected", [False, True], ids=["a pipe", "a file"])
def test_a_driver_may_come_from_standard_input(redirected: bool, inputs: Path, tmp_path: Path):
    """A whole run, in a process of its own, that leaves no temporary file."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    verb = ["reenact", inputs / "portrait.png", "/dev/stdin", "--model", inputs / "tiny.safetensors"]
    command = [sys.executable, "-m", "visavis.cli.main", *map(str, verb), "-o", str(tmp_path / "out.mp4")]
    env = {**os.environ, "TMPDIR": str(temporary)}
    with (inputs / "driving.mp4").open("rb") as film:
        given = {"stdin": film} if redirected else {"input": film.read()}
        done = subprocess.run(command, env=env, capture_output=True, timeout=300, **given)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stderr
    with VideoReader(tmp_path / "out.mp4") as reader:
        assert sum(1 for _ in reader) == FRAMES
        assert reader.info.has_sound
    assert [name for name in os.listdir(temporary) if name.startswith("visavis-")] == []


def test_a_pipe_without_an_end_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(spool, "_MOST_BYTES", 1000)
    with pytest.raises(MediaError, match="pipe of more than"):
        probe(fed(tmp_path / "endless", bytes(100_000)))


def test_a_pipe_that_stays_silent_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(spool, "_PATIENCE_S", 0.1)
    os.mkfifo(tmp_path / "silent")
    with pytest.raises(MediaError, match="nothing was written"):
        probe(tmp_path / "silent")


def test_an_empty_pipe_is_empty(tmp_path: Path):
    with pytest.raises(MediaError, match="is empty"):
        probe(fed(tmp_path / "nothing", b""))


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("/dev/zero", "device"),
        ("/dev/null", "device"),
        ("/", "folder"),
        ("http://example.org/a.mp4", "addresses are not read"),
        ("rtsp://example.org/a", "addresses are not read"),
        ("concat:d.mp4", "no such file"),
        ("none/d.mp4", "no such file"),
        ("", "folder"),
    ],
)
def test_what_is_no_file_is_refused_in_words(name: str, word: str):
    for read in (probe, is_picture, read_picture, SoundReader):
        with pytest.raises(MediaError, match=word) as caught:
            read(Path(name))  # type: ignore[operator]
        assert "\n" not in str(caught.value)


PLAYLISTS: dict[str, str] = {
    "a.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXTINF:6,\n{film}\n#EXT-X-ENDLIST\n",
    "a.ffconcat": "ffconcat version 1.0\nfile '{film}'\n",
    "a.mp4": "ffconcat version 1.0\nfile '{film}'\n",
    "a.mpd": '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>{film}</BaseURL></MPD>',
    "a.sdp": "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 127.0.0.1\r\nm=video 5004 RTP/AVP 96\r\n",
}


@pytest.mark.parametrize("name", PLAYLISTS)
def test_a_playlist_reads_no_other_file(
    name: str, inputs: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    """Whatever its name: it could name any file of the machine, or an address."""
    shutil.copy(inputs / "driving.mp4", tmp_path / "film.mp4")
    (tmp_path / name).write_text(PLAYLISTS[name].format(film=tmp_path / "film.mp4"))
    with pytest.raises(MediaError, match="playlist"):
        open_input(tmp_path / name)
    monkeypatch.chdir(inputs)
    out = tmp_path / "out.mp4"
    assert run(["reenact", "portrait.png", tmp_path / name, "-o", out, "--model", "tiny.safetensors"]) == 1
    said = capfd.readouterr().err
    assert "playlist" in said and said.count("\n") == 1
    assert not out.exists()


@pytest.mark.parametrize("kind", ["png", "jpg", "webp", "bmp", "tiff"])
def test_a_still_picture_is_called_one_where_a_video_is_needed(kind: str, tmp_path: Path):
    Image.fromarray(draw(64, seed=0)).save(tmp_path / f"a.{kind}")
    with pytest.raises(MediaError, match="still picture"):
        probe(tmp_path / f"a.{kind}")


def test_a_name_that_stands_for_many_files_is_one_file(tmp_path: Path):
    for number in range(3):
        Image.fromarray(draw(64, seed=number)).save(tmp_path / f"a{number}.png")
    with pytest.raises(MediaError, match="no such file"):
        probe(tmp_path / "a%d.png")


def animated(path: Path, lengths_ms: list[int]) -> None:
    frames = [Image.fromarray(draw(96, seed=number)) for number in range(len(lengths_ms))]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=lengths_ms, lossless=True)


@pytest.mark.parametrize("kind", ["webp", "gif", "png"])
def test_an_animated_picture_is_a_video(kind: str, tmp_path: Path):
    """As a driver and as a source, whatever draws it: frame for frame, at its times."""
    path = tmp_path / f"a.{kind}"
    animated(path, [100, 40, 60, 200])
    assert not is_picture(path)
    with VideoReader(path) as reader:
        frames = list(reader)
        assert reader.damaged == 0 and not reader.info.has_sound
    assert [float(frame.time) for frame in frames] == pytest.approx([0, 0.1, 0.14, 0.2])
    for number, frame in enumerate(frames):
        assert abs(frame.pixels.astype(float) - draw(96, seed=number)).mean() < (6 if kind == "gif" else 1)


@pytest.mark.parametrize(
    "damage", [lambda d: d[:60], lambda d: d[: len(d) // 2], lambda d: d[:40] + bytes(len(d) - 40)]
)
def test_a_damaged_animation_gives_what_it_has_or_says_why(damage: Callable[[bytes], bytes], tmp_path: Path):
    animated(tmp_path / "a.webp", [100] * 4)
    (tmp_path / "cut.webp").write_bytes(damage((tmp_path / "a.webp").read_bytes()))
    try:
        with VideoReader(tmp_path / "cut.webp") as reader:
            assert 1 <= sum(1 for _ in reader) <= 4
    except MediaError as error:
        assert "cut.webp" in str(error) and "\n" not in str(error)
