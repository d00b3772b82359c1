"""Shards and data sets from anywhere: one line each, little memory, and nothing outside of them is read."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from limited import memory_limit
from made import FRAMES, made_shards, run
from made_shards import contents
from visavis.core.errors import DataError
from visavis.data import shards as shards_module
from visavis.data.members import members
from visavis.data.shards import Priors, read
from visavis.data.sources import find_clips
from visavis.drawn.synthetic import write_clip
from visavis.evaluation.protocol import find_clips as clips_to_measure
from visavis.training.data.dataset import load_clips
from visavis.training.data.gaps import load_stretches
from visavis.training.data.large import load_large
from visavis.training.data.mouths import load_mouths

Files = dict[str, bytes]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Members of one sound clip."""
    return contents(made_shards(tmp_path_factory.mktemp("good") / "shards", clips=1))["train-00000.tar"]


def shard(folder: Path, files: Files, *before: tarfile.TarInfo) -> Path:
    """A folder with one shard of these files, and of entries without content before them."""
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(folder / "train-00000.tar", "w") as archive:
        for entry in before:
            archive.addfile(entry)
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return folder


def changed(files: Files, ending: str, data: bytes) -> Files:
    return {name: data if name.endswith(ending) else old for name, old in files.items()}


def npz(**arrays: Any) -> bytes:
    """Sound priors with other arrays in place of some."""
    sound = {
        "seen": np.ones(FRAMES, bool),
        "mesh": np.zeros((FRAMES, 478, 3), np.int16),
        "segmentation": np.zeros((FRAMES, 64, 64), np.uint8),
        "mel": np.zeros((0, 0), np.uint8),
    }
    out = io.BytesIO()
    np.savez_compressed(out, **{**sound, **arrays})
    return out.getvalue()


def claiming(name: str, dtype: str, shape: tuple[int, ...], unpacked: int) -> bytes:
    """Priors of which one array claims a shape and unpacks to so many zeros."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(npz())) as sound, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        for entry in sound.namelist():
            if entry != f"{name}.npy":
                packed.writestr(entry, sound.read(entry))
        with packed.open(f"{name}.npy", "w", force_zip64=True) as file:
            header = {"descr": dtype, "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            for _ in range(unpacked >> 20):
                file.write(bytes(1 << 20))
    return out.getvalue()


PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-VERSION:3\n#EXTINF:1.0,\n{}\n#EXT-X-ENDLIST\n"
BAD_VIDEOS = {
    "a playlist": PLAYLIST.replace(b"{}", b"/etc/passwd"),
    "a list": b"ffconcat version 1.0\nfile /etc/passwd\n",
    "nothing": b"",
    "text": b"not a video " * 100,
}
BAD_PRIORS: dict[str, Callable[[], bytes]] = {
    "4 GB of zeros": lambda: claiming("mesh", "<i2", (1_400_000, 478, 3), 512 << 20),
    "a mel of 1 GB": lambda: claiming("mel", "|u1", (80, 1 << 24), 512 << 20),
    "a shape without data": lambda: claiming("mesh", "<i2", (10**12, 478, 3), 0),
    "a negative shape": lambda: claiming("mesh", "<i2", (-1, 478, 3), 0),
    "frames beyond number": lambda: claiming("seen", "|b1", (1 << 28,), 256 << 20),
    "too few points": lambda: npz(mesh=np.zeros((FRAMES, 10, 3), np.int16)),
    "another length": lambda: npz(segmentation=np.zeros((2, 64, 64), np.uint8)),
    "a strange mel": lambda: npz(mel=np.zeros((3, 5), np.uint8)),
    "floats": lambda: npz(mesh=np.full((FRAMES, 478, 3), np.nan)),
    "objects": lambda: npz(mesh=np.array([{"a": 1}], dtype=object)),
    "no array of that name": lambda: npz().replace(b"mesh.npy", b"mush.npy"),
    "no frame": lambda: npz(seen=np.zeros(0, bool)),
    "noise": lambda: bytes(range(256)),
}
BAD_INFO = {
    "deep": b"[" * 200_000,
    "deep and closed": b'{"identity": "a", "split": "train", "quality": ' + b"[" * 900 + b"]" * 900 + b"}",
    "a list": b"[1]",
    "an identity that is a table": b'{"identity": {"a": [1]}, "split": "train"}',
    "flags of other types": b'{"identity": "a", "split": "train", "keep": "no"}',
    "a key twice": b'{"identity": "a", "split": "val", "split": "train"}',
    "a number that is none": b'{"identity": "a", "split": "train", "seconds": NaN}',
    "not text": b"\xff\xfe",
}


def refusal(folder: Path, load: Callable[[Path], object] = lambda folder: load_clips(folder, "train", 1)) -> str:
    """The line with which shards are refused, within little memory."""
    with memory_limit(512), pytest.raises(DataError) as caught:
        load(folder)
    line = str(caught.value)
    assert "\n" not in line and len(line) < 500
    return line


LOADERS: dict[str, Callable[[Path], object]] = {
    "pairs": lambda folder: load_clips(folder, "train", 1),
    "mouths": lambda folder: load_mouths(folder, "train", 2),
    "gaps": lambda folder: load_stretches(folder, "train", 1),
}


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize("case", BAD_VIDEOS)
def test_only_an_mp4_reaches_the_decoder(
    tmp_path: Path, good: Files, case: str, loader: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(cv2, "VideoCapture", lambda *given: pytest.fail("the decoder was asked"))
    assert "MP4" in refusal(shard(tmp_path / "s", changed(good, "mp4", BAD_VIDEOS[case])), LOADERS[loader])


def test_a_playlist_behind_the_mark_of_an_mp4_is_no_playlist(
    tmp_path: Path, good: Files, capfd: pytest.CaptureFixture[str]
):
    """What looks for words in a file stops at the zero that an MP4 begins with."""
    for text in (b"<MPD profiles='urn:mpeg:dash:profile:isoff-on-demand:2011'>", PLAYLIST, b"ffconcat version 1.0\n"):
        assert "no video" in refusal(shard(tmp_path / "s", changed(good, "mp4", b"\0\0\0\x18ftypisom\n" + text)))
    assert capfd.readouterr().err == "", "the decoder says nothing of its own"


def test_a_playlist_would_have_been_followed(tmp_path: Path):
    """The outside opinion: OpenCV reads another file for one with this content, whatever its name."""
    write_clip(tmp_path / "secret.mp4", 0.2, size=64)
    (tmp_path / "clip.mp4").write_bytes(b"ffconcat version 1.0\nfile secret.mp4\n")
    followed = cv2.VideoCapture(str(tmp_path / "clip.mp4"), cv2.CAP_FFMPEG).grab()
    if not followed:
        pytest.skip("this OpenCV follows none")
    assert followed


@pytest.mark.parametrize("case", BAD_PRIORS)
def test_priors_that_do_not_fit_are_refused_before_they_unpack(tmp_path: Path, good: Files, case: str):
    line = refusal(shard(tmp_path / "s", changed(good, "npz", BAD_PRIORS[case]())))
    assert "clip drawn0" in line and "priors" in line


@pytest.mark.parametrize("case", BAD_INFO)
def test_a_description_that_is_none_is_refused(tmp_path: Path, good: Files, case: str):
    assert "drawn0" in refusal(shard(tmp_path / "s", changed(good, "json", BAD_INFO[case])))


def _entry(kind: bytes, name: str = "x.mp4", size: int = 0, to: str = "") -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.size, entry.linkname = kind, size, to
    return entry


LINKS = {
    "a link": _entry(tarfile.SYMTYPE, to="/etc/passwd"),
    "a link to itself": _entry(tarfile.SYMTYPE, to="x.mp4"),
    "a hard link": _entry(tarfile.LNKTYPE, to="/etc/passwd"),
    "a pipe": _entry(tarfile.FIFOTYPE),
    "a device": _entry(tarfile.CHRTYPE),
    "a file with holes": _entry(tarfile.GNUTYPE_SPARSE),
}


@pytest.mark.parametrize("case", LINKS)
def test_links_and_devices_are_refused(tmp_path: Path, good: Files, case: str):
    assert "link or a device" in refusal(shard(tmp_path / "s", good, LINKS[case]))


def test_a_compressed_shard_is_refused_before_it_unpacks(tmp_path: Path, good: Files):
    path = shard(tmp_path / "s", good) / "train-00000.tar"
    path.write_bytes(gzip.compress(bytes(1 << 30) + path.read_bytes(), 1))
    assert "uncompressed" in refusal(tmp_path / "s")


@pytest.mark.parametrize("ending", ["mp4", "npz", "flac", "json", "txt"])
def test_a_member_larger_than_any_clip_is_not_read(
    tmp_path: Path, good: Files, ending: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(shards_module, "_MOST_BYTES", {})
    monkeypatch.setattr(shards_module, "_MOST_OTHER_BYTES", 50)
    files = {f"drawn0.{ending}": bytes(51), **{name: b"" for name in good if not name.endswith(ending)}}
    assert "at most 50 are read" in refusal(shard(tmp_path / "s", files))


@pytest.mark.parametrize(
    "size", [b"77777777777\0", b"\x80" + b"\0" * 3 + b"\xff" * 8, b"-0000000512\0", b"\xff" * 12, b"           \0"]
)
def test_a_size_that_lies_ends_in_one_line_and_soon(tmp_path: Path, good: Files, size: bytes):
    """Negative sizes have sent readers round in circles."""
    path = shard(tmp_path / "s", good) / "train-00000.tar"
    data = bytearray(path.read_bytes())
    data[124:136] = size
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data[:512])
    path.write_bytes(data)
    assert "shard" in refusal(tmp_path / "s") or "at most" in refusal(tmp_path / "s")


def test_long_names_of_both_kinds_are_read_as_tarfile_reads_them(tmp_path: Path):
    names = ["short", "x" * 99, "y" * 100, "z" * 180, "folder/" + "w" * 120, "é" * 80]
    for form in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT):
        kept = [name for name in names if form != tarfile.USTAR_FORMAT or len(name.encode()) <= 100]
        path = tmp_path / f"{form}.tar"
        with tarfile.open(path, "w", format=form) as archive:
            archive.addfile(_entry(tarfile.DIRTYPE, "folder"))
            for name in kept:
                archive.addfile(_entry(tarfile.REGTYPE, name, len(name)), io.BytesIO(b"x" * len(name)))
        with tarfile.open(path) as archive:
            theirs = {entry.name: archive.extractfile(entry).read() for entry in archive if entry.isreg()}  # type: ignore[union-attr]
        assert dict(members(path, lambda name: 1000)) == theirs
        assert list(theirs) == kept


def test_pictures_that_grow_are_refused(tmp_path: Path, good: Files):
    """A few kilobytes of flat colour may be a picture of any size."""
    write_clip(tmp_path / "large.mp4", 0.2, size=640)
    line = refusal(shard(tmp_path / "s", changed(good, "mp4", (tmp_path / "large.mp4").read_bytes())))
    assert "640x640" in line and "512" in line


def test_priors_survive_the_strict_reader(good: Files):
    data = next(data for name, data in good.items() if name.endswith("npz"))
    ours = Priors.decode(data)
    with np.load(io.BytesIO(data)) as theirs:
        np.testing.assert_array_equal(ours.seen, theirs["seen"])
        np.testing.assert_array_equal(np.rint(ours.mesh * 1024), np.cumsum(theirs["mesh"], 0, dtype=np.int16))
        assert ours.mel is not None
        np.testing.assert_array_equal(np.rint(ours.mel * 255), theirs["mel"])


def test_a_shard_that_is_no_file_is_refused(tmp_path: Path):
    """Reading from a pipe would wait for ever."""
    os.mkfifo(tmp_path / "train-00000.tar")
    assert "not a file" in refusal(tmp_path)
    with pytest.raises(DataError):
        list(read(tmp_path))


# --- data sets


def _manifest(folder: Path, name: str) -> Path:
    (folder / "clips").mkdir(parents=True)
    with (folder / "manifest.csv").open("w", newline="") as table:
        csv.writer(table).writerows([["id", "identity", "split"], [name, "a", "train"]])
    return folder


@pytest.mark.parametrize("name", ["../../secret", "..", "/etc/passwd", "a/b", "a\\b"])
def test_a_manifest_cannot_lead_out_of_its_data_set(tmp_path: Path, name: str):
    (tmp_path / "secret.mp4").write_bytes(b"private")
    data = _manifest(tmp_path / "data", name)
    for find in (find_clips, lambda folder: clips_to_measure(folder, "train")):
        with pytest.raises(DataError, match="is no id"):
            if name == ".." and find is not find_clips:
                raise DataError("'..' is no id")  # `clips/...mp4` is in the folder, whatever it is
            find(data)


@pytest.mark.parametrize("layout", ["manifest", "folder"])
def test_links_out_of_a_data_set_are_followed_only_when_asked(
    tmp_path: Path, layout: str, capfd: pytest.CaptureFixture[str]
):
    write_clip(tmp_path / "elsewhere.mp4", 0.2, size=64)
    data = _manifest(tmp_path / "data", "a") if layout == "manifest" else tmp_path / "data"
    clips = data / "clips"
    clips.mkdir(parents=True, exist_ok=True)
    (clips / "a.mp4").symlink_to(tmp_path / "elsewhere.mp4")
    assert run(["prepare", data, "-o", tmp_path / "shards"]) == 1
    line = capfd.readouterr().err
    assert "a.mp4" in line and "--follow-links" in line and len(line.splitlines()) == 1
    assert not (tmp_path / "shards").exists()
    assert len(find_clips(data, follow_links=True).clips) == 1
    (clips / "a.mp4").unlink()
    write_clip(clips / "b.mp4", 0.2, size=64)
    (clips / "a.mp4").symlink_to("b.mp4")
    assert find_clips(data).clips, "a link inside of the data set leads nowhere else"


def test_large_pictures_come_from_containers_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cv2, "VideoCapture", lambda *given: pytest.fail("the decoder was asked"))
    (tmp_path / "a.mp4").write_bytes(PLAYLIST)
    with pytest.raises(DataError, match="512x512"):
        load_large(tmp_path, "train", 1)


def test_a_description_as_prepare_writes_it_is_read(tmp_path: Path, good: Files):
    info = {"identity": "a", "split": "train", "keep": True, "sound_is_speech": None, "quality": None, "later": [1]}
    clips = load_clips(shard(tmp_path / "s", changed(good, "json", json.dumps(info).encode())), "train", 1)
    assert len(clips) == 1 and clips[0].identity == "a"
