"""Rasters: the triangle that a slow loop over pixels sees, on every pixel, and colours and flows that follow skin."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch

from visavis.face.fitting import fit_clip
from visavis.face.model3d import FaceModel, load_face_model, rotation_matrices
from visavis.face.nmfc import (
    landmark_colours,
    mesh_flow,
    mesh_flow_batch,
    nmfc,
    nmfc_batch,
    nmfc_colours,
    seen_in,
    seen_in_batch,
)
from visavis.face.raster import rasterise, rasterise_batch


@pytest.fixture(scope="module")
def model() -> FaceModel:
    return load_face_model()


def face(model: FaceModel, yaw: float = 0.0, *, scale: float = 0.45, seed: int = 0, roll: float = 0.0) -> np.ndarray:
    """A face of likely coefficients, its head turned by radians."""
    rng = np.random.default_rng(seed)
    camera = np.array([0.02, -0.03, np.log(scale), 0.1, yaw, roll], np.float32)
    identity = rng.standard_normal(len(model.identity)) * model.identity_scale
    expression = rng.standard_normal(len(model.expression)) * model.expression_scale
    return model.points(camera, identity.astype(np.float32), expression.astype(np.float32))


def slow(points: np.ndarray, triangles: np.ndarray, size: int) -> np.ndarray:
    """One pixel and one triangle at a time, in whole numbers and fractions: the rules as they are written down."""
    grid = [[round(float(v)) for v in row] for row in (points[:, :2] + np.float32(1)) * np.float32(size * 128)]
    depth = [round(float(z)) for z in points[:, 2] * np.float32(1 << 20)]
    index = np.full((size, size), -1)
    nearest: dict[tuple[int, int], int] = {}
    for number, (a, b, c) in enumerate(triangles.tolist()):
        (ax, ay), (bx, by), (cx, cy) = grid[a], grid[b], grid[c]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area <= 0:
            continue
        xs, ys = (ax, bx, cx), (ay, by, cy)
        for row in range(max(min(ys) // 256 - 1, 0), min(max(ys) // 256 + 2, size)):
            for column in range(max(min(xs) // 256 - 1, 0), min(max(xs) // 256 + 2, size)):
                x, y = 256 * column + 128, 256 * row + 128
                shares = []
                for (px, py), (qx, qy) in (((bx, by), (cx, cy)), ((cx, cy), (ax, ay)), ((ax, ay), (bx, by))):
                    share = (qx - px) * (y - py) - (qy - py) * (x - px)
                    left, top = qy < py, qy == py and qx > px
                    if share < 0 or (share == 0 and not (left or top)):
                        break
                    shares.append(share)
                if len(shares) == 3:
                    beyond = Fraction(shares[1] * (depth[b] - depth[a]) + shares[2] * (depth[c] - depth[a]), area)
                    z = depth[a] + beyond.__floor__()
                    if z < nearest.get((row, column), 1 << 62):
                        nearest[row, column] = z
                        index[row, column] = number
    return index


@pytest.mark.parametrize(("yaw", "scale"), [(0.0, 0.45), (0.8, 0.4), (-1.4, 0.4), (2.6, 0.4), (0.5, 2.0), (0.1, 0.02)])
def test_every_pixel_of_a_face_is_the_slow_loops(model: FaceModel, yaw: float, scale: float):
    points = face(model, yaw, scale=scale)
    assert (rasterise(points, model.triangles, 96).index == slow(points, model.triangles, 96)).all()


@pytest.mark.parametrize("seed", range(5))
def test_triangles_that_cross_hide_each_other_pixel_by_pixel(seed: int):
    rng = np.random.default_rng(seed)
    points = rng.uniform(-1.3, 1.3, (30, 3)).astype(np.float32)
    triangles = rng.permutation(30)[:27].reshape(9, 3).astype(np.int32)
    triangles = np.concatenate([triangles, triangles[:, ::-1]])
    found = rasterise(points, triangles, 40).index
    assert (found == slow(points, triangles, 40)).all()
    assert len(np.unique(found)) > 4


@pytest.mark.parametrize("seed", range(5))
def test_centres_on_edges_and_corners_belong_to_one_triangle(seed: int):
    """Points on pixel centres: every edge runs through some."""
    rng = np.random.default_rng(seed)
    side = 12
    points = np.zeros((20, 3), np.float32)
    points[:, :2] = (2 * rng.integers(-2, side + 2, (20, 2)) + 1) / np.float32(side) - 1
    triangles = rng.integers(0, 20, (40, 3)).astype(np.int32)  # some of them have no area
    assert (rasterise(points, triangles, side).index == slow(points, triangles, side)).all()


def test_a_fan_covers_a_square_once_and_whole():
    side = 16
    along = np.linspace(-1, 1, 5)
    rim = [(x, -1) for x in along[:-1]] + [(1, y) for y in along[:-1]]
    rim += [(-x, 1) for x in along[:-1]] + [(-1, -y) for y in along[:-1]]
    points = np.array([(0, 0, 0)] + [(x, y, 0) for x, y in rim], np.float32)
    triangles = np.array([(0, 1 + i, 1 + (i + 1) % 16) for i in range(16)], np.int32)
    assert (rasterise(points, triangles, side).index >= 0).all()
    for one in triangles:  # and no pixel twice
        others = [row for row in triangles.tolist() if row != one.tolist()]
        alone = rasterise(points, one[None], side).index >= 0
        assert not (alone & (rasterise(points, np.array(others, np.int32), side).index >= 0)).any()


def test_what_is_nearer_is_seen_and_what_faces_away_is_not():
    points = np.array([(-1, -1, 0.5), (3, -1, 0.5), (-1, 3, 0.5), (-1, -1, -0.5), (3, -1, -0.5), (-1, 3, -0.5)])
    far, near = (0, 1, 2), (3, 4, 5)
    points = points.astype(np.float32)
    assert (rasterise(points, np.array([near, far], np.int32), 8).index == 0).all()
    assert (rasterise(points, np.array([far, near], np.int32), 8).index == 1).all()
    assert (rasterise(points, np.array([far, near[::-1]], np.int32), 8).index == 0).all()


def test_barycentrics_say_where_the_pixel_is(model: FaceModel):
    points = face(model, 0.4)
    raster = rasterise(points, model.triangles, 128)
    seen = raster.index >= 0
    found = (raster.barycentric[seen][..., None] * points[model.triangles[raster.index[seen]]][..., :2]).sum(1)
    row, column = np.nonzero(seen)
    wanted = (2 * np.stack([column, row], 1) + 1) / 128 - 1
    assert np.abs(found - wanted).max() < 1.1 / 128 / 256 * 2  # the grid of points
    assert raster.barycentric.min() >= 0
    assert np.abs(raster.barycentric[seen].sum(1) - 1).max() < 1e-6
    assert (raster.barycentric[~seen] == 0).all()


def test_points_far_outside_and_sizes_that_cannot_be_drawn(model: FaceModel):
    assert (rasterise(face(model) + 9, model.triangles, 32).index == -1).all()
    with pytest.raises(ValueError, match="1 to 1024"):
        rasterise(face(model), model.triangles, 2000)


# --- in batches


NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
DEVICES = ["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, NO_GPU])]


@pytest.mark.parametrize("device", DEVICES)
def test_batches_show_the_same_triangles(model: FaceModel, device: str):
    faces = np.stack([face(model, yaw, seed=seed) for seed, yaw in enumerate((0, 0.5, -1.2, 2.8))] + [face(model) + 9])
    index, barycentric = rasterise_batch(
        torch.from_numpy(faces).to(device), torch.tensor(model.triangles, device=device), 128
    )
    for number, points in enumerate(faces):
        alone = rasterise(points, model.triangles, 128)
        assert (index[number].cpu().numpy() == alone.index).all()
        assert np.abs(barycentric[number].cpu().numpy() - alone.barycentric).max() < 1e-4


def test_barycentrics_have_the_gradients_of_small_moves(model: FaceModel):
    points = torch.from_numpy(face(model, 0.3)[None]).requires_grad_()
    triangles = torch.tensor(model.triangles)
    index, barycentric = rasterise_batch(points, triangles, 64)
    weight = torch.from_numpy(np.random.default_rng(0).standard_normal(barycentric.shape).astype(np.float32))
    (barycentric * weight).sum().backward()
    assert points.grad is not None
    seen = index[0] >= 0
    corners = triangles[index[0][seen]]
    middle = torch.nonzero(seen).flip(1).double() * 2 / 64 + 1 / 64 - 1

    def plainly(at: torch.Tensor) -> torch.Tensor:
        """Barycentrics by solving for them."""
        three = at[0, :, :2][corners]
        system = torch.cat([three, torch.ones_like(three[..., :1])], -1).transpose(1, 2)
        wanted = torch.cat([middle, torch.ones_like(middle[:, :1])], -1)
        solved = torch.linalg.solve(system, wanted)
        return (solved * weight[0][seen].double()).sum()

    other = points.detach().double().requires_grad_()
    plainly(other).backward()
    assert other.grad is not None
    # Triangles seen edge-on have gradients without bound, which the grid's points cut differently.
    ratio = (points.grad.double() - other.grad).abs() / (other.grad.abs() + 1)
    assert float(ratio.quantile(0.95)) < 0.1


# --- colours


def test_a_part_of_the_face_keeps_its_colour_however_the_head_is_turned(model: FaceModel):
    colours = nmfc_colours(model)
    assert colours.min() >= 0 and colours.max() <= 1
    assert np.ptp(colours, axis=0).min() > 0.8
    for yaw in (-0.5, 0.0, 0.5):
        points = face(model, yaw, seed=3, roll=0.3)
        picture = nmfc(rasterise(points, model.triangles, 256), colours)
        low, high = model.mean.min(0), model.mean.max(0)
        for vertex in (4, 168, 8, 17, 151, 200):  # nose, brow, chin: seen from everywhere
            column, row = np.floor((points[vertex, :2] + 1) * 128).astype(int)
            wanted = (model.mean[vertex] - low) / (high - low)
            assert np.abs(picture[row, column] - wanted).max() < 0.1  # a triangle is that large


def test_outside_the_face_is_black_and_batches_have_the_same_colours(model: FaceModel):
    raster, colours = rasterise(face(model), model.triangles, 64), nmfc_colours(model)
    picture = nmfc(raster, colours)
    assert (picture[raster.index < 0] == 0).all()
    batch = nmfc_batch(torch.from_numpy(raster.index[None]), torch.from_numpy(colours))
    assert (batch[0].permute(1, 2, 0).numpy() == picture).all()


# --- flow


def test_the_flow_to_the_own_picture_is_the_identity(model: FaceModel):
    points = face(model, 0.3)
    grid, inside = mesh_flow(rasterise(points, model.triangles, 64), model.triangles, points)
    along = (2 * np.arange(64) + 1) / 64 - 1
    assert inside.mean() > 0.1
    assert np.abs(grid - np.stack(np.meshgrid(along, along), -1)).max() < 1e-4


def test_the_flow_is_the_camera_that_moved(model: FaceModel):
    """A face that rolls, grows and moves in the picture: the flow is that similarity, at every pixel."""
    camera = np.array([0.05, 0.0, np.log(0.4), 0, 0, 0], np.float32)
    moved = np.array([-0.1, 0.08, np.log(0.3), 0, 0, 0.5], np.float32)
    nobody = np.zeros(len(model.identity), np.float32), np.zeros(len(model.expression), np.float32)
    driver, source = model.points(camera, *nobody), model.points(moved, *nobody)
    grid, inside = mesh_flow(rasterise(driver, model.triangles, 64), model.triangles, source)
    along = (2 * np.arange(64) + 1) / 64 - 1
    here = np.stack(np.meshgrid(along, along), -1)[inside]
    turn = rotation_matrices(moved[3:])[:2, :2]
    wanted = (here - camera[:2]) / 0.4 * 0.3 @ turn.T + moved[:2]
    assert np.abs(grid[inside] - wanted).max() < 1e-3


def test_a_cheek_that_the_source_does_not_show_is_not_sampled(model: FaceModel):
    driver, source = face(model, 0.0), face(model, 1.0)
    raster, of_source = (rasterise(points, model.triangles, 128) for points in (driver, source))
    seen = seen_in(raster, of_source, model.triangles, source)
    inside = raster.index >= 0
    assert not seen[~inside].any()
    # Turned by a radian, the side that went away from the camera is hidden, and all of the other is seen.
    away, near = (234, 454) if source[234, 2] > source[454, 2] else (454, 234)
    column = np.floor((driver[[away, near], 0] + 1) * 64).astype(int)
    left, right = inside[:, :64] & True, inside[:, 64:] & True
    shares = seen[:, :64][left].mean(), seen[:, 64:][right].mean()
    hidden, shown = shares if column[0] < column[1] else shares[::-1]
    assert hidden < 0.75
    assert shown > 0.95
    assert seen_in(raster, raster, model.triangles, driver)[inside].all()


def test_batches_have_the_same_flow_and_sight(model: FaceModel):
    driver, source = face(model, -0.2), face(model, 0.9)
    one, two = (rasterise(points, model.triangles, 64) for points in (driver, source))
    grid, inside = mesh_flow(one, model.triangles, source)
    both = torch.from_numpy(np.stack([driver, source]))
    triangles = torch.tensor(model.triangles)
    index, barycentric = rasterise_batch(both, triangles, 64)
    found = mesh_flow_batch(index[:1], barycentric[:1], triangles, both[1:])
    assert np.abs(found[0].numpy() - grid)[inside].max() < 1e-4
    seen = seen_in_batch(index[:1], barycentric[:1], index[1:], barycentric[1:], triangles, both[1:])
    wanted = seen_in(one, two, model.triangles, source)
    assert (seen[0].numpy() != wanted).mean() < 1e-3


def test_a_fitted_face_is_drawn_where_its_mesh_is(model: FaceModel):
    meshes = np.stack([face(model, yaw) for yaw in (-0.3, 0.2)])
    fit = fit_clip(meshes, model)
    for drawn, mesh in zip(model.points(fit.camera, fit.identity, fit.expression), meshes, strict=True):
        one, two = (rasterise(points, model.triangles, 128).index for points in (drawn, mesh))
        assert (one == two).mean() > 0.99


def test_landmarks_colour_the_contours_and_nothing_of_the_cheeks():
    model = load_face_model()
    shown = landmark_colours(model).any(1)
    np.testing.assert_array_equal(landmark_colours(model)[shown], nmfc_colours(model)[shown])

    def around(point: int) -> np.ndarray:
        return shown[(model.triangles == point).any(1)]

    assert not around(205).any()  # one cheek
    assert not around(425).any()  # the other cheek
    assert all(around(point).any() for point in (61, 291, 33, 263, 152, 4, 105))  # lips, eyes, chin, nose, brow
    assert 0.1 < shown.mean() < 0.5
