"""Losses of AVFR-GAN (section 3, equations 3 and 4) and the few that we add."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from visavis.core.errors import ConfigError
from visavis.motion.keypoints import KeypointMotion
from visavis.nn.dense_motion import inverse_2x2
from visavis.nn.thin_plate import evaluate, solve
from visavis.nn.warp import coordinate_grid


@dataclass(frozen=True)
class LossWeights:
    """How much each loss counts; 0 switches it off.

    Attributes:
        l1: L1 of equation 4, over an image pyramid, weighted by the mouth and eye map.
        gradient: L1 of the pictures' differences along x and y. Ours.
        structure: one minus SSIM. Ours.
        texture: difference in the strength of fine edges (:func:`texture_l1`), so that pictures stay sharp. Ours.
        warp: L1 of the warped source alone, so that motion learns before the decoder hides its errors. Ours.
        choice: the L1 of each layer of the composite, weighted by its share, so that every pixel settles on the layer
            that is nearest the truth instead of averaging layers. Ours.
        equivariance_points, equivariance_jacobians: L_eq of equation 4.
        perceptual: L_per of equation 4; needs the weights of a perceptual network.
        perceptual_share: in place of `perceptual`: how much L_per counts beside the term `l1`. Its weight is measured
            before the first step, on the first batches, and then fixed.
        perceptual_mouth: how much the mouth's crop counts in L_per beside the whole picture.
        adversarial: the GAN term of equation 4.
        adversarial_mouth: the same for a second discriminator that sees the mouth alone; needs `adversarial`. Ours.
        adversarial_from: share of the run after which discriminators join.
        feature_matching: L1 of the discriminators' features, which steadies the GAN; needs `adversarial`.
        teacher: how much the terms `l1` and `gradient` count with the teacher's picture in place of the true one. Ours.
        teacher_grid: L1 of the dense motion and the teacher's, in pixels. Ours.
    """

    l1: float = 10.0
    gradient: float = 5.0
    structure: float = 1.0
    texture: float = 0.0
    warp: float = 2.0
    choice: float = 5.0
    equivariance_points: float = 1.0
    equivariance_jacobians: float = 1.0
    perceptual: float = 0.0
    perceptual_share: float = 0.0
    perceptual_mouth: float = 0.0
    adversarial: float = 0.0
    adversarial_mouth: float = 0.0
    adversarial_from: float = 0.0
    feature_matching: float = 0.0
    teacher: float = 0.0
    teacher_grid: float = 0.0

    def __post_init__(self) -> None:
        """Refuse features of a discriminator that does not learn."""
        if self.feature_matching and not self.adversarial:
            raise ConfigError("'losses.feature_matching' compares features of the discriminator: set 'adversarial' too")
        if self.adversarial_mouth and not self.adversarial:
            raise ConfigError(
                "'losses.adversarial_mouth' is beside the discriminator of pictures: set 'adversarial' too"
            )
        if self.perceptual_share and self.perceptual:
            raise ConfigError("'losses.perceptual_share' measures the weight that 'losses.perceptual' gives: set one")
        if self.perceptual_share and not self.l1:
            raise ConfigError("'losses.perceptual_share' is a share of the term 'l1': set 'l1' too")
        if not 0 <= self.adversarial_from < 1:
            raise ConfigError(f"'losses.adversarial_from' must be from 0 to below 1, not {self.adversarial_from}")

    @property
    def looks(self) -> bool:
        """Whether a perceptual network is needed."""
        return bool(self.perceptual or self.perceptual_share)


def pyramid_l1(made: Tensor, real: Tensor, weight: Tensor, levels: int = 3) -> Tensor:
    """Mean over ``levels`` scales of the weighted L1 of pictures ``[B, 3, S, S]`` in [0, 1]."""
    total = made.new_zeros(())
    for _ in range(levels):
        total = total + (weight * (made - real).abs()).mean() / weight.mean()
        made, real, weight = (F.avg_pool2d(x, 2) for x in (made, real, weight))
    return total / levels


def gradient_l1(made: Tensor, real: Tensor, weight: Tensor) -> Tensor:
    """Weighted L1 of the pictures' differences along x and y."""
    error = made - real
    along_x = (weight[..., 1:] * (error[..., 1:] - error[..., :-1]).abs()).mean()
    along_y = (weight[..., 1:, :] * (error[..., 1:, :] - error[..., :-1, :]).abs()).mean()
    return (along_x + along_y) / weight.mean()


def texture_l1(made: Tensor, real: Tensor) -> Tensor:
    """How much the strength of fine edges differs from place to place, wherever exactly the edges lie.

    L1 of the root mean square of the Laplacian of luma over windows of 8x8 pixels. A mean of two likely pictures, which
    L1 of colours rewards, is softer than either; this tells it.
    """
    luma = made.new_tensor([0.299, 0.587, 0.114], dtype=torch.float32)[:, None, None]

    def strength(picture: Tensor) -> Tensor:
        grey = (picture.float() * luma).sum(1)
        middle = grey[:, 1:-1, 1:-1]
        around = grey[:, :-2, 1:-1] + grey[:, 2:, 1:-1] + grey[:, 1:-1, :-2] + grey[:, 1:-1, 2:]
        return (F.avg_pool2d((around - 4 * middle).square(), 8, 4) + 1e-6).sqrt()

    return (strength(made) - strength(real)).abs().mean()


def choice_l1(layers: Sequence[Tensor], shares: Tensor, real: Tensor) -> Tensor:
    """Mean over pixels of the layers' L1, each weighted by its share; only the shares learn from it.

    Args:
        layers: pictures ``[B, 3, S, S]``.
        shares: ``[B, len(layers), S, S]``, summing to 1.
        real: the truth, ``[B, 3, S, S]``.
    """
    errors = torch.cat([(layer.detach() - real).abs().mean(1, keepdim=True) for layer in layers], 1)
    return (shares * errors).sum(1).mean()


def structure_loss(made: Tensor, real: Tensor) -> Tensor:
    """One minus SSIM of luma, with an 8x8 mean window at half resolution (for training, not for reports)."""
    luma = made.new_tensor([0.299, 0.587, 0.114])[:, None, None]
    a, b = ((x * luma).sum(1, keepdim=True) for x in (made, real))

    def mean(x: Tensor) -> Tensor:
        return F.avg_pool2d(x, 8, stride=2)

    mean_a, mean_b = mean(a), mean(b)
    var_a = mean(a * a) - mean_a**2
    var_b = mean(b * b) - mean_b**2
    both = mean(a * b) - mean_a * mean_b
    c1, c2 = 0.01**2, 0.03**2
    ssim = (2 * mean_a * mean_b + c1) * (2 * both + c2) / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
    return 1 - ssim.mean()


@dataclass(frozen=True)
class Deformation:
    """A random thin-plate deformation with an affine part, for the equivariance losses.

    Attributes:
        control: ``[1, N, 2]`` control points.
        coefficients: ``[B, N + 3, 2]``.
    """

    control: Tensor
    coefficients: Tensor

    @classmethod
    def random(cls, count: int, generator: torch.Generator, device: torch.device) -> Deformation:
        """Draw ``count`` deformations: affine noise of 0.05, and bends at 5x5 points (as for the first order model)."""
        control = coordinate_grid(5, 5, align_corners=True).reshape(1, -1, 2)
        affine = torch.eye(2) + 0.05 * torch.randn(count, 2, 2, generator=generator)
        moved = control @ affine.transpose(1, 2) + 0.05 * torch.randn(count, 1, 2, generator=generator)
        moved = moved + 0.03 * torch.randn(count, 25, 2, generator=generator)
        control = control.expand(count, -1, -1)
        coefficients = solve(control, moved)
        return cls(control.to(device), coefficients.to(device))

    def at(self, points: Tensor) -> Tensor:
        """Where the deformed picture samples the original: ``[B, M, 2]`` for ``points [B, M, 2]``."""
        return evaluate(self.coefficients, self.control, points)

    def grid(self, size: int) -> Tensor:
        """Sampling grid ``[B, size, size, 2]`` of the deformed picture."""
        places = coordinate_grid(size, size, align_corners=False, device=self.control.device).reshape(-1, 2)
        return evaluate(self.coefficients, self.control, places).view(-1, size, size, 2)

    def jacobian(self, points: Tensor) -> Tensor:
        """Derivative ``[B, M, 2, 2]`` of :meth:`at`, by central differences."""
        step = 1e-3
        columns = []
        for axis in range(2):
            shift = torch.zeros(2, device=points.device)
            shift[axis] = step
            columns.append((self.at(points + shift) - self.at(points - shift)) / (2 * step))
        return torch.stack(columns, -1)


def equivariance(original: KeypointMotion, deformed: KeypointMotion, deformation: Deformation) -> tuple[Tensor, Tensor]:
    """L_eq for points and for jacobians: keypoints of a deformed picture are the deformed keypoints.

    Returns:
        Two scalars; the second is zero without jacobians.
    """
    points = (original.points - deformation.at(deformed.points)).abs().mean()
    if original.jacobians is None or deformed.jacobians is None:
        return points, points.new_zeros(())
    chained = deformation.jacobian(deformed.points) @ deformed.jacobians
    eye = torch.eye(2, device=points.device)
    return points, (inverse_2x2(original.jacobians) @ chained - eye).abs().mean()


def discriminator_loss(real_logits: Tensor, made_logits: Tensor) -> Tensor:
    """Equation 3, as a loss to minimise."""
    return F.softplus(-real_logits).mean() + F.softplus(made_logits).mean()


def hinge_discriminator_loss(real_logits: Tensor, made_logits: Tensor) -> Tensor:
    """Hinge loss of a discriminator (HeadGAN, equations 4 and 5)."""
    return F.relu(1 - real_logits).mean() + F.relu(1 + made_logits).mean()


def generator_adversarial_loss(made_logits: Tensor) -> Tensor:
    """The GAN term of equation 4 in its non-saturating form, which has the same fixed point and steeper gradients."""
    return F.softplus(-made_logits).mean()


def feature_matching(made: Sequence[Tensor], real: Sequence[Tensor]) -> Tensor:
    """Mean over the discriminator's feature maps of their L1 (Wang et al. 2018, equation 4)."""
    distances = [(a.float() - b.detach().float()).abs().mean() for a, b in zip(made, real, strict=True)]
    return torch.stack(distances).mean()
