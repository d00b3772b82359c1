"""Weights from anywhere: what a file claims costs no memory, and is refused in one line."""

from __future__ import annotations

import json
import os
import stat
import struct
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from limited import memory_limit, refused, run_limited
from made import run, tiny_weights
from visavis.core.errors import ConfigError, WeightsError
from visavis.enhance.interpolation import BetweenConfig, load_interpolator
from visavis.enhance.super_resolution import EnlargeConfig, load_enlarger
from visavis.generators.avfr.config import AvfrConfig
from visavis.generators.keypoint import FirstOrderModel, KeypointConfig
from visavis.judges.face_network import FaceConfig, FaceNetwork, load_face_network
from visavis.judges.mouth_sync import MouthSync, MouthSyncConfig
from visavis.nn.engine import Engine
from visavis.pipelines.load import load_generator
from visavis.weights import checkpoint as checkpoints
from visavis.weights.checkpoint import load, save
from visavis.weights.convert import read_tensors
from visavis.weights.network import load_network
from visavis.weights.outline import outline

LARGEST = {
    "keypoint": asdict(
        KeypointConfig(
            size=1024, detector_width=512, detector_blocks=8, detector_max=2048, motion_width=1024, motion_blocks=8,
            motion_max=2048, width=64, down_blocks=5, bottleneck_blocks=32, most=2048,
        )
    ),
    "avfr": asdict(
        AvfrConfig(
            size=1024, detector_width=512, detector_blocks=8, detector_max=2048, motion_width=512, motion_blocks=8,
            motion_max=2048, widths=(64, 256, 1024), channels=1024, bottleneck_blocks=32, modulation_kernel=7,
        )
    ),
    "face": asdict(FaceConfig(size=512, widths=(128, 256, 1024), identities=1 << 20, embedding=2048)),
    "between": asdict(BetweenConfig(width=512, depth=32, repair=512)),
    "enlarge": asdict(EnlargeConfig(width=512, layers=32)),
    "sync": asdict(MouthSyncConfig(width=512, embedding=4096, context=50)),
}  # fmt: skip


def liar(path: Path, family: str, config: Any) -> Path:
    """Weights of one number whose header claims a network."""
    text = config if isinstance(config, str) else json.dumps(config)
    save_file({"x": torch.zeros(1)}, str(path), {"format": "visavis-1", "family": family, "config": text, "meta": "{}"})
    return path


@pytest.mark.parametrize("family", ["keypoint", "avfr"])
@pytest.mark.parametrize("verb", ["inspect {}", "bench --frames 5 --model {}"])
def test_some_hundred_bytes_cannot_ask_for_a_large_network(tmp_path: Path, family: str, verb: str):
    path = liar(tmp_path / "w.safetensors", family, LARGEST[family])
    assert "lacks" in refused(*verb.format(path).split(), most_mb=512)


def test_no_family_builds_before_it_compares(tmp_path: Path):
    """Each would take more than this, were it built."""
    loaders = {
        "keypoint": lambda path: load_generator(str(path), Engine("cpu")),
        "avfr": lambda path: load_generator(str(path), Engine("cpu")),
        "face": load_face_network,
        "between": load_interpolator,
        "enlarge": load_enlarger,
        "sync": lambda path: load_network(path, "sync", MouthSyncConfig, MouthSync),
    }
    paths = {family: liar(tmp_path / f"{family}.safetensors", family, LARGEST[family]) for family in loaders}
    for family, loader in loaders.items():
        with memory_limit(256), pytest.raises(WeightsError, match="lacks"):
            loader(paths[family])


def test_an_outline_is_the_network_without_its_numbers_and_soon_made():
    """Torch would load a symbolic algebra to make it by its own means, at each start of every verb."""
    code = """
import sys
from visavis.generators.keypoint import FirstOrderModel, KeypointConfig
from visavis.generators.avfr.network import AvfrNetwork, AvfrConfig
from visavis.weights.outline import outline
for make in (lambda: FirstOrderModel(KeypointConfig.tiny()), lambda: AvfrNetwork(AvfrConfig.tiny())):
    real, drawn = make().state_dict(), outline(make).state_dict()
    assert {name: value.shape for name, value in real.items()} == {name: value.shape for name, value in drawn.items()}
    assert all(drawn[name].is_meta for name in drawn if name.endswith(".bias"))
assert "sympy" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)
    assert not outline(lambda: FaceNetwork(replace(FaceConfig(), identities=3))).state_dict()["identities"].is_cpu


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ('{"size": 4096, "width": 64}', "too large"),
        ('{"size": 4096, "keypoints": 256}', "too large"),
        ('{"size": -256}', "size"),
        ('{"size": NaN}', "NaN"),
        ('{"size": 1e999}', "too large"),
        ('{"size": 256, "size": 64}', "twice"),
        ('{"size": ' + "[" * 100_000 + "]" * 100_000 + "}", "deep"),
        ('{"size": ' + "[" * 40 + "]" * 40 + "}", "deep"),
        ('{"size": ' + "9" * 5000 + "}", "safetensors"),
        ("[]", "tables"),
        ("{", "damaged"),
    ],
)
def test_a_config_that_no_network_has_is_refused(tmp_path: Path, config: str, named: str):
    path = liar(tmp_path / "w.safetensors", "keypoint", config)
    with pytest.raises(WeightsError, match=named) as caught:
        load_generator(str(path), Engine("cpu"))
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 1000


def _header(path: Path, header: bytes, length: int | None = None, data: bytes = bytes(4)) -> Path:
    path.write_bytes(struct.pack("<Q", len(header) if length is None else length) + header + data)
    return path


OURS = '"__metadata__": {"format": "visavis-1", "family": "keypoint", "config": "{}", "meta": "{}"}'
HEADERS = {
    "no end": (b"{" + OURS.encode() + b"}", 1 << 40),
    "large": (b"{" + OURS.encode() + b', "x": "' + b"x" * (5 << 20) + b'"}', None),
    "deep": (b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", None),
    "negative": (f'{{{OURS}, "x": {{"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}}}'.encode(), None),
    "too many": (f'{{{OURS}, "x": {{"dtype": "F32", "shape": [{2**62}, 4], "data_offsets": [0, 4]}}}}'.encode(), None),
    "nothing, hugely": (
        f'{{{OURS}, "x": {{"dtype": "F32", "shape": [0, {2**62}, {2**62}], "data_offsets": [0, 0]}}}}'.encode(),
        None,
    ),
    "backwards": (f'{{{OURS}, "x": {{"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}}}}'.encode(), None),
    "twice": (
        f'{{{OURS}, "x": {{"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, '
        '"x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}'.encode(),
        None,
    ),
    "a NaN": (f'{{{OURS}, "x": {{"dtype": "F32", "shape": [NaN], "data_offsets": [0, 4]}}}}'.encode(), None),
}


@pytest.mark.parametrize("case", HEADERS)
@pytest.mark.parametrize(
    "reader", [lambda path: load_generator(str(path), Engine("cpu")), load_face_network, read_tensors]
)
def test_a_damaged_header_is_refused_by_every_reader(tmp_path: Path, case: str, reader: Any):
    path = _header(tmp_path / "w.safetensors", *HEADERS[case])
    if reader is read_tensors and case == "twice":
        pytest.skip("a table without a config: which of two equal entries is read makes no difference")
    with pytest.raises(WeightsError) as caught:
        reader(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def test_training_does_not_start_from_weights_that_lie(tmp_path: Path):
    path = liar(tmp_path / "w.safetensors", "avfr", LARGEST["avfr"])
    recipe = tmp_path / "r.toml"
    recipe.write_text("[model]\npreset = 'tiny'\n")
    line = refused("train", recipe, "--data", tmp_path, "--out", tmp_path / "run", "--start-from", path)
    assert "size" in line
    assert not (tmp_path / "run").exists()


def test_a_published_checkpoint_cannot_ask_for_a_large_network(tmp_path: Path):
    """Few numbers may have the shapes of many: one long axis each."""
    torch.manual_seed(0)
    network = FirstOrderModel(KeypointConfig.tiny())
    parts = {name: dict(getattr(network, name).state_dict()) for name in ("generator", "kp_detector")}
    for part in parts.values():
        for name, tensor in part.items():
            if (tensor.dim() == 4 and "down_blocks" in name) or name == "first.conv.weight":
                part[name] = torch.zeros(2048, 1, 1, 1)
    torch.save(parts, tmp_path / "c.pth")
    refused("weights", "convert", tmp_path / "c.pth", "-o", tmp_path / "w.safetensors", most_mb=512)
    assert os.listdir(tmp_path) == ["c.pth"]


def test_no_size_that_a_header_claims_makes_inspect_compute(tmp_path: Path):
    """A picture of 2048x2048 through this network would take gigabytes; its cost is known without one."""
    config = replace(KeypointConfig.tiny(), size=2048)
    save(tmp_path / "w.safetensors", FirstOrderModel(config).state_dict(), family="keypoint", config=asdict(config))
    done = run_limited("inspect", tmp_path / "w.safetensors", "--json", most_mb=400)
    assert done.returncode == 0, done
    small = run_limited("inspect", _of_size(tmp_path, 64), "--json")
    of_large, of_small = (json.loads(found.stdout)["gmac"]["per_frame"]["total"] for found in (done, small))
    assert of_large == pytest.approx(1024 * of_small, rel=0.2)


def _of_size(folder: Path, size: int) -> Path:
    config = replace(KeypointConfig.tiny(), size=size)
    path = folder / f"{size}.safetensors"
    save(path, FirstOrderModel(config).state_dict(), family="keypoint", config=asdict(config))
    return path


@pytest.mark.parametrize(
    "make",
    [
        lambda: FaceConfig(size=4096),
        lambda: FaceConfig(widths=(4,) * 20, size=1 << 20),
        lambda: FaceConfig(embedding=1 << 40),
        lambda: BetweenConfig(depth=1 << 40),
        lambda: EnlargeConfig(layers=1 << 40),
        lambda: MouthSyncConfig(shape_values=1 << 40),
        lambda: MouthSyncConfig(dropout=float("nan")),
        lambda: AvfrConfig(size=2048),
    ],
)
def test_no_shape_fills_the_memory(make: Any):
    with pytest.raises(ConfigError):
        make()


@pytest.mark.parametrize("mask", [0o022, 0o002, 0o077])
def test_who_may_read_new_weights_is_for_the_umask_to_say(tmp_path: Path, mask: int):
    """In a process of its own: a umask holds for all threads."""
    code = (
        f"import os, sys, torch; os.umask({mask}); from pathlib import Path; "
        "from visavis.weights.checkpoint import save; "
        "save(Path(sys.argv[1]), {'a': torch.zeros(1)}, family='f', config={})"
    )
    path = tmp_path / "w.safetensors"
    subprocess.run([sys.executable, "-c", code, path], check=True, timeout=300)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask
    assert os.listdir(tmp_path) == [path.name]


def test_inspect_prints_no_control_codes(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    """Neither of weights that it describes nor of those that it refuses, and JSON stays what is in the file."""
    found = load(tiny_weights(tmp_path / "tiny.safetensors"))
    bad = "\x1b[2J\x1b]0;title\x07 \u202e \ud800"
    path = tmp_path / "w.safetensors"
    save(path, found.tensors, family="avfr", config=found.config, meta={"licence": bad, bad: 1})
    assert run(["inspect", path]) == 0
    shown = capfd.readouterr().out
    assert r"\x1b[2J" in shown and r"\u202e" in shown
    assert all(sign.isprintable() or sign == "\n" for sign in shown)
    assert run(["inspect", path, "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["licence"] == bad
    assert run(["inspect", liar(tmp_path / "l.safetensors", "\x1b[31m", "{}")]) == 1
    error = capfd.readouterr().err
    assert r"\x1b[31m" in error and "\x1b" not in error


def test_a_header_larger_than_any_network_needs_is_not_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "w.safetensors"
    save(path, {"a": torch.zeros(1)}, family="f", config={})
    monkeypatch.setattr(checkpoints, "MOST_HEADER_BYTES", 10)
    with pytest.raises(WeightsError, match="at most 10 are read"):
        load(path)
