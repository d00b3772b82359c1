"""The first order model: its points, its published size, and what it computes once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from visavis.core.config import build
from visavis.core.errors import ConfigError
from visavis.face.types import Observation
from visavis.generators.keypoint import FirstOrderModel, KeypointConfig, KeypointGenerator
from visavis.motion.detector import KeypointDetector
from visavis.nn.engine import Engine
from visavis.nn.warp import coordinate_grid


class Brightness(nn.Module):
    """Stands for the hourglass: the picture itself is the feature."""

    def forward(self, x: Tensor) -> Tensor:
        return x * 100


def spot_detector(pad: int) -> KeypointDetector:
    """A detector whose heat map is the brightness of the picture, each point with the frame (1, 2, 3, 4)."""
    detector = KeypointDetector(
        in_channels=1,
        num_keypoints=1,
        block_expansion=2,
        num_blocks=1,
        max_features=4,
        temperature=0.1,
        estimate_jacobian=True,
        scale_factor=1.0,
        pad=pad,
    )
    detector.predictor = Brightness()  # type: ignore[assignment]
    assert detector.jacobian is not None and detector.jacobian.bias is not None
    detector.kp = nn.Conv2d(1, 1, 7, padding=pad, bias=False)
    detector.jacobian = nn.Conv2d(1, 4, 7, padding=pad)
    with torch.no_grad():
        detector.kp.weight.zero_()[0, 0, 3, 3] = 1
        detector.jacobian.weight.zero_()
        detector.jacobian.bias.copy_(torch.arange(1.0, 5.0))  # type: ignore[union-attr]
    return detector


@pytest.mark.parametrize("pad", [0, 3])
@pytest.mark.parametrize(("x", "y"), [(8, 8), (16, 5), (4, 20)])
def test_points_follow_a_spot_that_moves(pad: int, x: int, y: int):
    """The spot is drawn in pixels by hand, so the convention is checked, not assumed."""
    picture = torch.zeros(1, 1, 25, 25)
    picture[0, 0, y, x] = 1
    found = spot_detector(pad)(picture)
    margin = 3 - pad  # the heat map lacks this many pixels on each side
    last = 24 - 2 * margin
    expected = torch.tensor([2 * (x - margin) / last - 1, 2 * (y - margin) / last - 1])
    assert torch.allclose(found.points[0, 0], expected, atol=1e-5)
    assert torch.allclose(found.jacobians[0, 0], torch.tensor([[1.0, 2.0], [3.0, 4.0]]), atol=1e-5)


def test_the_published_model_has_its_published_size():
    with torch.device("meta"):
        network = FirstOrderModel(KeypointConfig.vox256())
    count = [sum(p.numel() for p in part.parameters()) / 1e6 for part in (network.kp_detector, network.generator)]
    assert count == pytest.approx([14.2, 45.6], abs=0.05)


def test_a_new_detector_has_identity_frames():
    torch.manual_seed(0)
    found = FirstOrderModel(KeypointConfig.tiny()).eval().detect(torch.rand(2, 3, 64, 64))
    assert found.points.shape == (2, 3, 2)
    assert found.points.abs().max() <= 1
    assert torch.allclose(found.jacobians, torch.eye(2).expand(2, 3, 2, 2), atol=1e-5)


@torch.no_grad()
def test_a_driver_that_is_the_source_moves_nothing():
    """Whatever the weights, all candidates are then the identity, and so is any mixture of them."""
    torch.manual_seed(0)
    network = FirstOrderModel(KeypointConfig.tiny()).eval()
    picture = torch.rand(1, 3, 64, 64)
    motion = network.detect(picture)
    out = network.render(network.encode(picture, motion), motion)
    assert torch.allclose(out.grid[0], coordinate_grid(16, 16, align_corners=True), atol=1e-5)
    assert torch.allclose(out.mask.sum(1), torch.ones(1, 16, 16), atol=1e-5)
    assert 0 <= float(out.occlusion.min()) <= float(out.occlusion.max()) <= 1


@torch.no_grad()
def test_pictures_of_a_batch_do_not_touch_each_other():
    torch.manual_seed(0)
    network = FirstOrderModel(KeypointConfig.tiny()).eval()
    sources, drivers = torch.rand(2, 3, 64, 64), torch.rand(2, 3, 64, 64)

    def animate(source: Tensor, driver: Tensor) -> Tensor:
        return network.render(network.encode(source, network.detect(source)), network.detect(driver)).picture

    both = animate(sources, drivers)
    for i in range(2):
        assert torch.allclose(both[i : i + 1], animate(sources[i : i + 1], drivers[i : i + 1]), atol=1e-5)


def test_it_works_without_frames():
    generator = KeypointGenerator(replace(KeypointConfig.tiny(), jacobians=False))
    seen = Observation(np.zeros((64, 64, 3), np.uint8))
    motion = generator.analyse(seen)
    assert motion.layout.names == ("keypoints",)
    assert motion.layout.size == 6
    assert generator.prepare([seen]).render([motion], None).shape == (64, 64, 3)


def test_keypoints_are_in_float32_whatever_the_precision():
    torch.manual_seed(0)
    exact = KeypointGenerator(KeypointConfig.tiny())
    fast = KeypointGenerator(KeypointConfig.tiny(), engine=Engine("cpu", "bf16"))
    fast.network.load_state_dict(exact.network.state_dict())
    seen = Observation(np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8))
    assert np.array_equal(exact.analyse(seen).vector, fast.analyse(seen).vector)
    a, b = (g.prepare([seen]).render([g.analyse(seen)], None).astype(float) for g in (exact, fast))
    assert np.abs(a - b).mean() < 0.02 * 255


def test_it_needs_nothing_but_the_picture():
    assert KeypointGenerator(KeypointConfig.tiny()).needs == frozenset()


@pytest.mark.parametrize(
    "values",
    [{"width": -1}, {"detector_blocks": 0}, {"motion_blocks": 2_000_000}, {"keypoints": 0}, {"size": 0}, {"size": 200}],
)
def test_a_shape_that_no_network_can_have_is_refused(values: dict[str, int]):
    with pytest.raises(ConfigError, match=next(iter(values))):
        build(KeypointConfig, values)
