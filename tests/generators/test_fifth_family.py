"""The contract's test: a family that is unlike the others joins by one line in the registry, and all verbs serve it.

Its motion is coefficients of a face whose identity belongs to the person; it renders with the two motions before a
frame's, looks at two pictures of the person, and hears sound its own way. Nothing outside this file knows of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest
import test_generators as promises
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from made import run
from visavis.core.config import build
from visavis.core.errors import ConfigError
from visavis.core.registry import FAMILIES
from visavis.drawn.synthetic import draw, write_clip
from visavis.evaluation.suite import evaluate
from visavis.face.types import Observation
from visavis.generators.base import Prior, References
from visavis.generators.network import NetworkGenerator
from visavis.media.reader import VideoReader
from visavis.media.still import write_picture
from visavis.motion.amounts import Amounts
from visavis.motion.kind import Mode
from visavis.motion.layout import Motion
from visavis.motion.morphable_kind import MorphableKind
from visavis.nn.cost import gmac
from visavis.nn.engine import PLAIN, Engine
from visavis.nn.pictures import as_tensor
from visavis.pipelines.bench import bench
from visavis.pipelines.describe import describe
from visavis.weights.checkpoint import save

# What every family promises; the fixture below says of whom.
test_folded = promises.test_a_folded_one_makes_the_same_pictures
test_vector = promises.test_all_motion_that_is_needed_fits_in_the_vector
test_saved = promises.test_it_saves_and_loads_exactly
test_cost = promises.test_it_says_what_it_costs_and_computes_nothing_for_it
test_carried = promises.test_motion_is_carried_from_one_person_to_another
test_pictures = promises.test_pictures_have_the_size_and_type_that_is_promised
test_prepared = promises.test_preparing_once_is_preparing_each_time
test_same = promises.test_the_same_input_gives_the_same_picture
test_true = promises.test_what_it_says_of_itself_is_true

FRAMES = 20


class Loudness:
    """How loud it is in three stretches around a frame, of a quarter of a second before it and a tenth after."""

    rate_hz = 8000
    before_s, after_s = Fraction(1, 4), Fraction(1, 10)
    shape = (3,)

    def compute(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.array([np.sqrt(np.mean(part**2)) for part in np.array_split(samples, 3)], np.float32)


@dataclass(frozen=True)
class FifthConfig:
    """Shape of a :class:`FifthNetwork`."""

    size: int = 64
    identity: int = 4
    expression: int = 2


class FifthNetwork(nn.Module):
    """Moves the mean of two pictures to where the last three cameras were on average, and lights it by the sound."""

    def __init__(self, config: FifthConfig) -> None:
        super().__init__()
        self.config = config
        self.paint = nn.Conv2d(3, 3, 9, padding=4)
        nn.init.dirac_(self.paint.weight)

    def forward(self, person: Tensor, shift: Tensor, light: Tensor) -> Tensor:
        grid = F.affine_grid(torch.eye(2, 3)[None].to(shift), list(person.shape), align_corners=False)
        moved = F.grid_sample(person, grid - shift, align_corners=False)
        return (self.paint(moved) + light).clamp(0, 1)


class FifthGenerator(NetworkGenerator[FifthNetwork, Tensor]):
    """See the file's docstring."""

    family = "fifth"
    references = References(2, 2)
    memory = 2
    #: Of each picture that was rendered, the places of the head that it was shown.
    shown: list[list[float]]

    def __init__(self, config: FifthConfig, network: FifthNetwork | None = None, engine: Engine = PLAIN) -> None:
        self.config = config
        super().__init__(network or FifthNetwork(config), engine)
        self.shown = []
        MADE.append(self)

    @staticmethod
    def new_network(config: Mapping[str, object]) -> FifthNetwork:
        return FifthNetwork(build(FifthConfig, config))

    @classmethod
    def from_checkpoint(
        cls, config: Mapping[str, object], network: FifthNetwork | None = None, engine: Engine = PLAIN
    ) -> FifthGenerator:
        return cls(build(FifthConfig, config), network, engine)

    @property
    def plain_config(self) -> dict[str, object]:
        return asdict(self.config)

    @property
    def size(self) -> int:
        return self.config.size

    @cached_property
    def kind(self) -> MorphableKind:
        return MorphableKind(self.config.identity, self.config.expression)

    @property
    def needs(self) -> frozenset[Prior]:
        return frozenset({Prior.MESH})

    @property
    def hears(self) -> Loudness:
        return Loudness()

    @staticmethod
    def gmac_of(network: nn.Module) -> dict[str, dict[str, float]]:
        picture = torch.rand(1, 3, 64, 64)
        return {"per_frame": {"paint": gmac(lambda: network(picture, torch.zeros(1, 1, 1, 2), torch.zeros(1)))}}

    def _analyse(self, observation: Observation) -> Motion:
        mesh = observation.mesh
        assert mesh is not None
        middle, spread = mesh.mean(0), mesh.std(0)
        camera = [*middle[:2], np.log(spread[0] + 1e-6), 0, 0, 0]
        gaps = [mesh[14, 1] - mesh[13, 1], mesh[145, 1] - mesh[159, 1]]
        return Motion.of(self.kind.layout, identity=[*spread, spread[1] / spread[0]], expression=gaps, camera=camera)

    def _prepare(self, references: Sequence[Observation]) -> Tensor:
        return torch.cat([as_tensor(one.picture, self.device) for one in references]).mean(0, keepdim=True)

    def _render(self, person: Tensor, motions: Sequence[Motion], sound: NDArray[np.float32] | None) -> Tensor:
        self.shown.append([float(motion["camera"][0]) for motion in motions])
        shift = torch.from_numpy(np.mean([motion["camera"][:2] for motion in motions], 0)).view(1, 1, 1, 2)
        light = torch.tensor(0.0 if sound is None else float(sound.mean()))
        return self.network(person, shift.to(self.device), light)


#: Every generator of the family, the newest last.
MADE: list[FifthGenerator] = []


@pytest.fixture
def generator() -> FifthGenerator:
    """For the suite that all families pass."""
    return FifthGenerator(FifthConfig())


@pytest.fixture(scope="module", autouse=True)
def _registered() -> Iterator[None]:
    """The one line."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(FAMILIES, "fifth", f"{__name__}:FifthGenerator")
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A portrait, a drawn caller with sound, and weights."""
    folder = tmp_path_factory.mktemp("fifth")
    write_picture(folder / "portrait.png", draw(128, seed=0))
    write_clip(folder / "caller.mp4", FRAMES / 25, seed=1, size=128)
    config = FifthConfig()
    save(folder / "fifth.safetensors", FifthNetwork(config).state_dict(), family="fifth", config=asdict(config))
    return folder


def is_window(shown: Sequence[Sequence[float]]) -> bool:
    """Whether each picture was shown its motion after those of the two pictures before it, the first one thrice."""
    places = [window[-1] for window in shown]
    wanted = [places[0], places[0], *places]
    return all(np.allclose(window, wanted[at : at + 3], atol=1e-6) for at, window in enumerate(shown))


def test_it_reenacts_with_its_memory_and_its_ears(folder: Path, tmp_path: Path):
    arguments = ["reenact", folder / "portrait.png", folder / "caller.mp4", "--model", folder / "fifth.safetensors"]
    assert run([*arguments, "-o", tmp_path / "out.mp4"]) == 0
    shown = MADE[-1].shown
    assert len(shown) == FRAMES and len({window[-1] for window in shown}) > FRAMES // 2
    assert is_window(shown)
    with VideoReader(tmp_path / "out.mp4") as reader:
        assert sum(1 for _ in reader) == FRAMES
    assert run([*arguments, "-o", tmp_path / "still.mp4", "--amount", "head=0"]) == 0
    assert np.ptp([window[-1] for window in MADE[-1].shown]) < 1e-5
    assert run([*arguments, "-o", tmp_path / "turned.mp4", "--edit", "yaw=10"]) == 0
    assert run([*arguments, "-o", tmp_path / "no.mp4", "--edit", "smile=1"]) == 1
    assert run([*arguments, "-o", tmp_path / "no.mp4", "--amount", "lips=0"]) == 1
    assert not (tmp_path / "no.mp4").exists()


@pytest.mark.parametrize("interpolate", [0, 2])
def test_it_calls_and_both_ends_render_from_the_same_windows(interpolate: int, folder: Path, tmp_path: Path):
    weights, call, out = folder / "fifth.safetensors", tmp_path / "a.vsv", tmp_path / "a.mp4"
    sent = ["encode", folder / "caller.mp4", "-o", call, "--model", weights, "--interpolate", interpolate]
    assert run(sent) == 0
    assert run(["decode", call, "-o", out, "--model", weights]) == 0
    receiver, apart = MADE[-1].shown, interpolate + 1
    with VideoReader(out) as reader:
        assert sum(1 for _ in reader) == FRAMES
    count = len(receiver)  # a group is filled up at the end of a call
    assert FRAMES <= count < FRAMES + apart
    # A frame that was sent is painted before those between it and the last one: they are put in order here.
    order = [0, *(at + n for at in range(1, count, apart) for n in (*range(1, apart), 0))]
    assert is_window([receiver[at] for at in order])


def test_the_person_s_identity_is_not_sent_with_every_frame(folder: Path, tmp_path: Path, capfd):
    """The layout says which values belong to the person; a call spends bits on them with pivots alone."""
    call = tmp_path / "a.vsv"
    assert run(["encode", folder / "caller.mp4", "-o", call, "--model", folder / "fifth.safetensors", "--json"]) == 0
    spent = json.loads(capfd.readouterr().out)["bytes"]["motion"]
    assert spent < FRAMES * 8


def test_the_thesis_s_mode_needs_points_and_says_so(folder: Path, tmp_path: Path, capfd):
    arguments = ["encode", folder / "caller.mp4", "-o", tmp_path / "a.vsv", "--model", folder / "fifth.safetensors"]
    assert run([*arguments, "--mode", "paper80"]) == 1
    assert "keypoints" in capfd.readouterr().err


def test_it_is_evaluated_with_the_windows_of_all_frames(folder: Path, tmp_path: Path):
    data = tmp_path / "data"
    (data / "clips").mkdir(parents=True)
    for seed in (1, 2):
        write_clip(data / "clips" / f"p{seed}.mp4", FRAMES / 25, seed=seed, size=128)
    (data / "manifest.csv").write_text("id,identity,split\np1,a,val\np2,b,val\n")
    for protocol in ("same", "cross"):
        report = evaluate(
            data, "val", ["copy", f"fifth={folder / 'fifth.safetensors'}"], protocol=protocol, every=5, window_s=0.32
        )
        assert report["failed"] == {} and [row["model"] for row in report["rows"]] == ["copy", "fifth"]
        shown = MADE[-1].shown
        assert len(shown) < 2 * FRAMES, "frames that nobody measures are not painted"
        steps = [abs(window[1] - window[0]) for window in shown]
        assert max(steps) < 0.1, "windows are of frames that follow each other"


def test_it_is_timed_and_described(folder: Path):
    weights = str(folder / "fifth.safetensors")
    report = bench(weights, PLAIN, frames=5)
    assert report["ms_per_frame"]["render"] > 0
    about = describe(weights)
    assert about["family"] == "fifth" and about["parameters"]["total"] == 3 * 3 * 81 + 3
    assert about["gmac"]["per_frame"]["total"] > 0


def test_its_kind_keeps_who_the_source_is(generator: FifthGenerator):
    kind, rng = generator.kind, np.random.default_rng(0)

    def motion() -> Motion:
        return Motion.of(kind.layout, **{part.name: 0.2 * rng.random(part.shape) for part in kind.layout.parts})

    source, start, driving = motion(), motion(), motion()
    moved = kind.carrier(source, start)(driving)
    assert np.array_equal(moved["identity"], source["identity"])
    assert np.array_equal(moved["expression"], driving["expression"])
    assert np.allclose(kind.carrier(source, start)(start)["camera"], source["camera"], atol=1e-5)
    assert np.allclose(kind.carrier(source, start, amounts=Amounts(head=0))(driving)["camera"], source["camera"])
    half = kind.carrier(source, start, Mode.ABSOLUTE, amounts=Amounts(expression=0.5))(driving)
    assert np.allclose(half["expression"], driving["expression"] / 2)
    with pytest.raises(ConfigError, match="lips"):
        Amounts.parse("lops=1")
    with pytest.raises(ConfigError, match="no mesh"):
        kind.carrier(source, start, amounts=Amounts(lips=0.5))
