"""The 3D-aware generative network against its paper: equations in slow loops, and the published shape at work."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from made_heads import grid_face, seeded, turned
from visavis.core.errors import ConfigError
from visavis.face.fitting import fit_clip
from visavis.face.model3d import load_face_model, rigid_weights, rotation_matrices
from visavis.face.raster import rasterise_batch
from visavis.face.rigid import cameras_of, reposed, rotations
from visavis.face.surface import FaceMotion, face_motion
from visavis.generators.rhythmic.aim import Aimer
from visavis.generators.rhythmic.composition import convolved, normalised, parallel_spade
from visavis.generators.rhythmic.config import NAMED, RhythmicConfig
from visavis.generators.rhythmic.embedding import Theta, activation, attention_combine
from visavis.generators.rhythmic.generator import RhythmicGenerator
from visavis.generators.rhythmic.network import Aim, RhythmicNetwork, Still
from visavis.generators.rhythmic.projection import PositionMaps, frontal, matched, moved, unwrapped
from visavis.nn.warp import coordinate_grid, sample


def random_cameras(*shape: int, seed: int = 0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    cameras = np.concatenate(
        [rng.uniform(-0.2, 0.2, (*shape, 2)), rng.uniform(-1, -0.4, (*shape, 1)), rng.uniform(-0.5, 0.5, (*shape, 3))],
        -1,
    )
    return torch.from_numpy(cameras.astype(np.float32))


def aimed(config: RhythmicConfig, landmark: torch.Tensor, which: int = 0) -> Aim:
    """A frame whose face does not move."""
    batch, _, side, _ = landmark.shape
    plane = torch.ones(batch, 1, side, side)
    number = torch.full((batch,), which)
    return Aim(landmark, landmark, FaceMotion(torch.zeros(batch, 2, side, side), plane, plane), number, number)


def told(network: RhythmicNetwork, count: int, batch: int = 1, seed: int = 0) -> Still:
    """What a network makes of noise."""
    config = network.config
    pictures = seeded(batch, count, 3, config.size, config.size, seed=seed)
    landmarks = seeded(batch, count, config.drawn, config.raster, config.raster, seed=seed + 1)
    persons = seeded(batch, count, 1, config.size, config.size, seed=seed + 2) if config.layers else None
    return network.encode(pictures, landmarks, persons)


def make(**changes: object) -> RhythmicNetwork:
    torch.manual_seed(0)
    return RhythmicNetwork(replace(RhythmicConfig.tiny(), **changes)).eval()  # type: ignore[arg-type]


def test_a_mesh_takes_the_pose_of_another_moment_as_equation_1_says():
    points = seeded(1, 20, 3) - 0.5
    before, after = random_cameras(1, seed=1), random_cameras(1, seed=2)
    found = reposed(points, before, after)[0].numpy()

    def rigid(camera: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """R and T of the paper: they take what is seen to canonical space."""
        turn = rotation_matrices(camera[3:]) * np.exp(camera[2])
        back = np.linalg.inv(turn)
        return back, -back @ np.array([*camera[:2], 0.0])

    (own, own_shift), (new, new_shift) = rigid(before[0].numpy()), rigid(after[0].numpy())
    for point, got in zip(points[0].numpy(), found, strict=True):
        np.testing.assert_allclose(got, np.linalg.inv(new) @ (own @ point + own_shift - new_shift), atol=1e-5)


def test_cameras_of_posed_faces_are_those_that_were_fitted():
    model = load_face_model()
    cameras = random_cameras(3, 2).numpy()
    rng = np.random.default_rng(0)
    identity = rng.standard_normal(len(model.identity)).astype(np.float32) * model.identity_scale
    expression = rng.standard_normal((3, 2, len(model.expression))).astype(np.float32) * model.expression_scale
    faces = model.points(cameras, identity, expression)
    found = cameras_of(torch.from_numpy(faces), torch.from_numpy(model.mean.copy()), torch.from_numpy(rigid_weights()))
    np.testing.assert_allclose(found.numpy(), cameras, atol=2e-3)
    fitted = fit_clip(faces.reshape(-1, 468, 3)).camera.reshape(3, 2, 6)
    np.testing.assert_allclose(found.numpy(), fitted, atol=1e-4)
    np.testing.assert_allclose(
        rotations(torch.from_numpy(cameras[..., 3:])), rotation_matrices(cameras[..., 3:]), atol=1e-6
    )


def test_the_frontal_reference_is_the_one_that_is_turned_least():
    cameras = random_cameras(5, 8)
    for row, number in zip(cameras.numpy(), frontal(cameras).tolist(), strict=True):
        angles = [np.degrees(np.arccos((np.trace(rotation_matrices(camera[3:])) - 1) / 2)) for camera in row]
        assert number == int(np.argmin(angles))


def test_the_motion_matcher_finds_the_least_cost_of_equation_2():
    target, cameras = random_cameras(5, seed=3), random_cameras(5, 8)
    for sample_number in range(5):
        costs = [sum(float(d) ** 2 for d in target[sample_number] - camera) for camera in cameras[sample_number]]
        assert int(matched(target, cameras)[sample_number]) == costs.index(min(costs))


def test_the_projector_shows_the_surface_where_the_other_pose_has_it():
    """A painted mesh, seen from another side: each pixel has the colour of the point of the mesh that is there."""
    points, triangles = grid_face(6)
    before, after = torch.from_numpy(points)[None], torch.from_numpy(turned(points, 0.3, 0.1))[None]
    corners, side = torch.from_numpy(triangles), 64
    index, weights = rasterise_batch(after, corners, side)
    motion = face_motion(index, after, before, corners)
    grid, inside = moved(motion.shift, motion.inside, torch.ones_like(motion.inside), torch.zeros(1, 2, side, side))
    place = coordinate_grid(side, side, align_corners=False).permute(2, 0, 1)[None]
    shown = sample(torch.cat([place, place[:, :1]], 1), grid)
    for row in range(4, side, 9):
        for column in range(4, side, 9):
            triangle = int(index[0, row, column])
            assert bool(inside[0, 0, row, column] > 0.5) == (triangle >= 0)
            if triangle >= 0:
                there = sum(float(weights[0, row, column, i]) * points[triangles[triangle, i], :2] for i in range(3))
                np.testing.assert_allclose(shown[0, :2, row, column].numpy(), there, atol=0.01)


def test_the_projector_is_differentiable():
    points, triangles = grid_face(5)
    source = torch.from_numpy(points)[None].requires_grad_()
    driving, corners = torch.from_numpy(turned(points, 0.2, 0.0))[None], torch.from_numpy(triangles)
    index = rasterise_batch(driving, corners, 32)[0]
    picture = seeded(1, 3, 32, 32)
    blurred = F.avg_pool2d(picture, 5, 1, 2)
    motion = face_motion(index, driving, source, corners)
    grid, _ = moved(motion.shift, motion.inside, torch.ones_like(motion.inside), torch.zeros(1, 2, 32, 32))
    sample(blurred, grid).square().sum().backward()
    assert source.grad is not None and (source.grad[..., :2].abs().sum(-1) > 0).float().mean() > 0.5


def test_warping_what_was_projected_is_one_sampling_at_the_place_where_both_lead():
    side = 32
    place = coordinate_grid(side, side, align_corners=False)
    smooth = torch.stack([torch.sin(3 * place[..., 0]), torch.cos(2 * place[..., 1])])[None]
    shift = 0.1 * torch.stack([torch.sin(2 * place[..., 1]), torch.cos(2 * place[..., 0])])[None]
    flow = 0.05 * torch.stack([torch.cos(place[..., 1]), torch.sin(place[..., 0])])[None]
    ones = torch.ones(1, 1, side, side)
    grid, _ = moved(shift, ones, ones, flow)
    projected = sample(smooth, place + shift.permute(0, 2, 3, 1))
    twice = sample(projected, place + flow.permute(0, 2, 3, 1))
    inner = slice(6, -6)
    torch.testing.assert_close(sample(smooth, grid)[..., inner, inner], twice[..., inner, inner], atol=0.01, rtol=0)


def test_activation_maps_are_softmaxes_over_the_references_at_each_place():
    references, target = seeded(1, 3, 2, 2, 2) - 0.5, seeded(1, 2, 2, 2, seed=1)
    alpha = activation(references, target)
    for channel in range(2):
        for y in range(2):
            for x in range(2):
                energy = [float(references[0, k, channel, y, x] * target[0, channel, y, x]) for k in range(3)]
                total = sum(np.exp(energy))
                for k in range(3):
                    assert float(alpha[0, k, channel, y, x]) == pytest.approx(np.exp(energy[k]) / total, abs=1e-6)


def test_attention_combine_is_the_weighted_sum_of_equation_6():
    alpha, refined, gate = seeded(2, 3, 2, 2, 2), seeded(2, 3, 2, 2, 2, seed=1), seeded(2, 2, 2, 2, seed=2)
    wanted = gate.clone()
    for b, k, c, y, x in np.ndindex(2, 3, 2, 2, 2):
        wanted[b, c, y, x] += alpha[b, k, c, y, x] * refined[b, k, c, y, x]
    torch.testing.assert_close(attention_combine(alpha, refined, gate), wanted)


@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (3, 1), (3, 2)])
def test_each_sample_is_convolved_with_weights_of_its_own(kernel: int, stride: int):
    x, weight = seeded(3, 2, 8, 8), seeded(3, 4, 2, kernel, kernel, seed=1)
    found = convolved(x, weight, stride)
    for one, own, got in zip(x, weight, found, strict=True):
        torch.testing.assert_close(got, F.conv2d(one[None], own, stride=stride, padding=kernel // 2)[0])


def test_parallel_spade_blocks_are_the_sum_of_spade_blocks():
    x, modulations = seeded(2, 3, 5, 5), [seeded(2, 6, 5, 5, seed=seed) for seed in (1, 2, 3)]
    norm = F.instance_norm(x)
    torch.testing.assert_close(normalised(x), norm, atol=1e-4, rtol=1e-4)
    wanted = sum(norm * (1 + m[:, :3]) + m[:, 3:] for m in modulations)
    torch.testing.assert_close(parallel_spade(x, modulations), wanted, atol=1e-4, rtol=1e-4)


def theta_of(network: RhythmicNetwork, still: Still, landmark: torch.Tensor) -> tuple[Theta, ...]:
    with torch.no_grad():
        return network.embed(still, landmark).theta


def test_the_decoders_weights_depend_on_the_references_and_on_the_target():
    network = make().train()  # batch norms that have seen nothing yet would let what differs fade
    landmark, other = (seeded(1, 3, 32, 32, seed=seed) for seed in (7, 8))
    one, two = told(network, 2), told(network, 2, seed=5)
    usual = theta_of(network, one, landmark)
    for changed in (theta_of(network, two, landmark), theta_of(network, one, other)):
        for before, after in zip(usual, changed, strict=True):
            assert (before.modulation - after.modulation).abs().max() > 1e-4
            assert (before.features - after.features).abs().max() > 1e-4
    with torch.no_grad():
        same = network.render(one, aimed(network.config, landmark)).layers[0]
        assert not torch.equal(same, network.render(two, aimed(network.config, landmark)).layers[0])


def test_any_number_of_references_will_do_in_any_order():
    network = make()
    landmark = seeded(1, 3, 32, 32, seed=7)
    still = told(network, 3)
    again = network.encode(*(x.flip(1) for x in (still.pictures, still.landmarks, still.persons) if x is not None))
    for a, b in zip(theta_of(network, still, landmark), theta_of(network, again, landmark), strict=True):
        torch.testing.assert_close(a.modulation, b.modulation, atol=1e-5, rtol=1e-4)
    for count in (1, 2):
        with torch.no_grad():
            alpha = network.render(told(network, count), aimed(network.config, landmark)).alpha
        assert alpha.shape[1] == count
        torch.testing.assert_close(alpha.sum(1), torch.ones_like(alpha[:, 0]))


def test_without_hybrid_attention_all_references_count_alike():
    network = make(attention=False)
    with torch.no_grad():
        alpha = network.embed(told(network, 3), seeded(1, 3, 32, 32)).alpha
    torch.testing.assert_close(alpha, torch.full_like(alpha, 1 / 3))


def test_position_maps_hold_a_mesh():
    """Where the face is smooth, a mesh comes back from its map; the fold of the sides is a few thousandths off."""
    model = load_face_model()
    maps = PositionMaps(torch.from_numpy(model.mean.copy()), torch.from_numpy(model.triangles.astype(np.int64)))
    faces = torch.from_numpy(model.points(random_cameras(2).numpy(), np.zeros(40), np.zeros((2, 30))))
    places = unwrapped(torch.from_numpy(model.mean.copy()))
    assert float(places.abs().max()) < 1
    positions = torch.zeros(2, 3, 64, 64)
    positions[:, :, maps._seen] = maps.drawn(faces).transpose(1, 2)
    assert float(maps.loss(positions, faces)) == pytest.approx(0, abs=1e-9)
    apart = (maps.mesh(positions) - faces).norm(dim=-1)
    assert float(apart.median()) < 0.01
    moved_by = faces + torch.tensor([0.1, 0.0, 0.0])
    assert float(maps.loss(positions, moved_by)) == pytest.approx(0.01 / 3, rel=1e-3)


def test_drawings_of_landmarks_are_grey_lines_on_a_grey_face():
    points, triangles = grid_face(5)
    vertices, corners = torch.from_numpy(points)[None], torch.from_numpy(triangles)
    index = rasterise_batch(vertices, corners, 32)[0]
    colours = torch.zeros(len(corners), 3)
    colours[:4] = torch.tensor([0.2, 0.0, 0.5])
    config = replace(RhythmicConfig.tiny(), nmfc=False)
    drawn = Aimer(config, corners, colours, torch.zeros(len(corners))).landmarks(index[:, None], vertices[:, None])
    assert drawn.shape == (1, 1, 1, 32, 32)
    expected = torch.where(index < 0, 0.0, torch.where(index < 4, 1.0, 0.3))
    torch.testing.assert_close(drawn[:, 0, 0], expected)


def test_an_untrained_network_shows_the_projected_picture():
    """What FlowNet and the decoder add begins small, so that a short training begins with a warp by the mesh."""
    network = make()
    config = network.config
    pictures = F.interpolate(seeded(1, 1, 3, 4, 4)[0], (64, 64), mode="bilinear")[None]
    still = network.encode(pictures, seeded(1, 1, 3, 32, 32), torch.ones(1, 1, 1, 64, 64))
    shift = torch.zeros(1, 2, 32, 32)
    shift[:, 0] = 0.25
    plane = torch.ones(1, 1, 32, 32)
    number = torch.zeros(1, dtype=torch.int64)
    landmark = seeded(1, 3, 32, 32, seed=1)
    with torch.no_grad():
        out = network.render(still, Aim(landmark, landmark, FaceMotion(shift, plane, plane), number, number))
        plain = network.render(still, aimed(config, landmark))
    assert float((plain.picture - pictures[:, 0]).abs().mean()) < 0.05
    eighth = 64 // 8
    aside = pictures[0, ..., eighth:]
    assert float((out.picture[..., :-eighth] - aside).abs().mean()) < 0.07
    assert out.shares is not None and float(out.shares[:, :2].sum(1).mean()) > 0.8


def test_the_published_shape_takes_a_step_from_unprojection_to_picture():
    torch.manual_seed(0)
    config = replace(RhythmicConfig.paper256(), references=2)
    network = RhythmicNetwork(config).train()
    face = load_face_model()
    triangles = torch.from_numpy(face.triangles.astype(np.int64))
    maps = PositionMaps(torch.from_numpy(face.mean.copy()), triangles)
    aimer = Aimer(config, triangles, torch.ones(len(triangles), 3), torch.zeros(len(triangles)))
    cameras = random_cameras(1, 3)
    vertices = torch.from_numpy(face.points(cameras.numpy(), np.zeros(40), np.zeros((1, 3, 30))))
    index = torch.stack([rasterise_batch(one, triangles, 256)[0] for one in vertices.unbind(1)], 1)
    pictures = seeded(1, 2, 3, 256, 256)
    still = network.encode(pictures, aimer.landmarks(index[:, :2], vertices[:, :2]))
    positions = network.unprojection(pictures[:, int(frontal(cameras[:, :2])[0])])
    aim = aimer.aim(
        index[:, 2], vertices[:, 2], cameras[:, 2], vertices[:, :2], cameras[:, :2], mesh=maps.mesh(positions)
    )
    out = network.render(still, aim)
    low, high = out.picture.detach().aminmax()
    assert out.picture.shape == (1, 3, 256, 256) and 0 <= float(low) <= float(high) <= 1
    optimiser = torch.optim.Adam(network.parameters(), 1e-4)
    before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    loss = out.picture.mean() + maps.loss(positions, vertices[:, 0])
    loss.backward()
    optimiser.step()
    changed = [name for name, parameter in network.named_parameters() if not torch.equal(parameter, before[name])]
    assert {name.split(".")[0] for name in changed} == {name for name, _ in network.named_children()}


def test_the_compact_shape_is_as_small_as_it_has_to_be():
    cost = RhythmicGenerator.cost_of(asdict(RhythmicConfig.compact256()))
    assert cost.gmac["per_frame"]["total"] < 2
    assert 2 * cost.parameters["total"] < 3.5 * 2**20
    assert set(NAMED) == {"rhythmic-256", "rhythmic-paper-256"}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"unprojection": True}, "without coefficients"),
        ({"composite": False}, "set 'composite'"),
        ({"residual": False, "layers": True, "composite": False}, "set 'composite'"),
        ({"composition": False}, "set 'composition'"),
        ({"modulation_kernel": 2}, "odd"),
        ({"size": 100}, "multiple"),
        ({"widths": (8, 8)}, "widths"),
        ({"references": 33}, "references"),
        ({"size": 4096, "widths": (512, 512, 512)}, "too large"),
    ],
)
def test_shapes_that_cannot_be_are_refused(changes: dict[str, object], why: str):
    with pytest.raises(ConfigError, match=why):
        replace(RhythmicConfig.tiny(), **changes)  # type: ignore[arg-type]
