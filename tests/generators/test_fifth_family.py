"""The contract's test: a family that is unlike the others joins by a line in a registry, and all verbs serve it.

Its motion is coefficients of a face whose identity belongs to the person; it renders with the two motions before a
frame's, looks at two pictures of the person, and hears sound its own way. It is rendered by a line in the registry of
generators, and learned, with judges that are given what it shows and hears, by one in the registry of tasks. Nothing
outside this file knows of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import test_generators as promises
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn

from made import run
from made_heads import sphere_face, write_heads
from visavis.core.errors import ConfigError
from visavis.core.registry import FAMILIES
from visavis.drawn.synthetic import draw, write_clip
from visavis.evaluation.suite import evaluate
from visavis.face.types import Observation
from visavis.generators.base import Prior, References
from visavis.generators.network import NetworkGenerator
from visavis.media.flac import encode_flac, in_16_bits
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
from visavis.training.config import from_values
from visavis.training.data.gathered import WindowBatch
from visavis.training.data.heard import Heard, heard_by
from visavis.training.data.windows import FaceShape
from visavis.training.panel import JudgeConfig
from visavis.training.run import train
from visavis.training.tasks.registry import TASKS
from visavis.training.tasks.windows import Sampling, WindowTask
from visavis.weights.checkpoint import load, save

# What every family promises; the fixture below says of whom.
test_folded = promises.test_a_folded_one_makes_the_same_pictures
test_vector = promises.test_all_motion_that_is_needed_fits_in_the_vector
test_saved = promises.test_it_saves_and_loads_exactly
test_cost = promises.test_it_says_what_it_costs_and_computes_nothing_for_it
test_carried = promises.test_motion_is_carried_from_one_person_to_another
test_meshes = promises.test_meshes_alone_drive_it_as_pictures_do_or_it_says_why_not
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
        still = torch.eye(2, 3).to(shift).expand(len(person), -1, -1)
        grid = F.affine_grid(still, list(person.shape), align_corners=False)
        moved = F.grid_sample(person, grid - shift, align_corners=False)
        return (self.paint(moved) + light).clamp(0, 1)


class FifthGenerator(NetworkGenerator[FifthConfig, FifthNetwork, Tensor]):
    """See the file's docstring."""

    family = "fifth"
    shape_class, network_class = FifthConfig, FifthNetwork
    references = References(2, 2)
    memory = 2
    #: Of each picture that was rendered, the places of the head that it was shown.
    shown: list[list[float]]

    def __init__(self, config: FifthConfig, network: FifthNetwork | None = None, engine: Engine = PLAIN) -> None:
        super().__init__(config, network, engine)
        self.shown = []
        MADE.append(self)

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


@dataclass(frozen=True)
class FifthLosses:
    """The weight of its only loss that no judge gives."""

    l1: float = 10.0


@dataclass(frozen=True)
class FifthDrawn:
    """What the network made of a batch."""

    picture: Tensor


class FifthTask(WindowTask[FifthDrawn]):
    """Learns a :class:`FifthNetwork`, judged beside where the face is, and its mouth beside how loud it is."""

    family = "fifth"
    model_class = FifthConfig
    losses_class = FifthLosses
    presets: ClassVar[Mapping[str, Callable[[], Any]]] = {"fifth64": FifthConfig}
    judges: ClassVar[Mapping[str, JudgeConfig] | None] = {
        "picture": JudgeConfig("patch", 4, 2, given="face", loss="hinge", weight=0.1, feature_matching=0.1),
        "mouth": JudgeConfig("spade", 4, 1, sees="mouth", given="sound", weight=0.1, joins=0.25),
    }

    @classmethod
    def samples(cls, model: FifthConfig) -> Sampling:
        return Sampling(model.size, raster=32, before=FifthGenerator.memory, references=2, sound=3)

    @classmethod
    def face(cls, model: FifthConfig) -> FaceShape:
        return sphere_face()[1]

    @classmethod
    def hears(cls, model: FifthConfig, data: Path) -> Heard:
        return heard_by(Loudness())

    def build(self) -> FifthNetwork:
        network = FifthNetwork(self.config.model)
        nn.init.constant_(network.paint.bias, 0.3)  # too light: this can be learned in a few steps
        return network

    def draw(self, network: nn.Module, batch: WindowBatch) -> FifthDrawn:
        shift, light = batch.faces[..., :2].mean((1, 2)), batch.sound.mean(1)
        person = batch.references.mean(1)
        return FifthDrawn(network(person, shift.view(-1, 1, 1, 2), light.view(-1, 1, 1, 1)))

    def terms(self, drawn: FifthDrawn, batch: WindowBatch, step: int) -> dict[str, Tensor]:
        return {"l1": self.config.losses.l1 * F.l1_loss(drawn.picture, batch.driving)}

    def conditions(self) -> dict[str, int]:
        return {"face": 1, **super().conditions()}

    def condition(self, given: str, drawn: FifthDrawn, batch: WindowBatch) -> Tensor:
        if given != "face":
            return super().condition(given, drawn, batch)
        return F.interpolate((batch.index[:, -1:] >= 0).float(), drawn.picture.shape[2:])


#: Every generator of the family, the newest last.
MADE: list[FifthGenerator] = []


@pytest.fixture
def generator() -> FifthGenerator:
    """For the suite that all families pass."""
    return FifthGenerator(FifthConfig())


@pytest.fixture(scope="module", autouse=True)
def _registered() -> Iterator[None]:
    """The line that renders it, and the line that learns it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(FAMILIES, "fifth", f"{__name__}:FifthGenerator")
        patch.setitem(TASKS, "fifth", f"{__name__}:FifthTask")
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


RECIPE = """
task = "fifth"
batch = 2
stride = 2
learning_rate = 1e-2
log_every = 1
checkpoint_every_s = 1000.0
mirrored = 0.5
[data]
silent = 0.0
"""
STEPS = 20


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Heads that turn, beside a tone that is silent up to the sixth frame."""
    folder = tmp_path_factory.mktemp("shards")
    tone = 0.5 * np.sin(np.arange(12 * 640) * 2 * np.pi * 400 / 16_000)
    tone[: 6 * 640] = 0
    write_heads(folder, flac=encode_flac(in_16_bits(tone.astype(np.float32)), 16_000))
    return folder


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "fifth.toml"
    path.write_text(RECIPE)
    return path


def logged(out: Path) -> list[dict[str, float]]:
    return [json.loads(line)["losses"] for line in (out / "log.jsonl").read_text().splitlines()]


def test_it_learns_and_a_run_that_stopped_ends_at_the_same_bits(recipe: Path, shards: Path, folder: Path):
    whole, stopped = recipe.parent / "whole", recipe.parent / "stopped"
    train(recipe, shards, steps=STEPS, out=whole, device="cpu")
    report = train(recipe, shards, ["stop_after_s=0.000001"], steps=STEPS, out=stopped, device="cpu")
    assert report is not None and 1 <= report.steps < STEPS
    train(recipe, shards, steps=STEPS, out=stopped, device="cpu", resume=True)
    for name in ("state.safetensors", "weights.safetensors"):
        one, other = (load_file(out / f"step-{STEPS:08d}" / name) for out in (whole, stopped))
        assert one.keys() == other.keys() and all(torch.equal(value, other[key]) for key, value in one.items())
    assert logged(whole) == logged(stopped) and len(logged(whole)) == STEPS
    first, last = (np.mean([losses["l1"] for losses in part]) for part in (logged(whole)[:5], logged(whole)[-5:]))
    assert last < 0.9 * first
    assert {"l1", "adversarial", "feature_matching", "discriminator"} <= set(logged(whole)[-1])
    assert set(load(whole / "weights.safetensors").meta["judges"]) == {"picture", "mouth"}
    arguments = ["reenact", folder / "portrait.png", folder / "caller.mp4", "-o", recipe.parent / "out.mp4"]
    assert run([*arguments, "--model", whole / "weights.safetensors"]) == 0


def test_a_sample_is_two_pictures_three_faces_and_what_the_family_hears(shards: Path):
    task = FifthTask.start(from_values({"task": "fifth", "stride": 1, "jitter": 0.0}), shards, {}, lambda line: None)
    task.to(torch.device("cpu"))
    clip = task.clips[0]
    assert clip.sound is not None
    # A quarter of a second before and a tenth after a frame: silence, and in the end a tone of amplitude 0.5.
    assert np.abs(clip.sound[0]).max() < 0.01
    np.testing.assert_allclose(clip.sound[9, 2], 0.5 / np.sqrt(2), rtol=0.05)
    batch = task.whole(task.batch(0, 2))
    assert batch.references.shape[:2] == (2, 2) and batch.faces.shape[:2] == (2, 3) and batch.sound.shape == (2, 3)
    task.done = 0.5
    said = task.judged(task.draw(task.network, batch), batch)
    assert [seen.shape[1] for seen in said.made] == [3 + 1, 3 + 3]
    for made, real in zip(said.made, said.real, strict=True):
        assert torch.equal(made[:, 3:], real[:, 3:]) and not torch.equal(made[:, :3], real[:, :3])


def test_a_judge_is_given_what_the_family_has(shards: Path):
    values = {"task": "fifth", "judges": {"picture": {"given": "sound"}}}
    assert from_values(values).judges["picture"].given == "sound"
    deaf = from_values(values)

    class Deaf(FifthTask):
        def conditions(self) -> dict[str, int]:
            return {}

    with pytest.raises(ConfigError, match=r"judges\.picture\.given.*nothing"):
        Deaf.start(deaf, shards, {}, lambda line: None)
