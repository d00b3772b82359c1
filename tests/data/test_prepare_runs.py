"""Runs that are disturbed: killed, out of disk, with a worker that dies, on a cluster."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from made import run
from made_shards import contents
from visavis.core.errors import OutputError
from visavis.data.prepare import clip as clip_module
from visavis.data.prepare.clip import Failure, Fate
from visavis.data.prepare.parts import Parts
from visavis.data.prepare.run import PrepareOptions, prepare
from visavis.data.prepare.spread import in_processes
from visavis.data.shards import ClipRecord, ShardWriter
from visavis.data.sources import ClipTask

SMALL_SHARD = 300_000


@pytest.fixture(scope="module")
def many(videos: Path) -> Path:
    """Twelve clips of the four people, to be interrupted at."""
    folder = videos.parent / "many"
    for path in videos.glob("*.mp4"):
        (folder / path.stem).mkdir(parents=True)
        for copy in range(3):
            (folder / path.stem / f"{copy}.mp4").write_bytes(path.read_bytes())
    return folder


@pytest.fixture(scope="module")
def undisturbed(many: Path) -> dict[str, dict[str, bytes]]:
    output = many.parent / "undisturbed"
    prepare(many, output, PrepareOptions(shard_bytes=SMALL_SHARD))
    return contents(output)


def stopped_after_one_more(many: Path, output: Path, how: signal.Signals) -> subprocess.Popen[str]:
    """Start the command, and send it a signal as soon as it has done one clip more."""
    parts = output.parent / f".{output.name}.parts"
    before = len(list(parts.rglob("*.tar")))
    command = [sys.executable, "-m", "visavis.cli.main", "prepare", str(many), "-o", str(output), "--workers", "2"]
    process = subprocess.Popen([*command, "--shard-mb", "0.3"], stderr=subprocess.PIPE, text=True)
    while len(list(parts.rglob("*.tar"))) == before:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(how)
    return process


def test_a_run_goes_on_after_ctrl_c_and_after_kill_9(
    many: Path, undisturbed: dict[str, dict[str, bytes]], tmp_path: Path
):
    output = tmp_path / "out"
    stopped = stopped_after_one_more(many, output, signal.SIGINT)
    said = stopped.communicate(timeout=300)[1]
    assert (stopped.returncode, len(said.splitlines())) == (130, 1), said
    assert not output.exists()
    killed = stopped_after_one_more(many, output, signal.SIGKILL)
    killed.communicate(timeout=300)
    assert killed.returncode == -signal.SIGKILL
    assert not output.exists()
    done = len(list((tmp_path / ".out.parts" / "clips").rglob("*.tar")))
    assert 2 <= done < 12
    report = prepare(many, output, PrepareOptions(shard_bytes=SMALL_SHARD))
    assert (report.clips, report.skipped, report.failed) == (12, done, {})
    assert contents(output) == undisturbed
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_run_goes_on_in_the_middle_of_putting_shards_together(
    many: Path, undisturbed: dict[str, dict[str, bytes]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    add, added = ShardWriter.add, []

    def interrupted(shards: ShardWriter, clip: ClipRecord) -> None:
        add(shards, clip)
        added.append(clip.name)
        if len(added) == 7:
            raise KeyboardInterrupt

    options = PrepareOptions(shard_bytes=SMALL_SHARD)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(ShardWriter, "add", interrupted)
        prepare(many, tmp_path / "out", options)
    report = prepare(many, tmp_path / "out", options)
    assert (report.clips, report.skipped) == (12, 12)
    assert contents(tmp_path / "out") == undisturbed


def test_a_run_goes_on_between_taking_the_old_shards_away_and_naming_the_new(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    output = tmp_path / "out"
    prepare(videos, output, PrepareOptions(limit=1))
    rename, calls = Path.rename, []

    def interrupted(path: Path, target: Path) -> Path:
        calls.append(path.name)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return rename(path, target)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "rename", interrupted)
        prepare(videos, output, PrepareOptions(force=True))
    assert calls == ["out", "shards"]
    report = prepare(videos, output)
    assert (report.clips, report.skipped) == (4, 4)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_process_that_dies_costs_its_clip_alone(tmp_path: Path, videos: Path):
    tasks = [ClipTask(name, videos / f"{name}.mp4", name, "train") for name in "abc"]
    with closing(in_processes(tasks, 1, tmp_path)) as outcomes:
        first = next(outcomes)
        os.kill(int(first.worker.split(":")[1]), signal.SIGKILL)
        others = list(outcomes)
    failed = [outcome.result for outcome in others if isinstance(outcome.result, Failure)]
    assert [failure.clip for failure in failed] == ["b"]
    assert "Killed" in failed[0].reason
    assert failed[0].fate is Fate.RETRY
    assert [outcome.result.name for outcome in others if isinstance(outcome.result, ClipRecord)] == ["c"]


def test_a_clip_that_failed_by_no_fault_of_its_own_is_tried_again(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    prepare_clip, tried = clip_module.prepare_clip, []

    def unlucky(task: ClipTask, scratch: Path | None) -> ClipRecord:
        tried.append(task.name)
        if task.name == "g" or tried == ["a"]:
            raise RuntimeError("the graph could not be started")
        return prepare_clip(task, scratch)

    monkeypatch.setattr(clip_module, "prepare_clip", unlucky)
    report = prepare(videos, tmp_path / "out")
    assert tried == ["a", "b", "c", "g", "a", "g"]
    assert (report.clips, list(report.failed)) == (3, ["g"])
    assert "the graph could not be started" in report.failed["g"]


def test_processes_that_take_over_from_others_are_not_counted_as_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("visavis.data.prepare.spread._CLIPS_A_PROCESS", 1)
    tasks = [ClipTask(name, tmp_path / f"{name}.mp4", "p", "train") for name in "abcd"]
    outcomes = list(in_processes(tasks, 2, tmp_path))
    assert len(outcomes) == 4
    assert len({outcome.worker for outcome in outcomes}) == 4
    assert 1 <= len({outcome.seat for outcome in outcomes}) <= 2


def test_a_clip_that_takes_too_long_is_given_up(tmp_path: Path):
    """Reading from a pipe that nobody writes to waits for ever."""
    os.mkfifo(tmp_path / "pipe.mp4")
    (outcome,) = in_processes([ClipTask("pipe", tmp_path / "pipe.mp4", "p", "train")], 1, tmp_path, limit_s=0.5)
    assert isinstance(outcome.result, Failure)
    assert "given up" in outcome.result.reason


def test_a_full_disk_is_one_line_and_what_is_done_is_kept(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    keep, calls = Parts.add, []

    def full(parts: Parts, clip: ClipRecord) -> None:
        calls.append(clip.name)
        if len(calls) > 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        keep(parts, clip)

    with monkeypatch.context() as patch:
        patch.setattr(Parts, "add", full)
        with pytest.raises(OutputError, match="the disk is full"):
            prepare(videos, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert prepare(videos, tmp_path / "out").skipped == 2


def test_a_full_disk_of_a_worker_stops_the_run(videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(task: ClipTask, scratch: Path | None) -> ClipRecord:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(clip_module, "prepare_clip", full)
    with pytest.raises(OutputError, match="No space left"):
        prepare(videos, tmp_path / "out")


def test_parts_of_another_data_set_are_not_mixed_in(videos: Path, many: Path, tmp_path: Path):
    output = tmp_path / "out"
    with Parts(output, {"dataset": str(many)}) as parts:
        parts.fail(Failure("a", "not a video"))
        with pytest.raises(OutputError, match="another run"):
            prepare(videos, output)
    with pytest.raises(OutputError, match="unfinished run of"):
        prepare(videos, output)
    assert prepare(videos, output, PrepareOptions(force=True)).clips == 4


def test_a_video_that_changed_is_prepared_again(videos: Path, tmp_path: Path):
    (tmp_path / "in").mkdir()
    video = tmp_path / "in" / "a.mp4"
    video.write_text("not a video")
    wanted = {"dataset": "x"}
    task = ClipTask("a", video, "a", "train")
    with Parts(tmp_path / "out", wanted) as parts:
        parts.fail(Failure("a", "not a video"))
        assert parts.failure(task) == Failure("a", "not a video")
        video.write_bytes((videos / "a.mp4").read_bytes())
        os.utime(video, (time.time() + 10, time.time() + 10))
        assert parts.failure(task) is None


@pytest.mark.slow
def test_two_nodes_of_a_ray_cluster_share_the_clips(
    many: Path, undisturbed: dict[str, dict[str, bytes]], tmp_path: Path
):
    """A cluster of two nodes with one processor each; another process joins it by its address."""
    pytest.importorskip("ray")
    script = tmp_path / "cluster.py"
    script.write_text(CLUSTER)
    done = subprocess.run(
        [sys.executable, script, many, tmp_path / "out"], capture_output=True, text=True, timeout=400, check=False
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert (said["clips"], said["failed"], said["workers"]) == (12, [], 2)
    assert contents(tmp_path / "out") == undisturbed


CLUSTER = """
import subprocess, sys
from ray.cluster_utils import Cluster

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
cluster.add_node(num_cpus=1)
try:
    command = [sys.executable, "-m", "visavis.cli.main", "prepare", sys.argv[1], "-o", sys.argv[2]]
    command += ["--ray", cluster.address, "--shard-mb", "0.3", "--json"]
    sys.exit(subprocess.run(command).returncode)
finally:
    cluster.shutdown()
"""


@pytest.mark.slow
def test_a_cluster_of_ones_own_is_started_on_request(videos: Path, tmp_path: Path):
    pytest.importorskip("ray")
    report = prepare(videos, tmp_path / "out", PrepareOptions(workers=2, ray="local", limit=2))
    assert (report.clips, report.failed) == (2, {})


@pytest.mark.parametrize("address", ["nonsense address", "127.0.0.1:1", "ray://127.0.0.1:1", "127.0.0.1:99999"])
def test_a_cluster_that_is_not_there_is_one_line(
    videos: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], address: str
):
    assert run(["prepare", videos, "-o", tmp_path / "out", "--ray", address]) == 1
    said = capfd.readouterr().err
    assert len(said.splitlines()) == 1
    assert address in said
    assert not list(tmp_path.iterdir())
