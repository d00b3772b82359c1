"""Weights: what is stored comes back, what is bad is refused in one line, and nothing in a pickle runs."""

from __future__ import annotations

import json
import os
import pickle
import random
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from visavis.core.errors import OutputError, VisavisError, WeightsError
from visavis.generators.keypoint import FirstOrderModel, KeypointConfig
from visavis.nn.engine import Engine
from visavis.pipelines.load import load_generator
from visavis.weights import store
from visavis.weights.checkpoint import load, load_into, save, sha256
from visavis.weights.convert import convert

Published = dict[str, Any]


def published() -> Published:
    """A tiny first order model in the layout of the published checkpoints."""
    torch.manual_seed(0)
    network = FirstOrderModel(KeypointConfig.tiny())
    parts = {"generator": network.generator, "kp_detector": network.kp_detector}
    return {**{name: dict(part.state_dict()) for name, part in parts.items()}, "epoch": 3}


# --- our own files


def test_what_is_saved_comes_back_exactly(tmp_path: Path):
    path = tmp_path / "w.safetensors"
    tensors = {"a": torch.randn(2, 3), "b": torch.arange(4), "view": torch.randn(4, 4).T}
    tensors["same"] = tensors["a"]
    save(path, tensors, family="keypoint", config={"size": 64}, meta={"licence": "test"})
    found = load(path)
    assert (found.family, found.config, found.meta) == ("keypoint", {"size": 64}, {"licence": "test"})
    assert found.tensors.keys() == tensors.keys()
    assert all(torch.equal(found.tensors[name], tensors[name]) for name in tensors)
    shapes = load(path, tensors=False).tensors
    assert {name: shape.shape for name, shape in shapes.items()} == {
        name: tuple(tensor.shape) for name, tensor in tensors.items()
    }
    assert not any(any(shape.strides) for shape in shapes.values()), "numbers take memory"
    assert os.listdir(tmp_path) == ["w.safetensors"]


@pytest.fixture
def packaged_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A package that holds the weights ``base``, and what weights say that stand on its parts ``a`` and ``b.c``."""
    folder = tmp_path / "packaged"
    folder.mkdir()
    file = folder / "base.safetensors"
    tensors = {"a.x": torch.ones(2), "b.c.x": torch.full((3,), 2.0), "b.d.x": torch.zeros(1), "ab.x": torch.zeros(1)}
    save(file, tensors, family="f", config={})
    row = {"file": file.name, "sha256": sha256(file), "family": "f", "card": ""}
    (folder / "manifest.json").write_text(json.dumps({"base": row}))
    monkeypatch.setattr(store, "PACKAGED", folder)
    return {"name": "base", "sha256": row["sha256"], "parts": ["a", "b.c"]}


def test_weights_may_stand_on_parts_of_packaged_ones(tmp_path: Path, packaged_base: dict[str, Any]):
    path = tmp_path / "w.safetensors"
    save(path, {"b.d.x": torch.full((1,), 5.0)}, family="f", config={}, meta={"base": packaged_base})
    found = load(path).tensors
    assert {name: tensor.tolist() for name, tensor in found.items()} == {
        "a.x": [1, 1],
        "b.c.x": [2, 2, 2],
        "b.d.x": [5],
    }
    shapes = load(path, tensors=False).tensors
    assert {name: shape.shape for name, shape in shapes.items()} == {
        name: tuple(tensor.shape) for name, tensor in found.items()
    }


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"sha256": "0" * 64}, "stands on the packaged weights 'base' of sha256 000000000000"),
        ({"name": "../base"}, "stands on the packaged weights '../base'"),
        ({"parts": "a"}, "'base' is damaged"),
        ({"more": 1}, "'base' is damaged"),
    ],
)
def test_weights_on_others_than_the_packaged_ones_are_refused(
    change: dict[str, Any], says: str, tmp_path: Path, packaged_base: dict[str, Any]
):
    path = tmp_path / "w.safetensors"
    save(path, {"x": torch.zeros(1)}, family="f", config={}, meta={"base": {**packaged_base, **change}})
    with pytest.raises(WeightsError, match=re.escape(says)):
        load(path)


def test_half_precision_never_turns_a_number_into_infinity(tmp_path: Path):
    path = tmp_path / "w.safetensors"
    save(
        path, {"a": torch.ones(2), "large": torch.tensor([1e6]), "n": torch.arange(2)}, family="f", config={}, half=True
    )
    found = load(path).tensors
    assert [found[name].dtype for name in ("a", "large", "n")] == [torch.float16, torch.float32, torch.int64]
    assert float(found["large"]) == 1e6


def test_a_failed_save_leaves_the_old_file(tmp_path: Path):
    path = tmp_path / "w.safetensors"
    path.mkdir()
    (path / "kept").touch()
    with pytest.raises(OutputError):
        save(path, {"a": torch.zeros(1)}, family="f", config={})
    assert os.listdir(tmp_path) == ["w.safetensors"]
    with pytest.raises(OutputError):
        save(path / "kept" / "w.safetensors", {"a": torch.zeros(1)}, family="f", config={})


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_is_never_opened(tmp_path: Path, protocol: int):
    path = tmp_path / "w.safetensors"
    path.write_bytes(pickle.dumps({"generator": {}}, protocol=protocol))
    with pytest.raises(WeightsError, match=r"w\.safetensors"):
        load(path)


def test_damaged_files_are_refused_whatever_the_damage(tmp_path: Path):
    path, rng = tmp_path / "w.safetensors", random.Random(0)
    save(path, {"a": torch.randn(8, 8)}, family="keypoint", config={"size": 64})
    good = path.read_bytes()
    refused = 0
    for turn in range(200):
        bad = bytearray(good)
        if turn % 2:
            del bad[rng.randrange(len(bad)) :]
        else:
            bad[rng.randrange(300)] = rng.randrange(256)
        path.write_bytes(bad)
        try:
            load(path)
        except WeightsError as error:
            assert "\n" not in str(error)
            refused += 1
    assert refused >= 100  # each cut, at least


@pytest.mark.parametrize(
    "config", ["[1]", "3", "null", "{", "[" * 100_000, '{"width": -1}', '{"motion_blocks": 99999}']
)
def test_a_header_that_lies_is_refused(tmp_path: Path, config: str):
    path = tmp_path / "w.safetensors"
    header = {"format": "visavis-1", "family": "keypoint", "config": config, "meta": "{}"}
    save_file({"a": torch.zeros(1)}, str(path), metadata=header)
    with pytest.raises(VisavisError):
        load_generator(str(path), Engine("cpu"))


def test_safetensors_of_others_are_refused(tmp_path: Path):
    path = tmp_path / "w.safetensors"
    save_file({"a": torch.zeros(1)}, str(path))
    with pytest.raises(WeightsError, match="not a visavis checkpoint"):
        load(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("kp_detector.kp.bias"), r"lacks kp_detector\.kp\.bias$"),
        (lambda t: t.update(extra=torch.zeros(1)), "has unknown extra$"),
        (lambda t: t.update({"kp_detector.kp.bias": torch.zeros(9)}), r"another shape for kp_detector\.kp\.bias$"),
        (lambda t: [t.pop(name) for name in sorted(t)[:5]], "lacks .* and 2 more$"),
    ],
)
def test_keys_must_match_exactly(tmp_path: Path, change: Callable[[dict[str, Any]], Any], message: str):
    path, network = tmp_path / "w.safetensors", FirstOrderModel(KeypointConfig.tiny())
    tensors = dict(network.state_dict())
    change(tensors)
    save(path, tensors, family="keypoint", config={})
    with pytest.raises(WeightsError, match=message):
        load_into(network, load(path), path)


# --- where weights are found


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """The three folders that are searched by name, each with a file ``w``, and a working folder."""
    folders = {name: tmp_path / name for name in ("own", "packaged", "cache/visavis/weights", "work")}
    for name, folder in folders.items():
        folder.mkdir(parents=True)
        if name != "work":
            (folder / "w.safetensors").write_text(name)
    packaged = folders["packaged"]
    row = {"file": "w.safetensors", "sha256": sha256(packaged / "w.safetensors"), "family": "avfr", "card": "w.md"}
    (packaged / "manifest.json").write_text(json.dumps({"w": row}))
    monkeypatch.setattr(store, "PACKAGED", packaged)
    monkeypatch.setenv(store.FOLDER_VARIABLE, str(folders["own"]))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(folders["work"])
    return folders


def test_ones_own_folder_comes_before_the_package_and_that_before_the_cache(places: dict[str, Path]):
    for name in ("own", "packaged", "cache/visavis/weights"):
        assert store.resolve("w").read_text() == name
        (places[name] / "w.safetensors").unlink()
        (places[name] / "manifest.json").unlink(missing_ok=True)
    with pytest.raises(WeightsError, match="no weights named 'w'"):
        store.resolve("w")


def test_a_path_comes_before_every_name(places: dict[str, Path]):
    (places["work"] / "w").write_text("here")
    assert store.resolve("w").read_text() == "here"


def test_a_folder_of_the_same_name_does_not_hide_weights(places: dict[str, Path]):
    """Training into a folder called like the model must not break the model."""
    (places["work"] / "w").mkdir()
    assert store.resolve("w").read_text() == "own"


def test_packaged_weights_are_checked_against_their_hash(places: dict[str, Path]):
    (places["own"] / "w.safetensors").unlink()
    (places["packaged"] / "w.safetensors").write_text("something else")
    with pytest.raises(WeightsError, match="'w' are missing or damaged"):
        store.resolve("w")


@pytest.mark.parametrize("name", ["", "nobody", "a" * 400, "missing.safetensors", "runs/missing", "a" * 400 + ".pth"])
def test_what_does_not_exist_is_said_to_be_missing(places: dict[str, Path], name: str):
    with pytest.raises(WeightsError):
        store.resolve(name)


def test_the_packaged_weights_are_what_the_manifest_says():
    for entry in store.packaged().values():
        assert sha256(store.PACKAGED / entry.file) == entry.sha256
        assert load(store.PACKAGED / entry.file, tensors=False).family == entry.family


# --- converting published checkpoints


@pytest.mark.parametrize("zipped", [True, False])
def test_a_published_checkpoint_is_converted_without_loss(tmp_path: Path, zipped: bool):
    """Old checkpoints are bare pickles, newer ones zip archives; widths are read from the tensors."""
    source, output, values = tmp_path / "c.pth.tar", tmp_path / "w.safetensors", published()
    torch.save(values, source, _use_new_zipfile_serialization=zipped)
    config = convert(source, output)
    assert KeypointConfig(**{**config, "size": 64}) == KeypointConfig.tiny()
    stored = load(output).tensors
    for part in ("generator", "kp_detector"):
        assert all(torch.equal(stored[f"{part}.{name}"], tensor) for name, tensor in values[part].items())
    assert load_generator(str(output), Engine("cpu")).family == "keypoint"


def test_the_size_that_was_trained_at_is_kept(tmp_path: Path):
    source, output = tmp_path / "c.pth.tar", tmp_path / "w.safetensors"
    torch.save(published(), source)
    assert convert(source, output, size=64)["size"] == 64
    assert load_generator(str(output), Engine("cpu")).size == 64
    with pytest.raises(WeightsError, match="size"):
        convert(source, tmp_path / "no.safetensors", size=100)
    assert not (tmp_path / "no.safetensors").exists()


class Evil:
    """Runs a command as it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_checkpoint_does_not_run(tmp_path: Path, zipped: bool):
    source, trace = tmp_path / "c.pth", tmp_path / "it-ran"
    torch.save({**published(), "epoch": Evil(trace)}, source, _use_new_zipfile_serialization=zipped)
    with pytest.raises(WeightsError, match="tensors alone"):
        convert(source, tmp_path / "w.safetensors")
    assert os.listdir(tmp_path) == ["c.pth"]


def _set(part: str, name: Any, value: Any) -> Callable[[Published], Any]:
    return lambda values: values[part].update({name: value})


HOSTILE: dict[str, tuple[Callable[[Published], Any], str]] = {
    "a part is missing": (lambda v: v.pop("kp_detector"), "lacks kp_detector"),
    "a part is no table": (lambda v: v.update(generator=3), "lacks generator"),
    "a key is missing": (lambda v: v["generator"].pop("final.bias"), r"lacks generator\.final\.bias"),
    "a key is missing that gives a width": (lambda v: v["generator"].pop("first.conv.weight"), "first order model"),
    "a key too many": (_set("generator", "extra", torch.zeros(1)), r"unknown generator\.extra"),
    "another shape": (_set("generator", "final.bias", torch.zeros(4)), "another shape"),
    "a scalar": (_set("kp_detector", "kp.weight", torch.tensor(1.0)), "first order model"),
    "an absurd width": (_set("kp_detector", "kp.weight", torch.zeros(5000, 1, 1, 1)), "keypoints"),
    "a number": (_set("generator", "first.conv.weight", 3), "plain tensor"),
    "a list": (_set("generator", "final.bias", [1.0]), "plain tensor"),
    "a key that is no text": (_set("generator", 5, torch.zeros(1)), "plain tensor"),
    "sparse": (_set("generator", "final.bias", torch.zeros(3).to_sparse()), "plain tensor"),
    "complex": (_set("generator", "final.bias", torch.zeros(3, dtype=torch.complex64)), "plain tensor"),
    "40 TB": (_set("generator", "final.bias", torch.zeros(1).expand(10**7, 10**6)), "claims more"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_checkpoint_that_does_not_fit_is_refused_and_nothing_written(tmp_path: Path, case: str):
    change, message = HOSTILE[case]
    values = published()
    change(values)
    torch.save(values, tmp_path / "c.pth")
    with pytest.raises(WeightsError, match=message) as caught:
        convert(tmp_path / "c.pth", tmp_path / "w.safetensors")
    assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == ["c.pth"]


def test_a_compressed_checkpoint_is_refused_before_it_unpacks(tmp_path: Path):
    torch.save(published(), tmp_path / "plain.pth")
    with (
        zipfile.ZipFile(tmp_path / "plain.pth") as plain,
        zipfile.ZipFile(tmp_path / "c.pth", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for name in plain.namelist():
            packed.writestr(name, plain.read(name))
    with pytest.raises(WeightsError, match="compressed"):
        convert(tmp_path / "c.pth", tmp_path / "w.safetensors")


@pytest.mark.parametrize("share", [0, 10, 50, 90])
def test_a_cut_checkpoint_is_refused(tmp_path: Path, share: int):
    torch.save(published(), tmp_path / "whole.pth")
    whole = (tmp_path / "whole.pth").read_bytes()
    (tmp_path / "c.pth").write_bytes(whole[: len(whole) * share // 100])
    with pytest.raises(WeightsError, match=r"c\.pth"):
        convert(tmp_path / "c.pth", tmp_path / "w.safetensors")


def test_only_the_layout_that_is_known_is_converted(tmp_path: Path):
    with pytest.raises(WeightsError, match="keypoint"):
        convert(tmp_path / "c.pth", tmp_path / "w.safetensors", "headgan")


def test_a_header_whose_length_looks_like_a_pickle_is_read(tmp_path: Path):
    """The file begins with the header's length: 640, 896, 1152 and 1408 bytes are 0x80 0x02 to 0x80 0x05."""
    seen = set()
    for fill in range(0, 1500, 8):  # headers are filled up to whole eights
        path = tmp_path / "a.safetensors"
        save(path, {"x": torch.ones(1)}, family="avfr", config={}, meta={"fill": "x" * fill})
        start = path.read_bytes()[:2]
        if start[0] == 0x80 and start not in seen:
            seen.add(start)
            assert load(path).meta == {"fill": "x" * fill}
    assert {bytes([0x80, second]) for second in (2, 3, 4, 5)} <= seen
