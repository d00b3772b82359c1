"""Blocks, grids and norms, against sums done by hand and against SciPy."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import nn

from visavis.judges.discriminators import PatchDiscriminator
from visavis.nn.blocks import AntiAliasDownsample, Hourglass
from visavis.nn.dense_motion import inverse_2x2, keypoint_heatmaps, sparse_motions
from visavis.nn.norms import Spade, SpadeResBlock
from visavis.nn.warp import coordinate_grid, resize_grid, sample


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def test_a_grid_on_pixel_edges_is_an_identity_warp():
    picture = torch.rand(1, 3, 5, 8)
    grid = coordinate_grid(5, 8, align_corners=False)[None]
    assert torch.allclose(sample(picture, grid), picture, atol=1e-6)
    # The first order model's own grid is not, and its checkpoints count on that.
    assert not torch.allclose(sample(picture, coordinate_grid(5, 8, align_corners=True)[None]), picture, atol=1e-2)


def test_grids_hold_x_before_y():
    grid = coordinate_grid(3, 5, align_corners=True)
    assert grid.shape == (3, 5, 2)
    assert grid[0, 4].tolist() == [1, -1]
    assert coordinate_grid(2, 4, align_corners=False)[0, 0].tolist() == [-0.75, -0.5]


def test_sampling_agrees_with_scipy():
    picture = torch.rand(1, 1, 9, 7)
    grid = torch.rand(1, 6, 6, 2) * 2.4 - 1.2  # some of it outside
    x, y = ((grid[0, ..., axis].numpy() + 1) / 2 * size - 0.5 for axis, size in ((0, 7), (1, 9)))
    padded = np.pad(picture[0, 0].numpy(), 3)  # zeros outside, also between the last pixel and the first zero
    expected = ndimage.map_coordinates(padded, [y + 3, x + 3], order=1)
    assert np.allclose(sample(picture, grid)[0, 0].numpy(), expected, atol=1e-5)


def test_positions_stay_exact_when_features_are_in_bf16():
    picture = torch.rand(1, 3, 256, 256).bfloat16()
    # A third of a pixel: unlike pixel centres, such positions are not bf16 numbers.
    grid = coordinate_grid(256, 256, align_corners=False)[None] + 2 / 256 / 3
    assert torch.allclose(sample(picture, grid).float(), sample(picture.float(), grid), atol=0.01)


def test_a_grid_resized_to_its_own_size_is_itself():
    grid = torch.rand(1, 4, 6, 2)
    assert resize_grid(grid, (4, 6)) is grid
    assert resize_grid(grid, (8, 3)).shape == (1, 8, 3, 2)


def test_down_sampling_is_a_gaussian_blur_then_every_fourth_pixel():
    picture = torch.rand(1, 2, 16, 20)
    made = AntiAliasDownsample(2, 0.25)(picture)[0].numpy()
    for channel in range(2):
        # SciPy's blur of 13 taps with zeros outside, normalised as its kernel is.
        blurred = ndimage.gaussian_filter(picture[0, channel].numpy(), 1.5, mode="constant", radius=6)
        assert np.allclose(made[channel], blurred[::4, ::4], atol=1e-6)


def test_down_sampling_stays_in_float32_under_autocast():
    down, picture = AntiAliasDownsample(3, 0.25), torch.rand(1, 3, 16, 16)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(down(picture), down(picture.clone()))
        assert down(picture).dtype == torch.float32
    assert AntiAliasDownsample(3, 1.0)(picture) is picture


def test_an_hourglass_keeps_its_input_beside_what_it_found():
    hourglass, x = Hourglass(4, 5, 2, 16), torch.rand(2, 5, 8, 12)
    out = hourglass(x)
    assert out.shape == (2, hourglass.out_filters, 8, 12)
    assert torch.equal(out[:, 4:], x)


def test_the_closed_form_inverts_as_numpy_does():
    matrices = torch.randn(4, 3, 2, 2, dtype=torch.float64)
    assert np.allclose(inverse_2x2(matrices).numpy(), np.linalg.inv(matrices.numpy()))


def test_a_singular_frame_gives_finite_motion_and_gradient_and_regular_ones_are_untouched():
    singular = torch.tensor([[[0.0, 0], [0, 0]], [[1, 2], [2, 4]], [[3, -1], [-3, 1]], [[0, 1e-20], [1e-20, 0]]])
    singular.requires_grad_()
    inverse = inverse_2x2(singular)
    inverse.sum().backward()
    assert inverse.isfinite().all()
    assert singular.grad is not None and singular.grad.isfinite().all()
    regular = torch.randn(1000, 2, 2)
    a, b, c, d = regular.flatten(1).T
    plain = torch.stack([d, -b, -c, a], 1).view(-1, 2, 2) / (a * d - b * c)[:, None, None]
    assert torch.equal(inverse_2x2(regular), plain)
    nearly = torch.tensor([[1.0, 0], [0, -1e-12]])
    assert float(inverse_2x2(nearly)[0, 0]) > 0 > float(inverse_2x2(nearly)[1, 1])  # a mirror stays one


def test_heat_is_one_at_the_point_and_falls_with_distance():
    grid = coordinate_grid(5, 5, align_corners=True)
    heat = keypoint_heatmaps(torch.tensor([[[0.5, -1.0]]]), grid, 0.01)[0, 0]
    assert float(heat[0, 3]) == 1
    far = keypoint_heatmaps(torch.tensor([[[0.4, -1.0]]]), grid, 0.01)[0, 0]
    assert float(far[0, 3]) == pytest.approx(np.exp(-0.5), rel=1e-5)  # one standard deviation away


def test_candidate_motions_reproduce_an_affine_movement_exactly():
    """Points and frames moved by one affine map: every candidate but the background is that map."""
    grid = coordinate_grid(6, 7, align_corners=True)
    matrix, shift = torch.tensor([[1.1, 0.3], [-0.2, 0.8]]), torch.tensor([0.1, -0.2])
    points, frames = torch.rand(1, 3, 2) - 0.5, torch.eye(2) + 0.1 * torch.randn(1, 3, 2, 2)
    moved_points, moved_frames = points @ matrix.T + shift, matrix @ frames
    motions = sparse_motions(moved_points, moved_frames, points, frames, grid)
    assert motions.shape == (1, 4, 6, 7, 2)
    assert torch.equal(motions[0, 0], grid)
    assert torch.allclose(motions[0, 1:], (grid @ matrix.T + shift).expand(3, -1, -1, -1), atol=1e-5)


def test_without_frames_candidates_are_translations():
    grid = coordinate_grid(4, 4, align_corners=True)
    source, driving = torch.tensor([[[0.3, 0.0]]]), torch.tensor([[[0.1, 0.2]]])
    motions = sparse_motions(source, None, driving, None, grid)
    assert torch.allclose(motions[0, 1] - grid, torch.tensor([0.2, -0.2]).expand(4, 4, 2), atol=1e-6)


def test_spade_without_modulation_is_plain_batch_norm():
    spade, x = Spade(4, 2, 8, 3), torch.randn(3, 4, 5, 5)
    nn.init.zeros_(spade.gamma_beta.weight)
    nn.init.zeros_(spade.gamma_beta.bias)
    expected = nn.functional.batch_norm(x, None, None, training=True)
    assert torch.allclose(spade(x, torch.rand(3, 2, 5, 5)), expected, atol=1e-6)


def test_spade_scales_and_shifts_by_its_condition():
    spade, x = Spade(2, 1, 4, 1), torch.randn(3, 2, 5, 5)
    nn.init.zeros_(spade.gamma_beta.weight)
    with torch.no_grad():
        spade.gamma_beta.bias.copy_(torch.tensor([1.0, 2.0, -1.0, 0.5]))
    normal = nn.functional.batch_norm(x, None, None, training=True)
    expected = normal * torch.tensor([2.0, 3.0])[:, None, None] + torch.tensor([-1.0, 0.5])[:, None, None]
    assert torch.allclose(spade(x, torch.rand(3, 1, 5, 5)), expected, atol=1e-5)


@pytest.mark.parametrize("side", [4, 8, 16])
def test_a_condition_of_any_size_is_fitted_to_the_features(side: int):
    block = SpadeResBlock(6, 3, 2, hidden=4)
    assert block(torch.randn(2, 6, 8, 8), torch.randn(2, 2, side, side)).shape == (2, 3, 8, 8)


@pytest.mark.parametrize("norm", ["spectral", "instance"])
def test_the_discriminator_judges_patches(norm: Literal["spectral", "instance"]):
    judge = PatchDiscriminator(width=4, blocks=3, norm=norm)
    picture = torch.rand(2, 3, 32, 32, requires_grad=True)
    logits = judge(picture)
    assert logits.shape == (2, 1, 4, 4)
    logits.sum().backward()
    assert picture.grad is not None and picture.grad.abs().sum() > 0


def test_spectral_norm_bounds_the_largest_singular_value():
    judge = PatchDiscriminator(width=4, blocks=2)
    for _ in range(50):  # each pass is one step of the power iteration
        judge(torch.rand(1, 3, 16, 16))
    for layer in judge.layers:
        assert float(torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2)) == pytest.approx(1, abs=0.02)
