"""Other engines than torch: the same pictures, compiled once, from a cache that may be damaged or shared."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from made import run, tiny_mesh, tiny_weights
from visavis.audio.feature import MEL_WINDOW
from visavis.core.errors import ConfigError, OutputError
from visavis.core.lock import Lock
from visavis.enhance.interpolation import BetweenConfig, Interpolator, Neighbours
from visavis.enhance.super_resolution import EnlargeConfig, Enlarger, enlarge
from visavis.face.types import Observation
from visavis.generators.avfr.config import AvfrConfig
from visavis.generators.avfr.generator import AvfrGenerator
from visavis.generators.headgan.config import HeadganConfig
from visavis.generators.headgan.generator import HeadganGenerator
from visavis.generators.keypoint import KeypointConfig, KeypointGenerator
from visavis.generators.rhythmic.config import RhythmicConfig
from visavis.generators.rhythmic.generator import RhythmicGenerator
from visavis.media.frame import Pixels
from visavis.nn.engine import ENGINES, MOST_STREAMS, PLAIN, Engine, choose_engine, choose_precision, installed
from visavis.nn.graph import Graph
from visavis.pipelines.load import load_generator
from visavis.runtime.cache import Entry, GraphCache, forget
from visavis.runtime.compiled import compile_graphs
from visavis.runtime.ready import backend_of

SIZE = 64


def needs(name: str) -> Any:
    return pytest.param(name, marks=pytest.mark.skipif(not installed(name), reason=f"{name} is not installed"))


OTHERS = [needs("openvino"), needs("onnx")]


def on(name: str, precision: str = "fp32") -> Engine:
    return Engine("cpu", precision, 1, name)


def avfr(engine: Engine) -> AvfrGenerator:
    torch.manual_seed(0)
    generator = AvfrGenerator(AvfrConfig.tiny(), engine=engine)
    generator.network.mesh_model.mean.copy_(torch.from_numpy(tiny_mesh()))
    generator.network.mesh_model.basis.normal_(std=0.01)
    return generator


def headgan(engine: Engine) -> HeadganGenerator:
    torch.manual_seed(0)
    config = {**HeadganGenerator.named["headgan-256"], "size": SIZE, "widths": (4, 6, 8), "hidden": 4, "sound_code": 4}
    return HeadganGenerator(HeadganConfig(**config), engine=engine)  # type: ignore[arg-type]


def keypoint(engine: Engine) -> KeypointGenerator:
    torch.manual_seed(0)
    return KeypointGenerator(KeypointConfig.tiny(), engine=engine)


def rhythmic(engine: Engine) -> RhythmicGenerator:
    torch.manual_seed(0)
    return RhythmicGenerator(RhythmicConfig.tiny(), engine=engine)


FAMILIES: dict[str, Callable[[Engine], Any]] = {
    "avfr": avfr,
    "headgan": headgan,
    "keypoint": keypoint,
    "rhythmic": rhythmic,
}


def observation(seed: int) -> Observation:
    rng = np.random.default_rng(seed)
    mesh = (0.6 * tiny_mesh() + 0.02 * rng.standard_normal((478, 3))).astype(np.float32)
    picture = rng.integers(0, 256, (SIZE, SIZE, 3), np.uint8)
    return Observation(picture, mesh=mesh, segmentation=rng.integers(0, 256, (SIZE, SIZE), np.uint8))


def lived_in(network: nn.Module) -> None:
    """Batch norms as after training; new ones would hide what is lost in folding them."""
    torch.manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None and module.running_var is not None
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.3, 2)


def pictures(make: Callable[[Engine], Any], engine: Engine) -> list[Pixels]:
    """Two driving frames, the second with sound, after another frame was analysed and another person prepared."""
    generator = make(engine)
    lived_in(generator.network)
    generator.fold(compile_graphs)
    person = generator.prepare([observation(0)])
    generator.prepare([observation(3)])
    motions = [generator.analyse(observation(number)) for number in (1, 2)]
    sound = None
    if generator.hears is not None:
        shape = MEL_WINDOW.shape if generator.family == "avfr" else generator.hears.shape
        sound = np.random.default_rng(0).random(shape).astype(np.float32)
    window = generator.memory + 1
    return [person.render([motions[0]] * window, None), person.render([motions[1]] * window, sound)]


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_engine_makes_the_same_pictures(name: str, family: str, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.INFO, "visavis"):
        made = pictures(FAMILIES[family], on(name))
    said = [record.getMessage() for record in caplog.records]
    assert not [line for line in said if "cannot compute" in line]
    graphs = len(FAMILIES[family](PLAIN).graphs)
    assert sum(line.startswith("compiled ") for line in said) == graphs
    for ours, torchs in zip(made, pictures(FAMILIES[family], PLAIN), strict=True):
        assert int(np.abs(ours.astype(int) - torchs).max()) <= 1  # rounding of 8 bits
        assert ours.std() > 1


@pytest.mark.skipif(not installed("openvino"), reason="openvino is not installed")
@pytest.mark.parametrize("family", FAMILIES)
def test_in_bf16_pictures_hardly_change_and_places_do_not(family: str):
    make = FAMILIES[family]
    exact, reduced = (pictures(make, on("openvino", precision)) for precision in ("fp32", "bf16"))
    for ours, plain in zip(reduced, exact, strict=True):
        assert np.square(ours.astype(float) - plain).mean() < 255**2 / 10**4.5  # 45 dB, of an untrained network


@pytest.mark.parametrize("name", OTHERS)
def test_analysed_motion_is_the_same_and_keeps_its_numbers(name: str):
    ours, plain = avfr(on(name)), avfr(PLAIN)
    for generator in (ours, plain):
        generator.fold(compile_graphs)
    first = ours.analyse(observation(1))
    kept = first.vector.copy()
    ours.analyse(observation(2))
    assert np.array_equal(first.vector, kept)
    assert float(np.abs(first.vector - plain.analyse(observation(1)).vector).max()) < 1e-5


@pytest.mark.parametrize("name", OTHERS)
def test_networks_that_enhance_are_computed_too(name: str):
    torch.manual_seed(0)
    between, larger = Interpolator(BetweenConfig.tiny()).eval(), Enlarger(EnlargeConfig.tiny()).eval()
    for network in (between, larger):
        for parameter in network.parameters():
            nn.init.normal_(parameter, 0, 0.1)
    pair = Neighbours(*torch.rand(2, 1, 3, SIZE, SIZE), *(torch.rand(2, 1, 3, 2) - 0.5), torch.tensor([0.3]))

    def made() -> list[Tensor]:
        with torch.inference_mode():
            return [between(pair).picture.clone(), enlarge(larger, pair.before, 48)]

    plain = made()
    for network in (between, larger):
        compile_graphs(network, [Graph("forward", exact=True, lent=True)], on(name))
    for ours, torchs in zip(made(), plain, strict=True):
        assert float((ours - torchs).abs().max()) < 1e-3


class Doubling(nn.Module):
    """The smallest network, which counts how often torch computes it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 1)
        self.calls = 0
        nn.init.constant_(self.conv.weight, 2.0)
        nn.init.zeros_(self.conv.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.conv(x)  # type: ignore[no-any-return]


def doubled(name: str, side: int = 4) -> Doubling:
    """A network after an engine computed one picture of it."""
    network = Doubling().eval()
    compile_graphs(network, [Graph("forward")], on(name))
    with torch.inference_mode():
        assert torch.equal(network(torch.ones(1, 1, side, side)), torch.full((1, 1, side, side), 2.0))
    return network


@pytest.mark.parametrize("name", OTHERS)
def test_what_was_compiled_once_is_not_recorded_again(name: str, own_cache: Path):
    assert doubled(name).calls > 0
    assert doubled(name).calls == 0
    assert len(list(own_cache.glob("*.graph"))) == 1
    assert doubled(name, side=6).calls > 0  # another shape is another graph


@pytest.mark.parametrize("name", OTHERS)
def test_other_weights_are_another_graph(name: str):
    doubled(name)
    tripling = Doubling().eval()
    nn.init.constant_(tripling.conv.weight, 3.0)
    compile_graphs(tripling, [Graph("forward")], on(name))
    with torch.inference_mode():
        assert float(tripling(torch.ones(1, 1, 4, 4)).max()) == 3.0


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "other", "folder"])
@pytest.mark.parametrize("name", OTHERS)
def test_a_damaged_cache_is_rebuilt(name: str, damage: str, own_cache: Path):
    doubled(name)
    (path,) = own_cache.glob("*.graph")
    kept = path.read_bytes()
    if damage == "folder":
        path.unlink()
        path.mkdir()
    else:
        flipped = kept[:-20] + bytes([kept[-20] ^ 1]) + kept[-19:]
        path.write_bytes({"cut": kept[: len(kept) // 2], "flipped": flipped, "empty": b"", "other": b"x" * 99}[damage])
    assert doubled(name).calls > 0
    if damage != "folder":
        assert doubled(name).calls == 0


@pytest.mark.parametrize("name", OTHERS)
def test_what_an_engine_cannot_read_is_compiled_again(name: str, own_cache: Path):
    """Whole by its checksum, but not this engine's."""
    doubled(name)
    (path,) = own_cache.glob("*.graph")
    GraphCache(own_cache).put(path.stem, Entry("tensor", b"not a graph"))
    assert doubled(name).calls > 0
    assert doubled(name).calls == 0


@pytest.mark.parametrize("name", OTHERS)
def test_without_a_folder_to_keep_it_in_it_is_compiled_each_time(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert doubled(name).calls > 0
    assert doubled(name).calls > 0


@pytest.mark.parametrize("name", OTHERS)
def test_what_an_engine_cannot_compute_torch_does(name: str, caplog: pytest.LogCaptureFixture):
    class Solving(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.linalg.eigvalsh(x)

    network = Solving().eval()
    compile_graphs(network, [Graph("forward")], on(name))
    with torch.inference_mode():
        assert torch.equal(network(torch.eye(3)), torch.ones(3))
        assert torch.equal(network(2 * torch.eye(3)), 2 * torch.ones(3))
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert "so torch does" in warnings[0].getMessage()


def test_the_cache_keeps_what_was_used_last_within_its_limit(tmp_path: Path):
    cache = GraphCache(tmp_path / "graphs", most_bytes=3500)
    for number, key in enumerate("abc"):
        cache.put(key, Entry(["tensor", None], bytes([number]) * 1000))
        os.utime(cache.folder / f"{key}.graph", (number + 1, number + 1))
    assert cache.get("a") == Entry(["tensor", None], bytes(1000))
    cache.put("d", Entry("tensor", b"d" * 1000))
    assert [key for key in "abcd" if cache.get(key) is not None] == ["a", "c", "d"]
    assert cache.size_bytes() <= 3500


def test_an_entry_is_a_view_of_its_file_that_outlives_it(tmp_path: Path):
    """Mapped where vectors of numbers like to lie, and given back to the system until it is looked at again."""
    cache, made = GraphCache(tmp_path), bytes(range(256)) * 4096
    cache.put("a", Entry(["tensor", None, "tensor"], made))
    entry = cache.get("a")
    assert entry is not None and isinstance(entry.made, memoryview)
    assert np.frombuffer(entry.made, np.uint8).ctypes.data % 64 == 0
    cache.drop("a")
    cache.put("a", Entry("tensor", b"other"))
    assert entry.made == made
    forget(entry.made)
    assert entry.made == made
    forget(made)


def test_an_entry_larger_than_the_limit_is_kept_alone(tmp_path: Path):
    cache = GraphCache(tmp_path, most_bytes=10)
    cache.put("a", Entry("tensor", b"a" * 100))
    cache.put("b", Entry("tensor", b"b" * 100))
    assert cache.get("a") is None
    assert cache.get("b") is not None


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Path]:
    with Lock(tmp_path):
        yield tmp_path


def test_a_lock_is_waited_for_as_long_as_patience_lasts(held: Path):
    with pytest.raises(OutputError, match="another run"):
        Lock(held, patience_s=0.2)


COMPILE = """
import sys, torch
sys.path[:0] = {paths!r}
from test_engines import doubled
print(doubled({name!r}).calls)
"""


@pytest.mark.parametrize("name", OTHERS)
def test_processes_that_begin_together_compile_once(name: str, own_cache: Path):
    here = Path(__file__).parent
    code = COMPILE.format(paths=[str(here), str(here.parent)], name=name)
    environment = {**os.environ, "XDG_CACHE_HOME": str(own_cache.parents[1])}
    started = [
        subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    calls = sorted(int(process.communicate()[0]) for process in started)
    assert [process.returncode for process in started] == [0, 0]
    assert calls[0] == 0 < calls[1]


def test_for_a_file_several_frames_are_computed_at_once_unless_torch_does():
    def streams(threads: int, name: str) -> int:
        return Engine("cpu", "fp32", threads, name).for_throughput().chosen().streams

    assert streams(8, "torch") == 1
    for name in filter(installed, ("openvino", "onnx")):
        assert [streams(threads, name) for threads in (1, 2, 8)] == [1, 2, MOST_STREAMS]
        assert Engine("cpu", "fp32", 8, name).chosen().streams == 1


@pytest.mark.parametrize("streams", [1, 2])
@pytest.mark.parametrize("name", OTHERS)
def test_what_an_engine_cannot_read_is_told_when_it_is_read(name: str, streams: int):
    """Where it is compiled again; the first frame would be too late."""
    with pytest.raises(Exception):  # noqa: B017 - engines raise what they like
        backend_of(name).load(b"no graph", Engine("cpu", "fp32", 2, name, streams))


def test_an_unknown_engine_is_named_in_one_line(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(ConfigError, match="choose auto, torch, openvino, onnx"):
        choose_engine("tensorflow", "cpu")
    assert run(["reenact", "a.png", "b.mp4", "-o", "c.mp4", "--engine", "tensorflow"]) == 2
    said = capsys.readouterr().err
    assert len(said.strip().splitlines()) == 1
    assert "openvino" in said


def test_an_engine_that_is_not_installed_says_what_brings_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(ENGINES, "openvino", ("no_such_package_here", "fast"))
    with pytest.raises(ConfigError, match=r"pip install 'visavis\[fast\]'"):
        choose_engine("openvino", "cpu")
    monkeypatch.delenv("VISAVIS_ENGINE")
    assert choose_engine("auto", "cpu") == "torch"


def test_auto_takes_openvino_on_x86_alone_and_what_the_environment_says(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(ENGINES, "openvino", ("json", "fast"))  # a package that is there
    monkeypatch.delenv("VISAVIS_ENGINE")
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    assert choose_engine("auto", "cpu") == "openvino"
    assert choose_engine("auto", "cuda") == "torch"
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert choose_engine("auto", "cpu") == "torch"
    monkeypatch.setenv("VISAVIS_ENGINE", "openvino")
    assert choose_engine("auto", "cpu") == "openvino"
    assert choose_engine("torch", "cpu") == "torch"


@pytest.mark.parametrize("name", OTHERS)
def test_an_engine_of_the_cpu_is_refused_on_a_gpu_and_chosen_on_a_machine_that_has_one(
    name: str, monkeypatch: pytest.MonkeyPatch
):
    with pytest.raises(ConfigError, match="on the CPU alone"):
        choose_engine(name, "cuda")
    monkeypatch.setattr("visavis.nn.engine._has_cuda", lambda: True)
    assert Engine(name=name).chosen().device == "cpu"
    assert Engine(name="torch").chosen().device == "cuda"


def test_precisions_that_an_engine_does_not_have_are_refused():
    with pytest.raises(ConfigError, match="no bf16"):
        choose_precision("bf16", "cpu", "onnx")
    with pytest.raises(ConfigError, match="fp32 or bf16"):
        choose_precision("int8", "cpu", "openvino")
    assert choose_precision("auto", "cpu", "onnx") == "fp32"


@pytest.mark.parametrize("name", OTHERS)
def test_the_command_line_says_that_it_compiles_and_reports_its_engine(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    from visavis.drawn.synthetic import draw
    from visavis.media.still import write_picture

    write_picture(tmp_path / "portrait.png", draw(256, seed=0))
    weights = tiny_weights(tmp_path / "tiny.safetensors")
    command = ["edit", tmp_path / "portrait.png", "-o", tmp_path / "out.png", "--edit", "yaw=5", "--model", weights]
    assert run([*command, "--engine", name, "--json"]) == 0
    out, err = capsys.readouterr()
    assert "compiling AvfrNetwork.decode" in err
    assert json.loads(out)["engine"] == name
    assert run([*command, "--engine", name, "--force"]) == 0
    assert "compiling" not in capsys.readouterr().err


@pytest.mark.parametrize("name", OTHERS)
def test_weights_are_loaded_with_the_engine_in_place(name: str, tmp_path: Path):
    generator = load_generator(str(tiny_weights(tmp_path / "tiny.safetensors")), on(name))
    assert generator.engine.name == name
    person = generator.prepare([observation(0)])
    plain = load_generator(str(tmp_path / "tiny.safetensors"), PLAIN)
    motion = plain.analyse(observation(1))
    ours, torchs = person.render([motion], None), plain.prepare([observation(0)]).render([motion], None)
    assert int(np.abs(ours.astype(int) - torchs).max()) <= 1
