"""Perceptual distances and the face network: which is used, what is refused, and what a distance must be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from visavis.core.errors import ConfigError, WeightsError
from visavis.drawn.synthetic import draw
from visavis.judges.face_network import FaceConfig, FaceNetwork, load_face_network, without_identities
from visavis.judges.perceptual import FaceDistance, Lpips, PerceptualDistance, Vgg19Pyramid, choose
from visavis.weights import store
from visavis.weights.checkpoint import save, sha256

VGG16 = {0: (3, 64), 2: (64, 64), 5: (64, 128), 7: (128, 128), 10: (128, 256), 12: (256, 256), 14: (256, 256)}
VGG16 |= {17: (256, 512)} | dict.fromkeys((19, 21, 24, 26, 28), (512, 512))
VGG19 = {n: VGG16[n] for n in (0, 2, 5, 7, 10, 12, 14)}
VGG19 |= {16: (256, 256), 19: (256, 512)} | dict.fromkeys((21, 23, 25, 28, 30, 32, 34), (512, 512))
LINEAR = (64, 128, 256, 512, 512)
Table = dict[str, Tensor]


def vgg(layers: dict[int, tuple[int, int]]) -> Table:
    """Random weights under torchvision's names, with a piece of the classifier."""
    torch.manual_seed(0)
    table = {"classifier.6.bias": torch.zeros(10)}
    for number, (inside, outside) in layers.items():
        table[f"features.{number}.weight"] = torch.randn(outside, inside, 3, 3) * (2 / (9 * inside)) ** 0.5
        table[f"features.{number}.bias"] = 0.1 * torch.rand(outside)
    return table


def linear_layers() -> Table:
    torch.manual_seed(1)
    return {f"lin{level}.model.1.weight": torch.rand(1, width, 1, 1) for level, width in enumerate(LINEAR)}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of torch's hub; packages that bring LPIPS layers are hidden."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr("visavis.judges.perceptual.choice.find_spec", lambda name: None)
    folder = tmp_path / "torch/hub/checkpoints"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of random weights: lpips.safetensors, vgg19.pth and face.safetensors."""
    folder = tmp_path_factory.mktemp("tables")
    save_file(vgg(VGG16) | linear_layers(), folder / "lpips.safetensors")
    torch.save(vgg(VGG19), folder / "vgg19.pth")
    tiny_face(folder / "face.safetensors")
    return folder


def tiny_face(path: Path) -> FaceNetwork:
    torch.manual_seed(2)
    network = FaceNetwork(FaceConfig.tiny()).eval()
    save(path, network.state_dict(), family="face", config=asdict(network.config))
    return network


def portrait(seed: int = 0, size: int = 64) -> Tensor:
    """A drawn face, ``[1, 3, S, S]``."""
    return torch.from_numpy(draw(size, seed=seed).transpose(2, 0, 1)[None].astype(np.float32) / 255)


FILES = {"lpips.safetensors": "lpips-vgg16", "vgg19.pth": "vgg19", "face.safetensors": "face:face.safetensors"}


@pytest.fixture(params=FILES)
def distance(request: pytest.FixtureRequest, tables: Path) -> PerceptualDistance:
    found = choose(str(tables / request.param))
    assert found.name == FILES[request.param]
    return found


# --- what a distance is


def test_equal_pictures_are_at_no_distance_and_others_farther_the_more_they_differ(distance: PerceptualDistance):
    real = torch.cat([portrait(0), portrait(1)])
    noise = torch.randn(real.shape, generator=torch.Generator().manual_seed(0))
    rows = torch.stack([distance((real + s * noise).clamp(0, 1), real) for s in (0.0, 0.02, 0.08, 0.3)])
    assert rows.shape == (4, 2)
    assert torch.equal(rows[0], torch.zeros(2))
    assert (rows.diff(dim=0) > 0).all()


def test_gradient_reaches_the_made_picture_alone(distance: PerceptualDistance):
    made, real = portrait(0).requires_grad_(), portrait(1).requires_grad_()
    distance(made, real).sum().backward()
    assert made.grad is not None and torch.isfinite(made.grad).all() and made.grad.abs().sum() > 0
    assert real.grad is None
    assert not any(p.requires_grad for p in distance.parameters())


def test_gradient_is_finite_where_pictures_are_equal_or_empty(distance: PerceptualDistance):
    for picture in (portrait(0), torch.zeros(1, 3, 64, 64)):
        made = picture.clone().requires_grad_()
        distance(made, picture).sum().backward()
        assert made.grad is not None and torch.isfinite(made.grad).all()


def test_a_step_along_the_gradient_comes_nearer(distance: PerceptualDistance):
    made, real = portrait(0).requires_grad_(), portrait(1)
    before = distance(made, real).sum()
    (gradient,) = torch.autograd.grad(before, made)
    after = distance(made - 1e-4 * gradient / gradient.abs().max(), real).sum()
    assert after < before


def test_distance_is_the_same_under_autocast_and_in_a_network_that_trains(distance: PerceptualDistance):
    expected = distance(portrait(0), portrait(1))
    holder = torch.nn.ModuleList([distance]).train()
    with torch.autocast("cpu", torch.bfloat16):
        found = distance(portrait(0), portrait(1))
    assert not any(module.training for module in distance.modules())
    assert found.dtype == torch.float32 and torch.equal(found, expected)
    assert len(holder) == 1


def test_lpips_is_the_weighted_difference_of_unit_features(tables: Path):
    """The first of the five slices worked out again from the table, with torch's own functions only."""
    table = vgg(VGG16) | linear_layers()
    for level in range(1, 5):
        table[f"lin{level}.model.1.weight"] = torch.zeros(1, LINEAR[level], 1, 1)
    shift, scale = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])

    def first(picture: Tensor) -> Tensor:
        x = (2 * picture - 1 - shift.view(3, 1, 1)) / scale.view(3, 1, 1)
        for n in (0, 2):
            x = F.relu(F.conv2d(x, table[f"features.{n}.weight"], table[f"features.{n}.bias"], padding=1))
        return F.normalize(x, dim=1)

    a, b = portrait(0), portrait(1)
    expected = F.conv2d((first(a) - first(b)) ** 2, table["lin0.model.1.weight"]).mean()
    assert Lpips.from_table(table, tables)(a, b).item() == pytest.approx(float(expected), rel=1e-4)


def test_the_vgg19_pyramid_looks_at_four_scales(tables: Path):
    network = Vgg19Pyramid.from_file(tables / "vgg19.pth")
    assert [x.shape[-1] for x in network.features(torch.rand(1, 3, 128, 128))][::5] == [128, 64, 32, 16]
    assert [x.shape[1] for x in network.features(torch.rand(1, 3, 64, 64))][:5] == [64, 128, 256, 512, 512]


# --- which one is used


def test_the_best_at_hand_is_used(hub: Path):
    assert choose("").name == "face-128"
    torch.save(vgg(VGG19), hub / "vgg19-dcbb9e9d.pth")
    assert choose("").name == "vgg19"
    torch.save(vgg(VGG16), hub / "vgg16-397923af.pth")
    assert choose("").name == "vgg19"  # VGG-16 alone is not LPIPS
    torch.save(linear_layers(), hub / "lpips_vgg.pth")
    assert choose("").name == "lpips-vgg16"
    assert [choose(name).name for name in ("vgg19", "face-128")] == ["vgg19", "face-128"]


def test_lpips_in_one_file_and_linear_layers_of_a_package_are_found(
    hub: Path, tables: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (hub / "lpips.safetensors").symlink_to(tables / "lpips.safetensors")
    real = portrait(1)
    expected = choose("lpips")(portrait(0), real)
    (hub / "lpips.safetensors").unlink()
    torch.save(vgg(VGG16), hub / "vgg16-397923af.pth")
    layers = tmp_path / "package/weights/v0.1/vgg.pth"
    layers.parent.mkdir(parents=True)
    torch.save(linear_layers(), layers)

    class Spec:
        submodule_search_locations = (str(tmp_path / "package"),)

    monkeypatch.setattr("visavis.judges.perceptual.choice.find_spec", lambda name: Spec if name == "lpips" else None)
    assert torch.equal(choose("lpips")(portrait(0), real), expected)


@pytest.mark.parametrize("name", ["lpips", "vgg19"])
def test_a_network_that_is_not_at_hand_is_an_error_that_says_what_is_missing(hub: Path, name: str):
    with pytest.raises(WeightsError, match=r"checkpoints; put there \w+") as caught:
        choose(name)
    assert "\n" not in str(caught.value)


def test_none_is_a_wish_for_a_weight_of_zero():
    with pytest.raises(ConfigError, match="weight of 0"):
        choose("none")


def without_linear(table: Table) -> None:
    table.pop("lin3.model.1.weight")


def with_another_shape(table: Table) -> None:
    table["features.5.weight"] = torch.zeros(1, 1, 1, 1)


def with_nothing_known(table: Table) -> None:
    table.clear()
    table["conv1.weight"] = torch.zeros(3)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (without_linear, r"not a table of LPIPS weights \(lacks lin3"),
        (with_another_shape, r"not a table of LPIPS weights \(features\.5\.weight is \(1, 1, 1, 1\)"),
        (with_nothing_known, "not a table of LPIPS .* VGG-19 .* face network"),
    ],
)
@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_other_tables_are_refused_in_one_line(tmp_path: Path, spoil: Callable[[Table], None], says: str, suffix: str):
    path = tmp_path / f"w.{suffix}"
    table = vgg(VGG16) | linear_layers()
    spoil(table)
    torch.save(table, path) if suffix == "pth" else save_file(table, path)
    with pytest.raises(WeightsError, match=says) as caught:
        choose(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [None, b"", b"no weights at all", b"PK\x03\x04 cut short"])
@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_files_that_hold_no_tensors_are_refused_in_one_line(tmp_path: Path, content: bytes | None, suffix: str):
    path = tmp_path / f"w.{suffix}"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"w\.") as caught:
        choose(str(path))
    assert "\n" not in str(caught.value)


# --- the face network


def test_the_packaged_face_network_is_the_one_in_the_manifest():
    entry = store.packaged()["face-128"]
    assert entry.family == "face"
    assert sha256(store.PACKAGED / entry.file) == entry.sha256
    network = load_face_network()
    assert network.config == FaceConfig()
    assert not network.training
    assert (Path(__file__).parents[2] / entry.card).is_file()


def test_embeddings_have_unit_length_and_do_not_depend_on_the_batch():
    network = load_face_network()
    pictures = torch.cat([portrait(seed, 256) for seed in range(3)])
    together = network.embedding(pictures)
    assert torch.allclose(together.norm(dim=1), torch.ones(3), atol=1e-5)
    assert torch.equal(together, network.embedding(pictures))
    assert torch.allclose(together[1:2], network.embedding(pictures[1:2]), atol=1e-5)
    assert together.shape == (3, network.config.embedding)


def test_the_packaged_network_sees_the_person_in_a_drawing():
    """Drawings look nothing like what it was trained on, so the bar is low: the middle is person, the corner is not."""
    reading = load_face_network()(portrait(0, 256))
    person = reading.segmentation[0].sigmoid()
    assert person[16, 16] > 0.5 > person[0, 0]
    assert reading.mesh.abs().max() < 1


def test_the_packaged_distance_rises_with_blur_noise_and_shift():
    distance = choose("face-128")
    real = portrait(3, 256)
    noise = torch.randn(real.shape, generator=torch.Generator().manual_seed(0))
    ladders = {
        "blur": [F.avg_pool2d(real, k, 1, k // 2, count_include_pad=False) for k in (1, 3, 7, 13)],
        "noise": [(real + s * noise).clamp(0, 1) for s in (0.0, 0.02, 0.06, 0.2)],
        "shift": [real.roll(pixels, 3) for pixels in (0, 2, 6, 16)],
    }
    for name, pictures in ladders.items():
        rows = [float(distance(picture, real)) for picture in pictures]
        assert rows[0] == pytest.approx(0, abs=1e-9) and rows == sorted(rows), name
        assert rows[1] > 1e-5, name


def test_features_have_five_scales_at_any_size_of_picture():
    network = load_face_network()
    for size in (64, 128, 200, 256):
        maps = network.features(torch.rand(1, 3, size, size))
        assert [x.shape[-1] for x in maps] == [64, 32, 16, 8, 4]
    zoomed = network.features(torch.rand(1, 3, 256, 256), zoom=2, scales=2)
    assert [x.shape[-1] for x in zoomed] == [128, 64]


def test_an_average_of_pixels_is_what_a_smaller_picture_is():
    network = FaceNetwork(FaceConfig.tiny()).eval()
    small = torch.rand(1, 3, 32, 32)
    large = F.interpolate(small, scale_factor=2, mode="nearest")
    assert torch.allclose(network.embedding(small), network.embedding(large), atol=1e-6)


def test_the_identity_head_is_left_behind(tmp_path: Path):
    torch.manual_seed(0)
    network = FaceNetwork(FaceConfig.tiny(identities=5)).eval()
    config, tensors = without_identities(asdict(network.config), network.state_dict())
    save(tmp_path / "face.safetensors", tensors, family="face", config=config)
    loaded = load_face_network(tmp_path / "face.safetensors")
    assert loaded.config == FaceConfig.tiny()
    assert torch.equal(loaded.embedding(portrait()), network.embedding(portrait()))


def test_weights_of_another_family_or_shape_are_refused(tmp_path: Path, tables: Path):
    path = tmp_path / "w.safetensors"
    network = tiny_face(path)
    state, config = network.state_dict(), asdict(network.config)
    for family, changed, says in (
        ("avfr", config, "family 'avfr'"),
        ("face", {**config, "embedding": 9}, "another shape"),
        ("face", {**config, "size": 33}, "cannot have size 33"),
        ("face", {**config, "wings": 2}, "wings"),
        ("face", {**config, "identities": -2}, "."),
    ):
        save(path, state, family=family, config=changed)
        with pytest.raises(WeightsError, match=says):
            load_face_network(path)
        with pytest.raises(WeightsError, match=says):
            choose(str(path))
    with pytest.raises(WeightsError, match="not a visavis checkpoint"):
        load_face_network(tables / "lpips.safetensors")


def test_a_face_distance_compares_large_pictures_at_two_sizes():
    network = FaceNetwork(FaceConfig.tiny()).eval()
    distance = FaceDistance(network)
    assert len(distance.features(portrait(0, 32))) == 3
    assert len(distance.features(portrait(0, 64))) == 5
