"""What a 3D-aware generative network costs."""

from __future__ import annotations

import torch
from torch import nn

from visavis.face.surface import FaceMotion
from visavis.generators.rhythmic.network import Aim, RhythmicNetwork
from visavis.nn.cost import gmac


def gmac_of(network: nn.Module) -> dict[str, dict[str, float]]:
    """1e9 multiply-accumulates per source of K pictures and per driving frame, by part."""
    assert isinstance(network, RhythmicNetwork)
    config = network.config
    size, side, count = config.size, config.raster, config.references
    pictures, landmarks = torch.rand(1, count, 3, size, size), torch.rand(1, count, config.drawn, side, side)
    persons = torch.rand(1, count, 1, size, size) if config.layers else None
    plane, first = torch.ones(1, 1, side, side), torch.zeros(1, dtype=torch.int64)
    motion = FaceMotion(torch.zeros(1, 2, side, side), plane, plane)
    aim = Aim(landmarks[:, 0], landmarks[:, 0], motion, first, first)
    still = network.encode(pictures, landmarks, persons)
    per_source = {"embedding": gmac(lambda: network.encode(pictures, landmarks, persons))}
    if config.unprojection:
        per_source["unprojection"] = gmac(lambda: network.unprojection(pictures[:, 0]))
    embedding = gmac(lambda: network.embed(still, aim.landmark))
    flow = gmac(lambda: network.prepare(still, aim))
    whole = gmac(lambda: network.render(still, aim))
    return {
        "per_source": per_source,
        "per_frame": {"embedding": embedding, "flow": flow, "decoder": whole - embedding - flow},
    }
