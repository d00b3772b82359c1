"""Costs counted while a network runs, against sums done by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from visavis.core.errors import WeightsError
from visavis.nn.cost import gmac, parameters
from visavis.pipelines.describe import describe


def test_a_convolution_costs_its_weights_at_every_place():
    network = nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False)
    assert gmac(lambda: network(torch.zeros(2, 3, 16, 16))) == pytest.approx(2 * 8 * 8 * (8 * 3 * 9) / 1e9)


def test_grouped_convolutions_cost_their_own_channels_only():
    network = nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False)
    assert gmac(lambda: network(torch.zeros(1, 8, 4, 4))) == pytest.approx(4 * 4 * 8 * 9 / 1e9)


def test_a_linear_layer_costs_its_weights_once_a_row():
    network = nn.Linear(5, 7)
    assert gmac(lambda: network(torch.zeros(3, 5))) == pytest.approx(3 * 5 * 7 / 1e9)


def test_parameters_are_counted_by_part():
    network = nn.ModuleDict({"a": nn.Linear(5, 7), "b": nn.Sequential(nn.Conv2d(1, 2, 3))})
    assert parameters(network) == {"a": 42, "b": 20}


def test_the_model_for_a_cpu_stays_within_its_budget():
    """12 GMAC a driving frame, and 12 MiB of weights in fp16."""
    about = describe("avfr-256")
    assert about["gmac"]["per_frame"]["total"] <= 12
    assert about["parameters"]["total"] * 2 <= 12 * 2**20
    # What depends on the source alone is not paid for again in every frame.
    assert "identity" not in about["gmac"]["per_frame"]


def test_describing_what_does_not_exist_is_refused():
    with pytest.raises(WeightsError, match="no-such-model"):
        describe("no-such-model")
