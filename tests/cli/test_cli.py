"""The command line: what it prints, what it leaves behind, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import visavis
from made import FRAMES, good_inputs, run, tiny_weights
from made_speaker import LoudSpeaker
from visavis.media.reader import VideoReader

VERBS = (
    "reenact",
    "talk",
    "dub",
    "edit",
    "encode",
    "decode",
    "rate",
    "prepare",
    "train",
    "evaluate",
    "inspect",
    "bench",
    "doctor",
    "weights",
    "study",
    "sei",
)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of good inputs."""
    folder = tmp_path_factory.mktemp("inputs")
    good_inputs(folder)
    return folder


def one_object(printed: str) -> dict[str, Any]:
    """The one JSON object that stdout must be."""
    values = json.loads(printed)
    assert isinstance(values, dict)
    return values


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb: str, capsys: pytest.CaptureFixture[str]):
    assert run([verb, "--help"]) == 0
    assert verb in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["reenact"], "source"),
        (["reenact", "a", "b", "-o", "c", "--motion", "sideways"], "--motion"),
        (["reenact", "a", "b", "-o", "c", "--face", "nine"], "--face"),
        (["reenact", "a", "b", "-o", "c", "--no-such\noption"], "--no-such"),
        (["reenact", "a", "b", "c", "-o", "d"], "c"),
        (["edit", "a.png", "-o", "b.png"], "--edit"),
        (["edit", "a.png", "-o", "b.png", "--edit", "yaw=1", "--steps", "1"], "--steps"),
        (["edit", "a.png", "b.png", "-o", "c.png", "--edit", "yaw=1"], "b.png"),
        (["no-such-verb"], "no-such-verb"),
        (["weights", "bend"], "bend"),
        (["study", "tabulate"], "answers"),
        (["sei", "write"], "video"),
    ],
)
def test_wrong_use_exits_with_2_and_one_line(arguments: list[str], names: str, capsys: pytest.CaptureFixture[str]):
    assert run(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("usage: ") and printed.err.count("\n") == 1
    assert names in printed.err


@pytest.mark.parametrize("arguments", [[], ["weights"], ["study"], ["sei"]])
def test_nothing_asked_for_is_answered_with_help(arguments: list[str], capsys: pytest.CaptureFixture[str]):
    assert run(arguments) == 2
    printed = capsys.readouterr()
    assert "Commands" in printed.out
    assert printed.err == ""


def test_reenact_prints_one_object_and_carries_every_frame(
    inputs: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    out = tmp_path / "out.mp4"
    weights = inputs / "tiny.safetensors"
    status = run(["reenact", inputs / "portrait.png", inputs / "driving.mp4", "-o", out, "--model", weights, "--json"])
    printed = capfd.readouterr()
    assert (status, printed.err) == (0, "")
    report = one_object(printed.out)
    assert report["frames"] == FRAMES
    assert set(report) >= {"fps", "seconds", "width", "height", "model", "device", "precision", "peak_rss_mb"}
    assert set(report) >= {"frames_without_face", "ms_per_frame"}
    assert set(report["ms_per_frame"]) >= {"analyse", "motion", "render", "total"}
    with VideoReader(out) as reader:
        assert sum(1 for _ in reader) == FRAMES
        assert reader.info.has_sound
    assert os.listdir(tmp_path) == ["out.mp4"]


def test_edit_prints_one_object_and_says_how_far_a_head_turns(
    inputs: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    command = ["edit", inputs / "portrait.png", "--model", inputs / "tiny.safetensors", "--threads", "1"]
    assert run([*command, "-o", tmp_path / "a.png", "--edit", "yaw=-45..45,mouth=0.4", "--steps", "3", "--json"]) == 0
    printed = capfd.readouterr()
    report = one_object(printed.out)
    assert printed.err == ""
    assert (report["frames"], report["fps"], report["seconds"]) == (3, None, None)
    assert report["edits"] == {"yaw": [-45, 45], "mouth": 0.4}
    assert set(report) >= {"width", "height", "turned", "model", "device", "precision", "ms_per_frame", "peak_rss_mb"}
    assert run([*command, "-o", tmp_path / "a.gif", "--edit", "pitch=8", "--seconds", "0.2"]) == 0
    assert "5 pictures, 0.20 s" in capfd.readouterr().out
    assert run([*command, "-o", tmp_path / "b.png", "--edit", "yaw=45"]) == 0
    assert "as far as one picture can show" in capfd.readouterr().out
    assert sorted(os.listdir(tmp_path)) == ["a.gif", "a.png", "b.png"]


def test_an_existing_result_is_replaced_only_with_force(
    inputs: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    out = tmp_path / "out.mp4"
    out.write_text("mine")
    weights = inputs / "tiny.safetensors"
    command = ["reenact", inputs / "portrait.png", inputs / "driving.mp4", "-o", out, "--model", weights]
    assert run(command) == 1
    assert out.read_text() == "mine"
    assert "--force" in capfd.readouterr().err
    assert run([*command, "--force"]) == 0
    assert out.stat().st_size > 1000


def test_inspect_tells_shape_and_cost(inputs: Path, capfd: pytest.CaptureFixture[str]):
    assert run(["inspect", inputs / "tiny.safetensors", "--json"]) == 0
    found = one_object(capfd.readouterr().out)
    assert found["family"] == "avfr"
    assert found["meta"] == {"licence": "test"}
    assert found["licence"] == "test"
    assert found["config"]["widths"] == [4, 6, 8]
    assert len(str(found["sha256"])) == 64
    assert run(["inspect", inputs / "tiny.safetensors"]) == 0
    printed = capfd.readouterr().out
    for told in ("decoder", "licence: test", f"sha256: {found['sha256']}", "keypoints=3"):
        assert told in printed


@pytest.mark.parametrize(
    ("name", "parameters", "gmac"),
    [
        ("between-256", 240_989, 0.71),
        ("enlarge-2x", 24_108, 1.63),
        ("face-128", 924_426, 0.075),
        ("sync-96", 1_073_645, 0.032),
    ],
)
def test_inspect_knows_every_packaged_network(
    name: str, parameters: int, gmac: float, capfd: pytest.CaptureFixture[str]
):
    """The figures are those of the models' cards."""
    assert run(["inspect", name, "--json"]) == 0
    found = one_object(capfd.readouterr().out)
    assert found["parameters"]["total"] == parameters
    assert next(iter(found["gmac"].values()))["total"] == pytest.approx(gmac, rel=0.01)
    assert run(["inspect", name]) == 0
    assert "GMAC per" in capfd.readouterr().out


def test_the_doctor_tells_every_check(capfd: pytest.CaptureFixture[str]):
    assert run(["doctor", "--json"]) == 0
    report = one_object(capfd.readouterr().out)
    assert report["ok"] is True
    assert {check["name"] for check in report["checks"]} >= {"python", "torch", "mediapipe", "weights", "reenact"}
    assert all(check.keys() == {"name", "ok", "detail"} and check["ok"] for check in report["checks"])


def test_the_doctor_tells_what_is_broken(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]):
    def broken() -> str:
        raise OSError("the disk\nis gone")

    monkeypatch.setattr("visavis.cli.doctor._STAGES", {"reenact": broken})
    assert run(["doctor", "--json"]) == 1
    printed = capfd.readouterr()
    report = one_object(printed.out)
    assert report["ok"] is False
    assert report["checks"][-1] == {"name": "reenact", "ok": False, "detail": "OSError: the disk is gone"}
    assert "reenact" in printed.err and printed.err.count("\n") == 1


def test_bench_tells_every_stage(inputs: Path, capfd: pytest.CaptureFixture[str]):
    assert run(["bench", "--model", inputs / "tiny.safetensors", "--frames", 5, "--json"]) == 0
    printed = capfd.readouterr()
    report = one_object(printed.out)
    assert set(report["ms_per_frame"]) == {"analyse", "motion", "render", "encode", "total"}
    assert report["plain_eager_render_ms"] > 0
    assert printed.err == ""


def test_weights_are_listed_and_verified(capfd: pytest.CaptureFixture[str]):
    assert run(["weights", "list", "--json"]) == 0
    one_object(capfd.readouterr().out)
    assert run(["weights", "verify", "--json"]) == 0
    one_object(capfd.readouterr().out)


@pytest.mark.parametrize("verb", ["reenact", "talk", "dub"])
def test_nothing_is_left_of_a_verb_that_fails_while_it_writes(
    verb: str, inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    """Ctrl-C in the middle: the second frame never comes."""
    asked = []

    def interrupted(*arguments: object) -> None:
        asked.append(arguments)
        if len(asked) == 2:
            raise KeyboardInterrupt

    for home in ("talk", "dub"):
        monkeypatch.setattr(f"visavis.pipelines.{home}.load_speaker", lambda _: LoudSpeaker())
    monkeypatch.setattr("visavis.media.writer.VideoWriter.write", interrupted)
    weights = tiny_weights(tmp_path.parent / f"{tmp_path.name}.safetensors")
    sources = {"reenact": ["portrait.png", "driving.mp4"], "talk": ["portrait.png", "voice.wav"]}
    words = [inputs / name for name in sources.get(verb, ["driving.mp4", "voice.wav"])]
    assert run([verb, *words, "-o", tmp_path / "out.mp4", "--model", weights]) == 130
    assert capfd.readouterr().err.splitlines()[-1] == "interrupted; nothing was written"
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)], ids=["INT", "TERM", "HUP"]
)
def test_a_run_that_is_stopped_leaves_nothing_behind(sent: signal.Signals, status: int, inputs: Path, tmp_path: Path):
    """In the middle of writing, by Ctrl-C, a process manager or a closing terminal: an empty folder."""
    from visavis.drawn.synthetic import write_clip

    long = inputs / "long.mp4"
    write_clip(long, 6.0, seed=1, size=128)
    weights = tiny_weights(tmp_path.parent / f"{tmp_path.name}.safetensors")
    command = ["reenact", inputs / "portrait.png", long, "-o", tmp_path / "out.mp4", "--model", weights]
    with subprocess.Popen(
        [sys.executable, "-m", "visavis.cli.main", *map(str, command)], stderr=subprocess.PIPE, text=True
    ) as process:
        deadline = time.monotonic() + 300
        while not os.listdir(tmp_path) and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(sent)
        if sent != signal.SIGINT:
            process.send_signal(sent)  # asked again, it still cleans up
        _, said = process.communicate(timeout=30)
    assert process.returncode == status, said
    assert os.listdir(tmp_path) == []
    # MediaPipe's native threads may have a word of their own when they are stopped at their start.
    ours = [line for line in said.splitlines() if not line.startswith(("W0000", "I0000"))]
    assert ours == ["interrupted; nothing was written"]


def test_a_library_that_the_system_lacks_is_named_with_its_package(tmp_path: Path):
    """As on a bare server: OpenCV cannot be loaded. Every verb says so in one line, and so does the doctor."""
    (tmp_path / "cv2.py").write_text(
        "raise ImportError('libGL.so.1: cannot open shared object file: No such file or directory')"
    )
    source = str(Path(visavis.__file__).parents[1])
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), source])}
    command = [sys.executable, "-m", "visavis.cli.main"]
    arguments = ["reenact", str(tmp_path / "cv2.py"), str(tmp_path / "cv2.py"), "-o", str(tmp_path / "a.mp4")]
    for verb, out in ((arguments, "stderr"), (["doctor"], "stdout")):
        done = subprocess.run([*command, *verb], env=env, capture_output=True, text=True, timeout=120)
        assert done.returncode == 1
        assert done.stderr.count("\n") == 1 and "Traceback" not in done.stderr
        assert "libGL.so.1" in getattr(done, out) and "apt-get install libgl1 " in getattr(done, out)


def test_a_run_within_a_program_leaves_its_signals_as_they_were():
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)]
    assert run(["weights", "list", "--json"]) == 0
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)] == before


def test_preparation_that_is_asked_to_end_says_by_whom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    monkeypatch.setattr("visavis.data.prepare.run.prepare", lambda *_, **__: os.kill(os.getpid(), signal.SIGTERM))
    assert run(["prepare", tmp_path, "-o", tmp_path / "shards"]) == 128 + signal.SIGTERM
    assert capfd.readouterr().err == "interrupted; clips that are done are kept, run again to go on\n"
