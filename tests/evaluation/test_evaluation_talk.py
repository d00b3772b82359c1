"""Talking is measured with the head taken away, beside a mouth that rests and another sentence."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from made import run, tiny_mesh, tiny_weights
from made_speaker import LoudSpeaker
from visavis.core.errors import DataError
from visavis.drawn.synthetic import write_clip
from visavis.evaluation.talk import OTHER, REAL, STILL, evaluate_talk, table, told
from visavis.evaluation.talk_motion import HeadMotion, mouth_apart
from visavis.face.mesh import LIPS_INNER


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two clips of one drawn person, one of them too short, and a third whose sound is another's."""
    folder = tmp_path_factory.mktemp("talk")
    (folder / "clips").mkdir()
    write_clip(folder / "clips" / "a.mp4", 4.3, seed=1, size=256)
    write_clip(folder / "clips" / "b.mp4", 1.0, seed=1, size=256)
    shutil.copy(folder / "clips" / "a.mp4", folder / "clips" / "c.mp4")
    rows = ["id,identity,split,av_sync", "a,one,val,likely", "b,one,val,likely", "c,two,val,unlikely"]
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
    tiny_weights(folder / "tiny.safetensors")
    return folder


def test_every_row_is_measured_and_what_is_left_out_is_told(
    dataset: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    monkeypatch.setattr("visavis.evaluation.talk.load_speaker", lambda _: LoudSpeaker())
    model = f"tiny={dataset / 'tiny.safetensors'}"
    assert run(["evaluate", "--data", dataset, "--protocol", "talk", "--model", model, "--json"]) == 0
    report = json.loads(capfd.readouterr().out)
    rows = {row["model"]: row for row in report["rows"]}
    assert set(rows) == {"tiny", STILL, OTHER, REAL, "mean person's head"}
    assert (report["clips"], report["frames"]) == (1, 33) and list(report["failed"]) == ["b"]
    assert all(rows[name]["lmd_mouth_motion"] > 0 for name in ("tiny", STILL, OTHER))
    assert rows["mean person's head"]["head_amplitude"] == pytest.approx(1), "of one person"
    assert 0 < rows["tiny"]["head_speed"] < 10
    assert rows[REAL]["lmd_mouth"] is None and rows[REAL]["vsync_at_zero"] is not None
    assert "| tiny |" in table(report) and any("shorter than 4.2 s" in line for line in told(report))


def test_what_cannot_talk_is_refused(dataset: Path):
    with pytest.raises(DataError, match="built in"):
        evaluate_talk(dataset, "val", ["copy"], speaker=LoudSpeaker())
    with pytest.raises(DataError, match="none of"):
        evaluate_talk(dataset, "val", [str(dataset / "tiny.safetensors")], limit=0, speaker=LoudSpeaker())


def test_a_mouth_is_compared_without_pose_and_size():
    mesh = tiny_mesh()
    turn = cv2.Rodrigues(np.array([0.1, 0.3, -0.2]))[0].astype(np.float32)
    moved = (0.7 * mesh @ turn.T + np.array([0.1, -0.2, 0.3], np.float32)).astype(np.float32)
    assert mouth_apart([(moved, mesh)], mesh) == pytest.approx(0, abs=1e-3)
    opened = mesh.copy()
    opened[list(LIPS_INNER), 1] += 0.1
    assert mouth_apart([(opened, moved)], mesh) == pytest.approx(0.5 * 12.8, rel=0.05), "half of the points by 12.8"
    assert mouth_apart([], mesh) is None


def test_heads_are_compared_by_how_far_and_how_fast_they_turn():
    cameras = np.zeros((100, 6), np.float32)
    cameras[:, 4] = 0.2 * np.sin(2 * np.pi * np.arange(100) / 50)
    motion = HeadMotion.of(cameras)
    assert motion.amplitude == pytest.approx(np.degrees(0.2) / np.sqrt(2), rel=0.01)
    assert motion.speed == pytest.approx(np.degrees(0.2) * 4 / 2, rel=0.02), "four amplitudes in two seconds"
    twice = HeadMotion(motion.amplitude * 4, motion.speed)
    assert HeadMotion.mean([motion, twice]).amplitude == pytest.approx(2 * motion.amplitude)
