"""Our first order model computes what the paper's equations say, written a second time by other means."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from plain_first_order_model import PlainFirstOrderModel
from visavis.drawn.synthetic import Pose, draw
from visavis.face.types import Observation
from visavis.generators.keypoint import KeypointConfig, KeypointGenerator
from visavis.motion.keypoints import KeypointMotion
from visavis.nn.pictures import as_tensor as as_input
from visavis.nn.pictures import to_pixels

TOLERANCE = 1e-4
CONFIGS = {
    "features at the motion's size": KeypointConfig.tiny(),
    "features at twice the motion's size": replace(KeypointConfig.tiny(), down_blocks=1, bottleneck_blocks=2),
    "more keypoints, deeper": replace(KeypointConfig.tiny(), keypoints=5, detector_blocks=3, motion_blocks=1),
}


def scattered(network: torch.nn.Module, seed: int) -> None:
    """Give every number of a network a value of its own; those that start at 0 or 1 would hide mistakes."""
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if not value.is_floating_point() or name.endswith("down.weight"):
                continue
            noise = torch.randn(value.shape, generator=rng)
            if name.endswith("running_var"):
                value.copy_(0.5 + noise.abs())
            elif "norm" in name and name.endswith("weight"):
                value.copy_(1 + 0.3 * noise)
            elif value.ndim == 4:
                value.copy_(noise / value[0].numel() ** 0.5)
            else:
                value.copy_(value + 0.3 * noise)


def as_tensor(picture: np.ndarray) -> Tensor:
    return torch.from_numpy(picture.astype(np.float64) / 255).permute(2, 0, 1)


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("seed", [0, 1])
@torch.no_grad()
def test_pixels_to_pixels_it_is_the_papers_model(name: str, seed: int):
    config = CONFIGS[name]
    generator = KeypointGenerator(config)
    scattered(generator.network, seed)
    plain = PlainFirstOrderModel(
        generator.network.state_dict(),
        detector_blocks=config.detector_blocks,
        motion_blocks=config.motion_blocks,
        down_blocks=config.down_blocks,
        bottleneck_blocks=config.bottleneck_blocks,
    )
    source, driver = draw(64, 0), draw(64, 1, Pose(x=0.06, roll=0.3, yaw=0.5, mouth=1))
    still, driving = (plain.keypoints(as_tensor(picture)) for picture in (source, driver))
    wanted, motion, occlusion = plain.picture(as_tensor(source), still, driving)
    # The case must be able to tell things apart: points move, and the picture is not flat.
    assert (still[0] - driving[0]).abs().max() > 1e-3
    assert wanted.std() > 0.02

    person = generator.prepare([Observation(source)])
    motion_found = generator.analyse(Observation(driver))
    found = KeypointMotion.of(motion_found).tensors()
    assert found.jacobians is not None
    torch.testing.assert_close(found.points[0].double(), driving[0], atol=TOLERANCE, rtol=0)
    torch.testing.assert_close(found.jacobians[0].double(), driving[1], atol=TOLERANCE, rtol=0)
    network, picture = generator.network, as_input(source)
    with torch.no_grad():
        made = network.render(network.encode(picture, network.detect(picture)), found)
    torch.testing.assert_close(made.grid[0].double(), motion, atol=TOLERANCE, rtol=TOLERANCE)
    torch.testing.assert_close(made.occlusion[0].double(), occlusion, atol=TOLERANCE, rtol=0)
    torch.testing.assert_close(made.picture[0].double(), wanted, atol=TOLERANCE, rtol=0)
    assert np.array_equal(person.render([motion_found], None), to_pixels(made.picture))
