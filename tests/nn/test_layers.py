"""The background layer, on pictures whose background is known."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from visavis.core.errors import ConfigError
from visavis.generators.avfr.config import AvfrConfig
from visavis.nn.composite import Layers, blend, fill_behind
from visavis.training.losses import choice_l1


def square(side: int = 64) -> torch.Tensor:
    """A segmentation with a person of a quarter of the side in its middle."""
    person = torch.zeros(1, 1, side, side)
    person[..., 3 * side // 8 : 5 * side // 8, 3 * side // 8 : 5 * side // 8] = 1
    return person


def test_a_plain_background_is_restored_behind_the_person():
    wall = torch.tensor([0.2, 0.5, 0.8])[None, :, None, None].expand(1, 3, 64, 64)
    person = square()
    seen = torch.where(person > 0, torch.rand(1, 3, 64, 64), wall)
    assert torch.allclose(fill_behind(seen, person), wall, atol=1e-3)


def test_what_is_no_person_stays_as_it_is():
    picture = torch.rand(1, 3, 64, 64)
    filled = fill_behind(picture, square())
    assert torch.allclose(filled[..., :16, :], picture[..., :16, :], atol=1e-5)


def test_a_slope_goes_on_behind_the_person():
    slope = torch.linspace(0, 1, 64).expand(1, 3, 64, 64)
    filled = fill_behind(torch.where(square() > 0, torch.ones(()), slope), square())
    assert (filled - slope).abs().max() < 0.15
    assert filled[0, 0, 32, 26] < filled[0, 0, 32, 38]


@pytest.mark.parametrize("person", [torch.ones(1, 1, 48, 48), torch.zeros(1, 1, 48, 48)])
def test_all_person_and_no_person_stay_finite_and_in_range(person: torch.Tensor):
    filled = fill_behind(torch.rand(1, 3, 48, 48), person)
    assert torch.isfinite(filled).all() and filled.min() >= 0 and filled.max() <= 1


def test_the_blend_is_one_of_its_layers_where_that_one_is_sure():
    head = Layers(2)
    pictures = [torch.full((1, 3, 8, 8), value) for value in (0.1, 0.5, 0.9)]
    features, person = torch.zeros(1, 2, 8, 8), torch.zeros(1, 1, 8, 8)
    for kept, behind, wanted in ((-50.0, -50.0, 0.1), (50.0, -50.0, 0.5), (0.0, 50.0, 0.9)):
        with torch.no_grad():
            assert head.last.bias is not None
            head.last.bias.copy_(torch.tensor([0.0, behind]))
            shares = head(features, torch.full((1, 1, 8, 8), kept), pictures[1], pictures[2], person)
        assert torch.allclose(blend(pictures, shares), torch.full((1, 3, 8, 8), wanted), atol=1e-4)


def test_the_choice_falls_on_the_layer_that_is_nearest_the_truth():
    real = torch.full((1, 3, 4, 4), 0.5)
    layers = [torch.full((1, 3, 4, 4), value) for value in (0.0, 0.45, 1.0)]
    logits = torch.zeros(1, 3, 4, 4, requires_grad=True)
    loss = choice_l1(layers, logits.softmax(1), real)
    assert float(loss.detach()) == pytest.approx((0.5 + 0.05 + 0.5) / 3)
    (slope,) = torch.autograd.grad(loss, logits)
    assert (slope[:, 1] < 0).all() and (slope[:, 0] > 0).all() and (slope[:, 2] > 0).all()


def test_layers_without_a_composite_are_refused():
    with pytest.raises(ConfigError, match="composite"):
        replace(AvfrConfig.tiny(), composite=False)
