"""Graphs that come with the package: torch's pictures and torch's talk, computed where there is no torch."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import weakref
import zipfile
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import visavis
from observing import talking
from visavis.audio.characters import PART_SAMPLES
from visavis.audio.recogniser import PARTS_OF_A_FRAME, CharacterRecogniser
from visavis.core.errors import ConfigError
from visavis.core.registry import FAMILIES
from visavis.drawn.synthetic import TalkingFace, draw, write_clip
from visavis.generators.base import Generator
from visavis.media.frame import Pixels
from visavis.media.reader import VideoReader
from visavis.media.still import write_picture
from visavis.motion.speech.heard import SpeakerSound
from visavis.motion.speech.speaker import Speaker
from visavis.nn.engine import PLAIN, Engine, installed
from visavis.nn.graph import Step
from visavis.pipelines.call.decoder import CallDecoder
from visavis.pipelines.call.encoder import CallEncoder
from visavis.pipelines.call.weights import WeightsId
from visavis.pipelines.load import load_generator
from visavis.pipelines.speaks import load_speaker
from visavis.runtime.onnx_model import with_weights
from visavis.runtime.packaged import SUFFIX, PackagedRunner, packaged_graphs
from visavis.weights.checkpoint import load
from visavis.weights.store import PACKAGED, packaged, resolve

NAMES = sorted(path.stem for path in PACKAGED.glob(f"*{SUFFIX}"))
GENERATORS = [name for name in NAMES if load(resolve(name), tensors=False).family in FAMILIES]
OTHERS = [
    pytest.param(name, marks=pytest.mark.skipif(not installed(name), reason=f"{name} is not installed"))
    for name in ("openvino", "onnx")
]
#: Runs the command line where torch cannot be imported.
WITHOUT_TORCH = "import sys; sys.modules['torch'] = None; from visavis.cli.main import main; main()"


def pictures(generator: Generator) -> list[Pixels]:
    """The first of a few frames moved by the others, with sound and without."""
    first, *others = talking(generator, 3)
    person = generator.prepare([first] * generator.references.least)
    rng = np.random.default_rng(0)
    sound = None if generator.hears is None else rng.random(generator.hears.shape).astype(np.float32)
    heard = [sound, None]
    motions = [generator.analyse(one) for one in others]
    window = generator.memory + 1
    return [person.render([motion] * window, sound) for motion, sound in zip(motions, heard, strict=True)]


def test_avfr_and_what_talks_have_their_graphs():
    assert {"avfr-256", "characters-16", "speaker-25"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_graphs_are_small_and_belong_to_packaged_weights(name: str):
    """Structure alone: weights are stored once."""
    assert (PACKAGED / f"{name}{SUFFIX}").stat().st_size < 200_000
    header = load(PACKAGED / packaged()[name].file, tensors=False)
    found = packaged_graphs(header.family, header.config)
    assert found is not None
    assert found.path.stem == name


@pytest.mark.parametrize("engine", OTHERS)
@pytest.mark.parametrize("name", GENERATORS)
def test_every_engine_makes_torchs_pictures(name: str, engine: str):
    ours = load_generator(name, Engine("cpu", "fp32", 1, engine))
    assert isinstance(ours.run, PackagedRunner)
    for made, torchs in zip(pictures(ours), pictures(load_generator(name, PLAIN)), strict=True):
        assert int(np.abs(made.astype(int) - torchs).max()) <= 1  # rounding of 8 bits
        assert made.std() > 10


@pytest.mark.parametrize("name", NAMES)
def test_graphs_are_what_torch_records(name: str):
    """Red where a network's code has changed: ``python tools/export_graphs.py NAME`` renews the file."""
    pytest.importorskip("onnx")
    sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
    try:
        from export_graphs import recorded
    finally:
        sys.path.pop(0)
    family, config, graphs = recorded(name)
    kept = packaged_graphs(family, config)
    assert kept is not None
    assert set(kept.about) == set(graphs)
    for graph, found in graphs.items():
        there = kept.graph(graph)
        assert (there.takes, there.gives, sorted(there.weights)) == (found.takes, found.gives, sorted(found.weights))
        assert operations(there.model) == operations(found.model)


def operations(model: bytes) -> list[tuple[str, list[str], list[Any]]]:
    """What an ONNX model computes, whatever its writer calls the values between."""
    import onnx

    graph = onnx.load_from_string(model).graph
    own = {name: str(number) for number, name in enumerate(name for node in graph.node for name in node.output)}
    return [
        (
            node.op_type,
            [own.get(name, name) for name in node.input],
            [each.SerializeToString() for each in node.attribute],
        )
        for node in graph.node
    ]


def test_weights_behind_a_model_are_its_weights():
    """Two messages of protocol buffers, one behind the other, are one."""
    onnx = pytest.importorskip("onnx")
    kind = onnx.TensorProto.FLOAT
    node = onnx.helper.make_node("Mul", ["input0", "scale"], ["output"])
    graph = onnx.helper.make_graph(
        [node],
        "graph",
        [onnx.helper.make_tensor_value_info("input0", kind, [2, 3])],
        [onnx.helper.make_tensor_value_info("output", kind, [2, 3])],
    )
    bare = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)]).SerializeToString()
    scale = np.arange(300, dtype=np.float32).reshape(3, 100).T[:2]  # not in order in memory
    whole_model = onnx.load_from_string(with_weights(bare, {"scale": scale, "none": np.zeros((0, 2), np.float32)}))
    first, second = whole_model.graph.initializer
    assert (first.name, second.name, list(second.dims)) == ("scale", "none", [0, 2])
    assert np.array_equal(onnx.numpy_helper.to_array(first), scale)
    assert list(whole_model.graph.node) == [node]


@pytest.mark.skipif(not installed("openvino"), reason="openvino is not installed")
def test_other_arguments_than_the_recorded_ones_are_refused():
    generator = load_generator("avfr-256", Engine("cpu", "fp32", 1, "openvino"))
    with pytest.raises(ValueError, match="other arguments"):
        generator.run("detect", np.zeros((1, 3, 64, 64), np.float32), None, None)


@pytest.mark.skipif(not installed("openvino"), reason="openvino is not installed")
def test_the_network_of_graphs_is_not_there():
    generator = load_generator("avfr-256", Engine("cpu", "fp32", 1, "openvino"))
    with pytest.raises(ConfigError, match="without their network"):
        generator.fold()


@pytest.mark.parametrize("engine", OTHERS)
@pytest.mark.parametrize("name", GENERATORS)
def test_graphs_that_were_let_go_come_back_with_the_same_pictures(name: str, engine: str):
    generator = load_generator(name, Engine("cpu", "fp32", 1, engine))
    assert isinstance(generator.run, PackagedRunner)
    first, driving = talking(generator, 2)
    person, motion = generator.prepare([first]), generator.analyse(driving)
    before = person.render([motion], None)
    held = weakref.ref(generator.run._ready["encode"][0])
    generator.keep_for({Step.RENDER})
    rendering = {"gather", "weigh", "move", "decode"}
    assert set(generator.run._ready) == rendering
    assert held() is None
    assert np.array_equal(person.render([motion], None), before)
    assert np.array_equal(generator.analyse(driving).vector, motion.vector)
    assert np.array_equal(generator.prepare([first]).render([motion], None), before)
    generator.keep_for(frozenset(Step))
    assert set(generator.run._ready) == {"detect", "encode"} | rendering


@pytest.mark.skipif(not installed("openvino"), reason="openvino is not installed")
def test_a_call_is_the_same_where_memory_is_let_go_after_each_pivot():
    generator, weights = load_generator("avfr-256", Engine("cpu", "fp32", 1, "openvino")), WeightsId.of("avfr-256")
    assert isinstance(generator.run, PackagedRunner)
    frames = list(TalkingFace(3, generator.size).frames(16))
    sent, shown = [], []
    for lean in (False, True):
        with CallEncoder(generator, weights, fps=Fraction(25), lean=lean) as encoder:
            sent.append([packet for frame in frames for packet in encoder.push(frame)] + encoder.finish())
        assert ("encode" in generator.run._ready) is not lean
    for lean in (False, True):
        with CallDecoder(generator, weights, whole=lean) as decoder:
            shown.append([frame.pixels for frame in decoder.play(sent[0])])
        assert ("detect" in generator.run._ready) is not lean
    assert sent[0] == sent[1]
    assert len(shown[0]) == 16
    assert np.array_equal(shown[0], shown[1])


@pytest.mark.skipif(not installed("openvino"), reason="openvino is not installed")
def test_what_is_expected_is_made_once_and_beside_what_goes_on(monkeypatch: pytest.MonkeyPatch):
    made: list[tuple[str, str]] = []
    make = PackagedRunner._made

    def made_by(self: PackagedRunner, name: str) -> Any:
        made.append((name, threading.current_thread().name))
        return make(self, name)

    monkeypatch.setattr(PackagedRunner, "_made", made_by)
    generator = load_generator("avfr-256", Engine("cpu", "fp32", 1, "openvino"))
    generator.expect({Step.RENDER})
    first, driving = talking(generator, 2)
    picture = generator.prepare([first]).render([generator.analyse(driving)], None)
    assert picture.std() > 10
    assert sorted(made) == sorted(
        [(name, "MainThread") for name in ("detect", "encode")]
        + [(name, "visavis-graphs") for name in ("gather", "weigh", "move", "decode")]
    )


@pytest.mark.parametrize("damage", ["cut", "empty", "other"])
@pytest.mark.skipif(not installed("openvino"), reason="openvino is not installed")
def test_damaged_graphs_are_as_none(damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Torch computes then, where it is."""
    kept = (PACKAGED / f"avfr-256{SUFFIX}").read_bytes()
    path = tmp_path / f"avfr-256{SUFFIX}"
    if damage == "other":
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("index.json", "[]")
    else:
        path.write_bytes(kept[: len(kept) // 2] if damage == "cut" else b"")
    monkeypatch.setattr("visavis.runtime.packaged.PACKAGED", tmp_path)
    header = load(PACKAGED / "avfr-256.safetensors", tensors=False)
    assert packaged_graphs(header.family, header.config) is None


def without_torch(*command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the command line where torch cannot be imported."""
    return python("-c", WITHOUT_TORCH, *command, folder=folder)


def python(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run Python with this package."""
    environment = {**os.environ, "PYTHONPATH": str(Path(visavis.__file__).parents[1])}
    return subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def voice() -> NDArray[np.float32]:
    return TalkingFace(1).sound(0.8).samples


@pytest.fixture(scope="module")
def torchs() -> Speaker:
    return Speaker.load()


@pytest.mark.parametrize("engine", OTHERS)
def test_every_engine_says_what_torch_says(engine: str, torchs: Speaker, voice: NDArray[np.float32]):
    """From sound to coefficients; the same seed is the same talk, and a reference the same rhythm."""
    ours = load_speaker(Engine("cpu", "auto", 2, engine))
    assert isinstance(ours, Speaker)
    assert isinstance(ours.run, PackagedRunner)
    rng = np.random.default_rng(0)
    camera = np.cumsum(rng.normal(0, 0.01, (100, 6)), 0).astype(np.float32)
    opened = np.abs(rng.normal(0, 0.1, 100)).astype(np.float32)
    person = rng.normal(0, 0.5, 40).astype(np.float32)
    made = []
    for speaker in (ours, torchs):
        heard = speaker.hears.of_clip(voice, 20)
        rhythm = speaker.rhythm_of(camera, np.tile(heard, (5, 1)), opened)
        frames = []
        for told in (rhythm, None):
            speaking = speaker.speaking(person, rhythm=told, seed=3)
            frames += [speaking.next(row) for row in [*heard, None]]
        made.append((heard, rhythm.code, rhythm.width, frames))
    (heard, code, width, frames), (torchs_heard, torchs_code, torchs_width, torchs_frames) = made
    assert close(heard, torchs_heard)
    assert close(code, torchs_code)
    assert width == pytest.approx(torchs_width, rel=1e-4) != 1
    for part in ("expression", "camera", "gaze"):
        assert close(*(np.stack([getattr(frame, part) for frame in each]) for each in (frames, torchs_frames)))


def close(found: NDArray[np.float32], wanted: NDArray[np.float32]) -> bool:
    """To a part in ten thousand of the largest."""
    return found.shape == wanted.shape and bool(np.abs(found - wanted).max() <= 1e-4 * np.abs(wanted).max() > 0)


@pytest.mark.parametrize("engine", OTHERS)
def test_every_engine_hears_any_number_of_parts(engine: str, voice: NDArray[np.float32]):
    """A graph has one shape; what it is not enough for it hears in turns, and what is too much for it is left out."""
    ours, torchs = load_speaker(Engine("cpu", "fp32", 1, engine)).hears, CharacterRecogniser.load()
    assert isinstance(ours, SpeakerSound)
    recogniser = ours.features.recogniser
    for parts in (0, 1, PARTS_OF_A_FRAME, PARTS_OF_A_FRAME + 1):
        samples = np.resize(voice, parts * PART_SAMPLES + 2 * recogniser.reach_samples + 5)
        found = recogniser.logits(samples)
        assert found.shape == (parts, 27)
        np.testing.assert_allclose(found, torchs.logits(samples), atol=1e-3)


@pytest.mark.skipif(not installed("openvino"), reason="openvino is not installed")
def test_the_network_of_a_speaker_of_graphs_is_not_there():
    speaker = load_speaker(Engine("cpu", "fp32", 1, "openvino"))
    with pytest.raises(ConfigError, match="without their network"):
        speaker.network  # type: ignore[attr-defined]  # noqa: B018


def test_where_torch_is_chosen_it_speaks():
    speaker = load_speaker(PLAIN)
    assert isinstance(speaker, Speaker)
    assert speaker.network.config == speaker.config


@pytest.mark.skipif(not installed("openvino"), reason="openvino is not installed")
def test_without_torch_a_portrait_talks_and_a_film_is_dubbed(tmp_path: Path):
    """The portrait is a clip, which tells a rhythm; it is the film, too, and its sound another voice."""
    write_clip(tmp_path / "portrait.mp4", 0.2, seed=3)
    write_clip(tmp_path / "driving.mp4", 0.2, seed=1)
    for command in (
        ["talk", "portrait.mp4", "driving.mp4", "-o", "talk.mp4"],
        ["dub", "portrait.mp4", "driving.mp4", "-o", "dub.mp4"],
        ["reenact", "portrait.mp4", "driving.mp4", "--audio", "portrait.mp4", "-o", "out.mp4"],
    ):
        done = without_torch(*command, "--engine", "openvino", folder=tmp_path)
        assert done.returncode == 0, done.stderr
    for name in ("talk.mp4", "dub.mp4", "out.mp4"):
        with VideoReader(tmp_path / name) as reader:
            assert len(list(reader)) in (5, 6)  # coded sound may reach into a sixth


#: A stream of speech where torch cannot be imported; the picture is named by the first argument.
TALKER = """
import sys; sys.modules['torch'] = None
import numpy as np
from visavis import Talker
from visavis.nn.engine import Engine
talker = Talker(sys.argv[1], engine=Engine(name="onnx"))
print(len(talker.push(np.zeros(11_000, np.float32), 16_000)))
"""


@pytest.mark.skipif(not installed("onnx"), reason="onnx is not installed")
def test_without_torch_a_stream_of_speech_is_said(tmp_path: Path):
    write_picture(tmp_path / "portrait.png", draw(256, seed=3))
    done = python("-c", TALKER, "portrait.png", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["3"]  # those up to 0.6 s before the end of what is heard


@pytest.mark.parametrize("engine", OTHERS)
def test_without_torch_a_portrait_is_animated_and_a_call_is_coded(engine: str, tmp_path: Path):
    write_picture(tmp_path / "portrait.png", draw(256, seed=3))
    write_clip(tmp_path / "driving.mp4", 0.4, seed=1)
    for command in (
        ["reenact", "portrait.png", "driving.mp4", "-o", "out.mp4"],
        ["encode", "driving.mp4", "-o", "call.vsv"],
        ["decode", "call.vsv", "-o", "call.mp4"],
    ):
        done = without_torch(*command, "--engine", engine, folder=tmp_path)
        assert done.returncode == 0, done.stderr
    for name in ("out.mp4", "call.mp4"):
        with VideoReader(tmp_path / name) as reader:
            assert len(list(reader)) == 10


@pytest.mark.parametrize(
    "verb",
    [
        ["train", "config.toml", "--data", "."],
        ["evaluate", "--data", ".", "--split", "val"],
        ["reenact", "a.png", "b.mp4", "-o", "c.mp4", "--engine", "torch"],
    ],
    ids=["train", "evaluate", "engine"],
)
def test_without_torch_what_needs_it_says_so_in_one_line(verb: list[str], tmp_path: Path):
    write_picture(tmp_path / "a.png", draw(256, seed=3))
    write_clip(tmp_path / "b.mp4", 0.2, seed=1)
    done = without_torch(*verb, folder=tmp_path)
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert "pip install 'visavis[torch]'" in done.stderr
