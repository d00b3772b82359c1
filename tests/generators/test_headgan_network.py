"""HeadGAN's networks: the tables of the paper, the convention of the flow, and what the compact shape may cost."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from made_heads import grid_face, seeded
from visavis.core.errors import ConfigError
from visavis.face.raster import rasterise_batch
from visavis.face.surface import FaceMotion, face_motion, face_pictures
from visavis.generators.headgan.config import NAMED, HeadganConfig
from visavis.generators.headgan.layers import AdaIn, Encoder
from visavis.generators.headgan.layers import Spade as OnePassSpade
from visavis.generators.headgan.network import HeadganNetwork
from visavis.nn.cost import gmac
from visavis.nn.norms import Spade
from visavis.nn.warp import coordinate_grid, doubled, grid_of, halved, sample


def inputs(config: HeadganConfig, batch: int = 1) -> dict[str, Tensor]:
    size, raster = config.size, config.raster
    return {
        "picture": seeded(batch, 3, size, size),
        "face": seeded(batch, 3, raster, raster, seed=1),
        "person": seeded(batch, 1, size, size, seed=2),
        "faces": seeded(batch, 3 * (config.memory + 1), raster, raster, seed=3),
        "sound": seeded(batch, config.sound, seed=4) - 0.5,
    }


def still_motion(config: HeadganConfig, batch: int = 1) -> FaceMotion | None:
    if not config.mesh_flow:
        return None
    side = config.raster
    ones = torch.ones(batch, 1, side, side)
    return FaceMotion(0.1 * (seeded(batch, 2, side, side, seed=5) - 0.5), ones, ones)


def rendered(network: HeadganNetwork, batch: int = 1) -> Tensor:
    config, seen = network.config, inputs(network.config, batch)
    still = network.encode(seen["picture"], seen["face"], seen["person"])
    return network.render(still, seen["faces"], still_motion(config, batch), seen["sound"]).picture


def test_the_paper_s_shape_has_the_rows_of_tables_2_and_3_and_takes_a_step():
    """Output sizes by the paper's own numbers, at a quarter of its size so that a step takes seconds."""
    config = replace(HeadganConfig.paper256(), size=64)
    network = HeadganNetwork(config)
    rows: dict[str, list[tuple[int, ...]]] = {"flow": [], "renderer": []}

    def note(name: str) -> object:
        return lambda module, given, made: rows[name].append((made.shape[2] * 4, made.shape[1]))

    for name in rows:
        part = getattr(network, name)
        for module in part.encoder.convs:
            module.register_forward_hook(note(name))
        for child, module in part.named_children():
            if child.startswith(("block", "spade", "adain", "up", "out")):
                for leaf in module if isinstance(module, nn.ModuleList) else [module]:
                    leaf.register_forward_hook(note(name))
    picture = rendered(network, 2)
    encoder = [(256, 32), (128, 128), (64, 512)]
    assert rows["flow"] == [*encoder, *[(64, 512)] * 3, (128, 128), (128, 128), (256, 32), (256, 2)]
    decoder = [*[(64, 512)] * 2, *[(128, 128)] * 3, *[(256, 32)] * 4, (256, 3)]
    assert rows["renderer"] == [*encoder, *decoder]
    before = [p.clone() for p in network.parameters()]
    optimiser = torch.optim.Adam(network.parameters(), 2e-4, betas=(0.5, 0.999))
    F.l1_loss(picture, seeded(2, 3, 64, 64, seed=9)).backward()
    optimiser.step()
    assert all(not torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))
    assert 39.0e6 < sum(p.numel() for p in network.parameters()) < 39.5e6


def test_the_compact_shape_keeps_within_what_it_may_cost():
    config = HeadganConfig.compact256()
    network = HeadganNetwork(config).eval()
    seen = inputs(config)
    with torch.no_grad():
        still = network.encode(seen["picture"], seen["face"], seen["person"])
        cost = gmac(lambda: network.render(still, seen["faces"], still_motion(config), seen["sound"]))
    assert cost < 8
    assert 2 * sum(p.numel() for p in network.state_dict().values()) < 8 << 20


@pytest.mark.parametrize("switch", ["mesh_flow", "residual", "layers", "composite", "sound", "fold"])
def test_every_addition_can_be_switched_off(switch: str):
    off = {"layers": False} if switch == "composite" else {}
    config = replace(
        HeadganConfig.tiny(), **off, **{switch: 1 if switch == "fold" else 0 if switch == "sound" else False}
    )
    network = HeadganNetwork(config).eval()
    with torch.no_grad():
        picture = rendered(network)
        assert torch.equal(picture, rendered(network))
    assert picture.shape == (1, 3, 64, 64)
    assert float(picture.min()) >= 0
    assert float(picture.max()) <= 1


def test_without_flow_the_reference_stays_where_it_lies():
    config = replace(HeadganConfig.tiny(), mesh_flow=False, flow=False)
    network = HeadganNetwork(config).eval()
    seen = inputs(config)
    with torch.no_grad():
        still = network.encode(seen["picture"], seen["face"], seen["person"])
        warped = network.warp(still, seen["faces"])
        torch.testing.assert_close(warped.picture, seen["picture"], atol=1e-5, rtol=0)
        torch.testing.assert_close(warped.features[2], still.features[2], atol=1e-5, rtol=0)
        assert float(rendered(network).std()) > 0


@pytest.mark.parametrize("other", [{"flow": False}, {"landmarks": True}])
def test_the_mesh_s_flow_needs_a_flow_and_the_whole_face(other: dict[str, bool]):
    with pytest.raises(ConfigError, match="mesh_flow"):
        replace(HeadganConfig.tiny(), **other)


def test_gradient_reaches_every_parameter():
    torch.manual_seed(0)
    network = HeadganNetwork(replace(HeadganConfig.tiny(), hidden=8))  # of four, all may happen to be asleep
    with torch.no_grad():
        network.renderer.layers.last.weight.normal_()  # begins at zero, which stops what lies before for one step
    rendered(network, 2).square().sum().backward()
    without = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert without == []


def test_one_batch_can_be_learned_by_heart():
    torch.manual_seed(0)
    config = replace(HeadganConfig.tiny(), composite=False, layers=False)
    network = HeadganNetwork(config)
    wanted = F.interpolate(seeded(2, 3, 8, 8, seed=7), scale_factor=8, mode="bilinear")
    optimiser = torch.optim.Adam(network.parameters(), 5e-3)
    errors = []
    for _ in range(150):
        loss = F.l1_loss(rendered(network, 2), wanted)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        errors.append(float(loss.detach()))
    assert errors[-1] < errors[0] / 2.5


def test_silence_is_the_same_as_no_sound():
    network = HeadganNetwork(HeadganConfig.tiny()).eval()
    seen, motion = inputs(network.config), still_motion(network.config)
    with torch.no_grad():
        still = network.encode(seen["picture"], seen["face"], seen["person"])
        without = network.render(still, seen["faces"], motion).picture
        silent = network.render(still, seen["faces"], motion, torch.zeros_like(seen["sound"])).picture
        loud = network.render(still, seen["faces"], motion, seen["sound"]).picture
    assert torch.equal(without, silent)
    assert not torch.equal(without, loud)


def test_modulation_in_one_pass_is_spade():
    """Against the one that adds the 1 in its formula, with the same numbers."""
    plain, ours = Spade(4, 3, 5, 3), OnePassSpade(4, 3, 5, 3)
    ours.load_state_dict(plain.state_dict())
    with torch.no_grad():
        ours.gamma_beta.bias[:4] += 1
    x, condition = seeded(2, 4, 8, 8), seeded(2, 3, 8, 8, seed=1)
    torch.testing.assert_close(ours(x, condition), plain(x, condition))


def test_the_encoder_and_adain_normalise_each_picture_s_channels():
    """Against torch's instance norm."""
    encoder, block, x, code = Encoder(3, (4, 5, 6)), AdaIn(3, 2), seeded(2, 3, 8, 8), seeded(2, 2, seed=1)
    torch.testing.assert_close(encoder(x)[0], F.relu(F.instance_norm(encoder.convs[0](x))))
    gamma, beta = block.gamma_beta(code)[:, :, None, None].chunk(2, 1)
    torch.testing.assert_close(block(x, code), F.instance_norm(x) * gamma + beta)


def test_a_flow_in_pixels_means_the_same_at_every_scale():
    """Four pixels to the right at 32 are two at 16, and both are the same place in [-1, 1]."""
    flow = torch.zeros(1, 2, 32, 32)
    flow[:, 0] = 4
    picture = seeded(1, 3, 32, 32)
    assert torch.equal(sample(picture, grid_of(flow))[..., :28], picture[..., 4:])
    assert torch.equal(halved(flow), torch.full((1, 2, 16, 16), 2.0) * torch.tensor([1.0, 0.0])[:, None, None])
    moved = grid_of(halved(flow)) - grid_of(torch.zeros(1, 2, 16, 16))
    torch.testing.assert_close(moved, torch.tensor([0.25, 0.0]).expand(1, 16, 16, 2))
    torch.testing.assert_close(doubled(halved(flow)), flow)


def drawn(points: np.ndarray, triangles: np.ndarray, side: int = 64) -> tuple[Tensor, Tensor, Tensor]:
    vertices, corners = torch.from_numpy(points)[None], torch.from_numpy(triangles)
    return rasterise_batch(vertices, corners, side)[0], vertices, corners


def test_a_face_that_has_moved_says_where_it_was_and_carries_its_surroundings():
    points, triangles = grid_face()
    index, driving, corners = drawn(points + np.array([0.2, 0.1, 0], np.float32), triangles)
    motion = face_motion(index, driving, torch.from_numpy(points)[None], corners)
    expected = torch.tensor([-0.2, -0.1])[None, :, None, None].expand(1, 2, 64, 64)
    torch.testing.assert_close(motion.shift, expected, atol=1e-4, rtol=0)
    assert torch.equal(motion.inside > 0, (index >= 0)[:, None])


def test_a_pixel_of_the_face_finds_the_same_point_in_the_source():
    """Against the bilinear map of the grid, which a plain loop evaluates."""
    points, triangles = grid_face()
    rng = np.random.default_rng(0)
    source = points + rng.normal(0, 0.04, points.shape).astype(np.float32)
    index, driving, corners = drawn(points, triangles)
    motion = face_motion(index, driving, torch.from_numpy(source)[None], corners)
    for row, column in ((20, 20), (31, 40), (45, 25)):
        place = np.array([2 * column + 1, 2 * row + 1]) / 64 - 1
        corner = triangles[int(index[0, row, column])]
        weights = np.linalg.solve(np.vstack([points[corner, :2].T, np.ones(3)]), [*place, 1])
        found = place + motion.shift[0, :, row, column].numpy()
        np.testing.assert_allclose(found, weights @ source[corner, :2], atol=1e-4)


def test_a_cheek_that_turns_into_view_is_sampled_inside_the_source_s_outline():
    """A half cylinder that turns: what was its rim comes forward, and the rim's own pixels may be background."""
    angles, heights = np.linspace(-1.5, 1.5, 25), np.linspace(-0.5, 0.5, 25)
    across, down = np.meshgrid(angles, heights)
    _, triangles = grid_face(25)

    def turned(by: float) -> np.ndarray:
        x, z = 0.5 * np.sin(across + by), -0.5 * np.cos(across + by)
        return np.stack([x, down, z], -1).reshape(-1, 3).astype(np.float32)

    source = torch.from_numpy(turned(0.0))[None]
    index, driving, corners = drawn(turned(0.6), triangles)
    motion = face_motion(index, driving, source, corners)
    place = coordinate_grid(64, 64, align_corners=False).permute(2, 0, 1)[None]
    inside = (index >= 0)[:, None]
    farthest = (motion.shift + place)[:, :1][inside].min()
    assert -0.49 < float(farthest) < -0.45  # the outline is at -0.5
    index, driving, corners = drawn(turned(0.0), triangles)
    still = face_motion(index, driving, source, corners)
    assert float((still.shift * still.inside).abs().max()) < 1e-4


def test_skin_that_faces_away_in_the_source_says_so():
    points, triangles = grid_face()
    index, driving, corners = drawn(points, triangles)
    flipped = points * np.array([-1, 1, 1], np.float32)  # the source seen from behind
    here = face_motion(index, driving, driving, corners).seen
    away = face_motion(index, driving, torch.from_numpy(flipped)[None], corners).seen
    inside = (index >= 0)[:, None]
    assert float(here[inside].min()) > 0.5
    assert float(away[inside].max()) < -0.5
    assert float(here[~inside].abs().max()) == 0


def test_face_pictures_are_black_where_no_face_is():
    index = torch.tensor([[[[-1, 0], [1, 1]]]])
    colours = torch.tensor([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]])
    picture = face_pictures(index, colours)
    assert picture[0, :, 0, 0].tolist() == [0, 0, 0]
    torch.testing.assert_close(picture[0, :, 1, 1], colours[1])


@pytest.mark.parametrize(
    "settings",
    [
        {"size": 1 << 20},
        {"size": 100},
        {"widths": (4096, 8, 8)},
        {"widths": (0, 8, 8)},
        {"memory": 1000},
        {"sound": 1 << 30},
        {"fold": 3},
        {"modulation_kernel": 2},
        {"layers": True, "composite": False},
        {"size": 4096, "widths": (2048, 2048, 2048)},
        {"hidden": -1},
        {"finish": 1 << 20},
    ],
)
def test_shapes_that_no_network_can_have_are_refused(settings: dict[str, object]):
    with pytest.raises(ConfigError):
        HeadganConfig(**settings)  # type: ignore[arg-type]


def test_shapes_are_known_by_name():
    assert {name: make().fold for name, make in NAMED.items()} == {"headgan-256": 2, "headgan-paper-256": 1}
