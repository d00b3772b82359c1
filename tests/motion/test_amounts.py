"""Regions of the driver's movement by their amounts, and changes by hand, for kinds of motion that have such parts."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from visavis.core.errors import ConfigError
from visavis.drawn.synthetic import Pose, draw
from visavis.face.align import whole
from visavis.face.fitting import fit_clip
from visavis.face.mesh import LEFT_LID_PAIRS, LIP_PAIRS, RIGHT_LID_PAIRS
from visavis.face.model3d import load_face_model
from visavis.face.pose import head_angles
from visavis.face.tracker import FaceTracker
from visavis.generators.avfr.generator import AvfrGenerator
from visavis.motion.amounts import Amounts, Edits
from visavis.motion.keypoint_kind import KeypointKind
from visavis.motion.kind import Meshes, Mode, MotionKind
from visavis.motion.layout import Motion
from visavis.motion.morphable_kind import MorphableKind
from visavis.nn.engine import PLAIN
from visavis.pipelines.load import load_generator

Array = NDArray[np.float32]
HALF = 128
POSES = (Pose(), Pose(mouth=0.8), Pose(lids=1.0), Pose(yaw=0.3, roll=0.1, mouth=0.3), Pose(yaw=-0.3, x=0.05))
STILL = Pose(mouth=0.3)


@cache
def mesh_of(seed: int, pose: Pose) -> Array:
    """The tracked mesh of a drawn person, in [-1, 1]."""
    with FaceTracker(video=False) as tracker:
        face = tracker.find(draw(256, seed, pose))
    assert face is not None
    return whole(256, 256).to_crop(face.mesh)


class Case:
    """A kind of motion, how a mesh becomes one, and how it becomes a mesh again."""

    kind: MotionKind

    def motion(self, mesh: Array) -> Motion:
        raise NotImplementedError

    def mesh(self, motion: Motion) -> Array:
        raise NotImplementedError


class Keypoints(Case):
    """AVFR's."""

    def __init__(self) -> None:
        generator = load_generator("avfr-256", PLAIN)
        assert isinstance(generator, AvfrGenerator) and generator.face_model is not None
        self.face = generator.face_model
        self.kind = KeypointKind(3, True, self.face)

    def motion(self, mesh: Array) -> Motion:
        points, values = np.concatenate([mesh[[4, 152], :2], [[0.9, 0.95]]]), self.face.fit(mesh)
        frames = np.tile(np.eye(2), (3, 1, 1))
        return Motion.of(self.kind.layout, keypoints=points, jacobians=frames, camera=values[:6], shape=values[6:])

    def mesh(self, motion: Motion) -> Array:
        return self.face.points(np.concatenate([motion["camera"], motion["shape"]]))


class Coefficients(Case):
    """Those of the 3D face."""

    def __init__(self) -> None:
        self.face = load_face_model()

        def shapes(meshes: Meshes) -> Array:
            found = fit_clip(np.stack(meshes), self.face)
            return np.concatenate([np.tile(found.identity, (len(meshes), 1)), found.expression], 1)

        self.kind = MorphableKind(len(self.face.identity), len(self.face.expression), self.face, shapes)

    def motion(self, mesh: Array) -> Motion:
        found = fit_clip(mesh[None], self.face)
        parts = {"identity": found.identity, "expression": found.expression[0], "camera": found.camera[0]}
        return Motion.of(self.kind.layout, **parts)

    def mesh(self, motion: Motion) -> Array:
        return self.face.points(motion["camera"], motion["identity"], motion["expression"])


@pytest.fixture(scope="module", params=[Keypoints, Coefficients])
def case(request: pytest.FixtureRequest) -> Case:
    made: Callable[[], Case] = request.param
    return made()


def gap(mesh: Array, pairs: tuple[tuple[int, int], ...]) -> float:
    """Mean gap in pixels of 256, along the face's own vertical."""
    upper, lower = np.array(pairs).T
    return float(HALF * np.linalg.norm((mesh[lower] - mesh[upper])[:, :2], axis=1).mean())


def carried(case: Case, amounts: Amounts, mode: Mode = Mode.RELATIVE) -> list[Array]:
    source, driving = mesh_of(3, STILL), [mesh_of(1, pose) for pose in POSES]
    start = case.motion(driving[0])
    carry = case.kind.carrier(case.motion(source), start, mode, ahead=driving, amounts=amounts)
    return [case.mesh(carry(case.motion(mesh))) for mesh in driving]


def turns(meshes: list[Array]) -> NDArray[np.float64]:
    return np.array([[found.yaw, found.roll] for found in map(head_angles, meshes)])


def test_all_of_it_is_what_is_done_without_a_word(case: Case):
    plain, named = carried(case, Amounts()), carried(case, Amounts.parse("head=1,lips=1,eyes=1"))
    assert all(np.array_equal(one, other) for one, other in zip(plain, named, strict=True))


@pytest.mark.parametrize("mode", list(Mode))
def test_a_head_turns_by_its_amount(case: Case, mode: Mode):
    still, half, full = (turns(carried(case, Amounts(head=amount), mode)) for amount in (0, 0.5, 1))
    assert np.ptp(still, axis=0).max() < 1
    own = still.mean(0)
    assert np.allclose(half - own, (full - own) / 2, atol=2)
    assert np.ptp(full, axis=0).min() > 5


def test_no_blink_is_no_blink(case: Case):
    pairs = RIGHT_LID_PAIRS + LEFT_LID_PAIRS
    plain, open_eyed = carried(case, Amounts()), carried(case, Amounts(blink=0))
    shut, opened = gap(plain[2], pairs), gap(plain[0], pairs)
    assert shut < 0.6 * opened
    assert gap(open_eyed[2], pairs) > 0.8 * opened


def test_lips_open_by_their_amount_and_never_cross(case: Case):
    none, less, plain, more = (
        [gap(mesh, LIP_PAIRS) for mesh in carried(case, Amounts(lips=amount))] for amount in (0, 0.5, 1, 1.4)
    )
    assert none[1] < 1.5
    assert none[1] < less[1] < plain[1] < more[1]
    assert less[1] == pytest.approx(plain[1] / 2, rel=0.3)


def test_no_expression_is_a_face_at_rest(case: Case):
    made = carried(case, Amounts(expression=0, head=0))
    assert np.abs(made[1] - made[0])[:468, :2].max() * HALF < 1.5


@pytest.mark.parametrize(("name", "degrees"), [("yaw", 10), ("yaw", -12), ("pitch", 8), ("roll", 10)])
def test_a_head_is_turned_by_hand(case: Case, name: str, degrees: float):
    motion = case.motion(mesh_of(3, Pose()))
    before = head_angles(case.mesh(motion))
    after = head_angles(case.mesh(case.kind.edited(motion, Edits.parse(f"{name}={degrees:+}"))))
    for angle in ("yaw", "pitch", "roll"):
        wanted = getattr(before, angle) + (degrees if angle == name else 0)
        assert getattr(after, angle) == pytest.approx(wanted, abs=2.0), angle


def test_a_mouth_a_smile_and_lids_are_set_by_hand(case: Case):
    motion = case.motion(mesh_of(3, Pose()))
    plain, mouth, smile, blink = (
        case.mesh(case.kind.edited(motion, Edits.parse(text))) for text in ("", "mouth=0.5", "smile=1", "blink=1")
    )
    assert gap(mouth, LIP_PAIRS) > gap(plain, LIP_PAIRS) + 3
    assert smile[291, 0] - smile[61, 0] > plain[291, 0] - plain[61, 0] + 2 / HALF, "wider"
    assert smile[[61, 291], 1].mean() < plain[[61, 291], 1].mean() - 1 / HALF, "corners go up"
    pairs = RIGHT_LID_PAIRS + LEFT_LID_PAIRS
    assert gap(blink, pairs) < 0.4 * gap(plain, pairs)
    shut = case.mesh(case.kind.edited(case.motion(mesh_of(3, Pose(mouth=0.8))), Edits(mouth=-1)))
    assert gap(shut, LIP_PAIRS) < 2.5


def test_a_head_is_not_turned_beyond_what_a_source_can_show(case: Case):
    source = case.motion(mesh_of(3, Pose()))
    driving = case.kind.edited(source, Edits(yaw=30))
    kept = case.kind.edited(driving, Edits(yaw=30), source)
    turned = head_angles(case.mesh(kept)).yaw - head_angles(case.mesh(source)).yaw
    assert 25 < turned < 37


def test_keypoints_on_the_face_go_with_it_and_those_off_it_stay():
    case = Keypoints()
    motion = case.motion(mesh_of(3, Pose()))
    edited = case.kind.edited(motion, Edits(yaw=15))
    move = (edited["keypoints"] - motion["keypoints"]) * HALF
    face = (case.mesh(edited) - case.mesh(motion))[:468, 0] * HALF
    # By the affine map of the mesh around them: less than the tip of the nose, more than the face as a whole.
    nose, whole_face = face[4], face.mean()
    assert min(whole_face, nose) < move[0, 0] < max(whole_face, nose) and abs(move[0, 0]) > 1
    assert np.abs(move[2]).max() < 0.5


def test_what_is_not_there_is_refused_in_one_line():
    kind = KeypointKind(3, False)
    motion = Motion(np.zeros(6, np.float32), kind.layout)
    with pytest.raises(ConfigError, match="--amount: motion of keypoints alone"):
        kind.carrier(motion, amounts=Amounts(head=0.5))
    with pytest.raises(ConfigError, match="--edit: motion of keypoints alone"):
        kind.edited(motion, Edits(yaw=1))
    for text, why in (
        ("nose=1", "choose head"),
        ("head=much", "give a number"),
        ("lips=4", "0 to 3"),
        ("lips=nan", "finite"),
    ):
        with pytest.raises(ConfigError, match=why):
            Amounts.parse(text)
    with pytest.raises(ConfigError, match="-45 to 45"):
        Edits.parse("yaw=90")
