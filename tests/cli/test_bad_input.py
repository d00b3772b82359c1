"""Bad input: every verb says what is wrong in one line, writes nothing, and does so soon."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from made import bad_inputs, good_inputs, run

SECONDS = 60  # nothing hangs; a busy machine may still take its time

REENACT = "reenact {source} {driving} -o {out}/out.mp4 --model {model}"
GOOD = {"source": "portrait.png", "driving": "driving.mp4", "model": "tiny.safetensors"}

#: Which file is bad, and what the message must name.
BAD_SOURCES = {
    "missing.png": "missing.png",
    "folder.mp4": "folder.mp4",
    "empty.mp4": "empty.mp4",
    "text.mp4": "text.mp4",
    "voice.wav": "voice.wav",
    "noface.png": "face",
    "one.png": "one.png",
    "huge.png": "huge.png",
    "corrupt.png": "corrupt.png",
    "corrupt.jpg": "corrupt.jpg",
    "cut10.mp4": "cut10.mp4",
    "cut50.mp4": "cut50.mp4",
    "cut90.mp4": "cut90.mp4",
}
BAD_DRIVINGS = {name: named for name, named in BAD_SOURCES.items() if name.endswith((".mp4", ".wav"))}
BAD_WEIGHTS = {
    "missing.safetensors": "missing.safetensors",
    "folder.mp4": "folder",
    "empty.mp4": "empty.mp4",
    "no-such-name": "no-such-name",
    "cut.safetensors": "cut.safetensors",
    "pickle.safetensors": "pickle",
    "family.safetensors": "nobody",
    "more.safetensors": "extra.weight",
    "fewer.safetensors": "fewer.safetensors",
    "config.safetensors": "widdths",
}

EDIT = "edit {source} -o {out}/out.png --model {model} --edit "
KEYPOINTS = "keypoints.safetensors"

TALK = "talk {source} voice.wav -o {out}/out.mp4 --model {model}"
DUB = "dub {driving} voice.wav -o {out}/out.mp4 --model {model}"
SPEECHES = ("missing.wav", "folder.mp4", "empty.mp4", "text.mp4", "portrait.png", "noface.png", "cut10.mp4")

SEI = "sei write {driving} -o {out}/out.mp4 --model {model}"

NOT_PUBLISHED = ("missing.pth", "folder.mp4", "empty.mp4", "code.pth", "text.mp4", "tiny.safetensors")

CASES = [
    *((REENACT.format(**{**GOOD, "source": name}, out="{out}"), named) for name, named in BAD_SOURCES.items()),
    *((REENACT.format(**{**GOOD, "driving": name}, out="{out}"), named) for name, named in BAD_DRIVINGS.items()),
    *((REENACT.format(**{**GOOD, "model": name}, out="{out}"), named) for name, named in BAD_WEIGHTS.items()),
    (REENACT.format(**GOOD, out="{out}") + " --audio missing.wav", "missing.wav"),
    (REENACT.format(**GOOD, out="{out}") + " --audio portrait.png", "portrait.png"),
    (REENACT.format(**GOOD, out="{out}") + " --device cuda", "cuda"),
    (REENACT.format(**GOOD, out="{out}/none"), "none"),
    ("reenact portrait.png driving.mp4 -o driving.mp4 --force --model tiny.safetensors", "driving.mp4"),
    ("reenact portrait.png driving.mp4 -o voice.wav --model tiny.safetensors", "voice.wav"),
    *((TALK.format(**{**GOOD, "source": name}, out="{out}"), named) for name, named in BAD_SOURCES.items()),
    *((TALK.format(**{**GOOD, "model": name}, out="{out}"), named) for name, named in BAD_WEIGHTS.items()),
    *((f"talk portrait.png {name} -o {{out}}/out.mp4 --model tiny.safetensors", name) for name in SPEECHES),
    *((TALK.format(**GOOD, out="{out}") + f" --head {name}", named) for name, named in BAD_DRIVINGS.items()),
    *(
        (TALK.format(**GOOD, out="{out}") + told, named)
        for told, named in (
            (" --face 3", "number 3"),
            (" --amount nose=1", "nose"),
            (" --amount lips=9", "0 to 3"),
            (" --expression portrait.png", "still picture"),
            (" --device cuda", "cuda"),
        )
    ),
    (TALK.format(**{**GOOD, "model": KEYPOINTS}, out="{out}"), "cannot be driven by a face mesh"),
    ("talk portrait.png voice.wav -o voice.wav --force --model tiny.safetensors", "voice.wav"),
    *((DUB.format(**{**GOOD, "driving": name}, out="{out}"), named) for name, named in BAD_DRIVINGS.items()),
    *((f"dub driving.mp4 {name} -o {{out}}/out.mp4 --model tiny.safetensors", name) for name in SPEECHES),
    (DUB.format(**{**GOOD, "driving": "portrait.png"}, out="{out}"), "portrait.png"),
    (DUB.format(**{**GOOD, "model": KEYPOINTS}, out="{out}"), "cannot be driven by a face mesh"),
    (DUB.format(**GOOD, out="{out}") + " --face 3", "number 3"),
    ("dub driving.mp4 voice.wav -o driving.mp4 --force --model tiny.safetensors", "driving.mp4"),
    (REENACT.format(**{**GOOD, "model": KEYPOINTS}, out="{out}") + " --audio voice.wav", "cannot be driven by a face"),
    *((EDIT.format(**{**GOOD, "source": name}, out="{out}") + "yaw=10", named) for name, named in BAD_SOURCES.items()),
    *((EDIT.format(**{**GOOD, "model": name}, out="{out}") + "yaw=10", named) for name, named in BAD_WEIGHTS.items()),
    *(
        (EDIT.format(**GOOD, out="{out}") + wrong, named)
        for wrong, named in (
            ("nose=1", "nose"),
            ("yaw=90", "-45 to 45"),
            ("yaw=-45..90", "-45 to 45"),
            ("mouth=2", "-1 to 1"),
            ("yaw=much", "number"),
            ("yaw=1..", "number"),
            (",", "nothing to change"),
            ("yaw=10 --face 3", "number 3"),
            ("yaw=10 --device cuda", "cuda"),
        )
    ),
    (EDIT.format(**{**GOOD, "model": KEYPOINTS}, out="{out}") + "yaw=10", "a model whose motion has a mesh"),
    (f"edit portrait.png -o {{out}}/out.mp4 --model {KEYPOINTS} --edit mouth=0..1", "a model whose motion has a mesh"),
    *(
        (f"edit portrait.png -o {{out}}/{name} --edit yaw=10", name)
        for name in ("out.wav", "out", "out.bmp", "no/out.png")
    ),
    ("edit portrait.png -o portrait.png --force --edit yaw=10 --model tiny.safetensors", "portrait.png"),
    ("edit portrait.png -o corrupt.png --edit yaw=10 --model tiny.safetensors", "--force"),
    *((f"inspect {name}", named) for name, named in BAD_WEIGHTS.items()),
    *((f"bench --frames 5 --model {name}", named) for name, named in BAD_WEIGHTS.items()),
    *(
        (f"weights convert {name} -o {{out}}/w.safetensors", name)
        for name in ("missing.pth", "folder.mp4", "empty.mp4")
    ),
    *(
        (f"weights convert {name} -o {{out}}/w.safetensors", name)
        for name in ("code.pth", "text.mp4", "tiny.safetensors")
    ),
    ("weights convert code.pth -o {out}/w.safetensors --family headgan", "headgan"),
    ("weights convert code.pth -o tiny.safetensors", "tiny.safetensors"),
    *((f"prepare {name} -o {{out}}/shards", name) for name in ("missing", "text.mp4", "folder.mp4")),
    ("prepare . -o folder.mp4", "folder.mp4"),
    *((f"train {name} --data . --out {{out}}/run", name) for name in ("missing.toml", "folder.mp4", "broken.toml")),
    ("train unknown.toml --data . --out {out}/run", "stepz"),
    *((SEI.format(**{**GOOD, "driving": name}, out="{out}"), named) for name, named in BAD_DRIVINGS.items()),
    *((SEI.format(**{**GOOD, "model": name}, out="{out}"), named) for name, named in BAD_WEIGHTS.items()),
    (SEI.format(**{**GOOD, "driving": "portrait.png"}, out="{out}"), "portrait.png"),
    ("sei write driving.mp4 -o {out}/out.webm --model tiny.safetensors", "out.webm"),
    ("sei write driving.mp4 -o driving.mp4 --force --model tiny.safetensors", "driving.mp4"),
    *((f"sei read {name}", name) for name in ("missing.mp4", "folder.mp4", "empty.mp4", "text.mp4", "portrait.png")),
    ("evaluate --data missing --split val --model copy", "missing"),
    ("evaluate --data text.mp4 --split val --model copy", "text.mp4"),
]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of good and bad inputs."""
    folder = tmp_path_factory.mktemp("inputs")
    good_inputs(folder)
    bad_inputs(folder)
    return folder


@pytest.mark.parametrize(("command", "named"), CASES, ids=[command.replace("{out}", "OUT") for command, _ in CASES])
def test_it_is_refused_in_one_line(
    command: str,
    named: str,
    inputs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
):
    if "cuda" in command:
        monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.chdir(inputs)
    before = {name: os.stat(name).st_mtime_ns for name in os.listdir(inputs)}
    began = time.perf_counter()
    status = run(command.format(out=tmp_path).split())
    assert time.perf_counter() - began < SECONDS
    printed = capfd.readouterr()
    assert status in (1, 2), printed
    assert printed.out == ""
    assert len(printed.err.splitlines()) == 1, printed.err
    assert printed.err.startswith("error: ")
    assert named in printed.err
    assert os.listdir(tmp_path) == []
    assert {name: os.stat(name).st_mtime_ns for name in os.listdir(inputs)} == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_to_is_refused(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(inputs)
    tmp_path.chmod(0o500)
    try:
        assert run(REENACT.format(**GOOD, out=tmp_path).split()) == 1
    finally:
        tmp_path.chmod(0o700)
    assert len(capfd.readouterr().err.splitlines()) == 1
