"""Measures by how far heads are turned, and models with something taken away."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from made import run, tiny_weights
from visavis.core.errors import ConfigError
from visavis.drawn.synthetic import write_clip
from visavis.evaluation.ablated import Ablated, parts_of
from visavis.evaluation.by_pose import ByPose, by_pose_note, by_pose_table, degrees_apart
from visavis.evaluation.models import ModelName, load_model
from visavis.evaluation.report import markdown
from visavis.evaluation.results import ClipResult, ModelResult
from visavis.evaluation.suite import evaluate
from visavis.face.model3d import load_face_model
from visavis.face.types import Observation
from visavis.generators.headgan.config import HeadganConfig
from visavis.generators.headgan.generator import HeadganGenerator
from visavis.nn.engine import PLAIN


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two clips of drawn people."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "clips").mkdir()
    for name, seed in (("a1", 1), ("b1", 3)):
        write_clip(folder / "clips" / f"{name}.mp4", 0.96, seed=seed, size=256)
    (folder / "manifest.csv").write_text("id,identity,split\na1,a,val\nb1,b,val\n")
    return folder


def turned(mesh: np.ndarray, axis: tuple[float, float, float], degrees: float) -> np.ndarray:
    """By OpenCV's rotations, about any axis of length 1."""
    turn = cv2.Rodrigues(np.deg2rad(degrees) * np.array(axis, np.float64))[0]
    return np.asarray(mesh @ turn.T, np.float32)


@pytest.mark.parametrize("degrees", [0, 0.5, 20, 75, 150])
def test_the_angle_between_two_heads_is_that_of_their_rotations(degrees: float):
    """One axis after another turn; size, place and another expression do not count."""
    mean = load_face_model().mean
    reference = turned(mean, (0, 1, 0), 25)
    axis = (0.6, 0.48, 0.64)
    other = 0.5 * turned(reference, axis, degrees) + np.array([0.1, -0.2, 0], np.float32)
    found = degrees_apart(reference, [other, reference])
    assert found == pytest.approx([degrees, 0], abs=0.05)
    assert degrees_apart(other, [reference]) == pytest.approx([degrees], abs=0.05)
    assert degrees_apart(reference, []) == []


def clip_of(degrees: list[float], errors: list[float | None]) -> ClipResult:
    """A frame without a value is one without a face."""
    frames = [{"l1": 0.5} if e is None else {"l1": 0.5, "lmd": e, "face_sharpness": 1.0} for e in errors]
    return ClipResult("x", len(degrees), degrees, {"m": ModelResult(by_frame=frames)})


def test_thirds_are_those_computed_by_hand():
    """Over the six angles 0, 3, 4, 10, 20 and 30, whichever clip they are of, thirds part at 3 2/3 and 13 1/3."""
    bins = ByPose(["m"])
    bins.add(clip_of([10, 0, 30], [2, 1, 10]))
    bins.add(clip_of([4, 3, 20], [4, None, 20]))
    report = bins.report()
    assert report["bounds_deg"] == [3.67, 13.33]
    assert report["most_deg"] == 30
    easy, middle, hard = report["rows"]
    assert [row["third"] for row in report["rows"]] == ["easy", "middle", "hard"]
    assert (easy["frames"], easy["no_face"], easy["lmd"], easy["l1"]) == (2, 1, 1, 0.5)
    assert (middle["frames"], middle["no_face"], middle["lmd"]) == (2, 0, 3)
    assert (hard["frames"], hard["no_face"], hard["lmd"]) == (2, 0, 15)
    table = by_pose_table(report).splitlines()
    assert table[2].startswith("| easy | m | 2 | 0.5 | 1 |")
    assert "middle up to 13.3, hard up to 30.0" in by_pose_note(report)


def test_heads_that_all_look_alike_are_easy():
    bins = ByPose(["m"])
    bins.add(clip_of([1, 1, 1], [2, 3, 4]))
    easy, middle, hard = bins.report()["rows"]
    assert (easy["frames"], easy["lmd"], middle["frames"], hard["lmd"]) == (3, 3, 0, None)


def test_thirds_do_not_depend_on_processes_and_add_up_to_the_whole(dataset: Path):
    one, two = (
        evaluate(dataset, "val", ["copy", "mesh-warp"], every=4, window_s=0, workers=workers, by_pose=True)
        for workers in (1, 2)
    )
    assert one["by_pose"] == two["by_pose"]
    for row in one["rows"]:
        thirds = [third for third in one["by_pose"]["rows"] if third["model"] == row["model"]]
        assert sum(third["frames"] for third in thirds) == row["frames"] == one["frames"]
        whole = sum(third["l1"] * third["frames"] for third in thirds if third["frames"]) / row["frames"]
        assert whole == pytest.approx(row["l1"], rel=1e-4)
    assert "## By difficulty" in markdown(one)
    assert evaluate(dataset, "val", ["copy"], limit=1, every=12, window_s=0)["by_pose"] is None


def test_the_command_prints_thirds_where_they_are_asked_for(dataset: Path, capsys: pytest.CaptureFixture[str]):
    given = ["evaluate", "--data", str(dataset), "--model", "copy", "--every", "8", "--window", "0", "--workers", "1"]
    assert run([*given, "--by-pose"]) == 0
    assert "| hard | copy |" in capsys.readouterr().out
    assert run(given) == 0
    assert "| hard |" not in capsys.readouterr().out


def test_what_a_model_does_without_is_read_off_its_name(tmp_path: Path):
    assert parts_of("headgan-256") == ("headgan-256", ())
    assert parts_of("a/b.safetensors:deaf") == ("a/b.safetensors", ("deaf",))
    assert parts_of("x:memoryless:deaf") == ("x", ("memoryless", "deaf"))
    assert parts_of("x:blind") == ("x:blind", ())
    file = tmp_path / "weights:deaf"
    file.touch()
    assert parts_of(str(file)) == (str(file), ())


def test_nothing_is_taken_from_a_model_that_lacks_it(tmp_path: Path):
    with pytest.raises(ConfigError, match="built in"):
        load_model(ModelName.parse("copy:deaf"), PLAIN)
    weights = tiny_weights(tmp_path / "tiny.safetensors")
    with pytest.raises(ConfigError, match="without memory"):
        load_model(ModelName.parse(f"{weights}:memoryless"), PLAIN)


def test_a_deaf_model_hears_nothing_and_a_memoryless_one_sees_the_present_alone():
    """Against the whole one that is shown the present for every moment of the past."""
    torch.manual_seed(0)
    config = replace(HeadganConfig.tiny(), size=128, sound=300, hidden=16)
    whole, face = HeadganGenerator(config), load_face_model()
    deaf, memoryless = Ablated(whole, ["deaf"]), Ablated(whole, ["memoryless"])
    assert (deaf.hears, deaf.memory) == (None, whole.memory)
    assert (memoryless.memory, memoryless.hears) == (0, whole.hears)
    camera = np.array([0, 0, np.log(0.5), 0, 0, 0], np.float32)
    mesh = face.points(camera, np.zeros(len(face.identity)), np.zeros(len(face.expression)))
    mesh = np.concatenate([mesh, mesh[:10]])
    picture = np.random.default_rng(0).integers(0, 256, (128, 128, 3), np.uint8)
    source = Observation(picture, Fraction(0), mesh=mesh, segmentation=np.full((128, 128), 255, np.uint8))
    now = whole.analyse(source)
    before = now.with_parts(camera=camera + np.array([0.2, 0, 0, 0, 0.3, 0], np.float32))
    known, other = whole.prepare([source]), memoryless.prepare([source])
    made = other.render([now], None)
    np.testing.assert_array_equal(made, known.render([now] * 3, None))
    assert not np.array_equal(made, known.render([before, before, now], None))
    np.testing.assert_array_equal(deaf.prepare([source]).render([now] * 3, None), made)
