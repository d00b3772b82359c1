"""The 3D-aware generative network Theta, to be read next to the paper (section 4, figure 2).

Names of the paper: ``y`` are pictures, ``l`` landmark images, ``t_M`` the frontal reference, ``t_s`` the matched one,
``y~_t`` the projected picture, ``h`` head motions; what FlowNet has warped has a prime there.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visavis.face.surface import FaceMotion
from visavis.generators.rhythmic.composition import Decoder, Features, Flow, FlowNet
from visavis.generators.rhythmic.config import RhythmicConfig
from visavis.generators.rhythmic.embedding import Embedded, Embedding, Fusion, Known
from visavis.generators.rhythmic.projection import Unprojection, chosen, moved
from visavis.nn.composite import blend, fill_behind
from visavis.nn.warp import coordinate_grid, sample


@dataclass(frozen=True)
class Still:
    """Everything that depends on the references alone.

    Attributes:
        pictures: y_{1:K}, ``[B, K, 3, S, S]`` in [0, 1].
        landmarks: l_{1:K}, ``[B, K, c, r, r]``.
        known: what the embedding knows of them.
        persons: segmentations ``[B, K, 1, S, S]``, or None without layers.
        backgrounds: the pictures without their person, ``[B, K, 3, S, S]``, or None without layers.
    """

    pictures: Tensor
    landmarks: Tensor
    known: Known
    persons: Tensor | None = None
    backgrounds: Tensor | None = None


@dataclass(frozen=True)
class Aim:
    """What is known of the frame that is wanted.

    Attributes:
        landmark: l_t, ``[B, c, r, r]``.
        projected: landmark image of the projected face; that of the target where it has the target's expression.
        motion: from the projected face to the frontal picture's.
        frontal: t_M, ``int64 [B]``.
        matched: t_s, ``int64 [B]``.
    """

    landmark: Tensor
    projected: Tensor
    motion: FaceMotion
    frontal: Tensor
    matched: Tensor


@dataclass(frozen=True)
class Rendering:
    """What one forward pass gives.

    Attributes:
        picture: the frame, ``[B, 3, S, S]`` in [0, 1]; beyond it by a little where `residual` paints.
        projected: the projected picture after FlowNet, ``[B, 3, S, S]``.
        matched: the matched picture after FlowNet.
        layers: the decoder's picture, these two, and the background if there is one.
        shares: what each layer counts in ``picture``, ``[B, layers, S, S]``; None where nothing is blended.
        flows: what FlowNet added, ``[B, 2, r, r]`` each, in units of [-1, 1].
        alpha: the references' activation maps.
    """

    picture: Tensor
    projected: Tensor
    matched: Tensor
    layers: tuple[Tensor, ...]
    shares: Tensor | None
    flows: tuple[Tensor, Tensor]
    alpha: Tensor


class RhythmicNetwork(nn.Module):
    """Theta: hybrid embedding and non-linear composition around the 3D-aware module."""

    def __init__(self, config: RhythmicConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding, self.fusion = Embedding(config), Fusion(config)
        self.flow = FlowNet(config) if config.warping else None
        if config.composition:
            self.projected_features, self.matched_features = Features(config), Features(config)
        self.decoder = Decoder(config)
        if config.unprojection:
            self.unprojection = Unprojection(config.unprojection_width)

    def encode(self, pictures: Tensor, landmarks: Tensor, persons: Tensor | None = None) -> Still:
        """Compute what depends on the references alone.

        Args:
            pictures: y_{1:K}, ``[B, K, 3, S, S]`` in [0, 1].
            landmarks: l_{1:K}, ``[B, K, c, r, r]`` in [0, 1].
            persons: segmentations ``[B, K, 1, S, S]`` in [0, 1]; needed with layers.
        """
        small = self._small(pictures.flatten(0, 1))
        known = self.embedding.know(small.reshape(*pictures.shape[:2], *small.shape[1:]), landmarks)
        if not self.config.layers:
            return Still(pictures, landmarks, known)
        if persons is None:
            raise ValueError("this network needs the segmentation of its references")
        behind = fill_behind(pictures.flatten(0, 1).float(), persons.flatten(0, 1).float())
        return Still(pictures, landmarks, known, persons, behind.reshape(pictures.shape))

    def embed(self, still: Still, landmark: Tensor) -> Embedded:
        """Equations 3 to 7: what the references say of a target's landmark image ``[B, c, r, r]``."""
        appearance, lines, alpha = self.embedding(still.known, landmark)
        return Embedded(appearance, self.fusion(lines, appearance), alpha)

    def render(self, still: Still, aim: Aim) -> Rendering:
        """Render a frame."""
        embedded = self.embed(still, aim.landmark)
        front, back = chosen(still.pictures, aim.frontal), chosen(still.pictures, aim.matched)
        motion = aim.motion if self.config.projection else _unmoved(aim.motion)
        first, second = self.flows(still, aim, motion, front, back)
        grid, inside = moved(motion.shift.float(), motion.inside, first.trust, first.shift)
        persons = None if still.persons is None else chosen(still.persons, aim.frontal).float()
        carried = sample(front if persons is None else torch.cat([front.float(), persons], 1), self._full(grid))
        projected, matched = carried[:, :3], sample(back, self._full(_grid(second.shift)))
        if self.config.projection and not self.config.surroundings:
            projected = projected * self._large(inside)
        pictures = []
        if self.config.composition:
            seen = (self.projected_features, projected, first), (self.matched_features, matched, second)
            pictures = [features(self._small(picture), flow.attention) for features, picture, flow in seen]
        beside, background = [projected, matched], None
        if still.backgrounds is not None:
            background = chosen(still.backgrounds, aim.matched)
            beside += [background, carried[:, 3:]]
        out, logits = self.decoder(embedded.appearance, embedded.theta, aim.landmark, pictures, torch.cat(beside, 1))
        made = projected + out.tanh() if self.config.residual else (out.tanh() + 1) / 2
        layers = (made, projected, matched) if background is None else (made, projected, matched, background)
        picture, shares = made, None
        if self.config.blends:
            shares = self._shares(logits, first, second)
            picture = blend(layers, shares)
        return Rendering(picture, projected, matched, layers, shares, (first.shift, second.shift), embedded.alpha)

    def flows(self, still: Still, aim: Aim, motion: FaceMotion, front: Tensor, back: Tensor) -> tuple[Flow, Flow]:
        """FlowNet for the projected picture and for the matched one."""
        side = self.config.raster
        if self.flow is None:
            nothing = aim.landmark.new_zeros(len(aim.landmark), 2, side, side, dtype=torch.float32)
            plain = Flow(nothing, nothing[:, :1], torch.ones_like(nothing[:, :1]))
            return plain, plain
        projected = sample(self._small(front), _grid(motion.shift.float()))
        if self.config.projection and not self.config.surroundings:
            projected = projected * motion.inside
        surface = torch.cat([motion.inside, motion.seen], 1)
        both = self.flow(
            torch.cat([aim.projected, chosen(still.landmarks, aim.matched)]),
            torch.cat([aim.landmark, aim.landmark]),
            torch.cat([projected, self._small(back)]),
            torch.cat([surface, torch.zeros_like(surface)]),
        )
        one, two = zip(*(part.chunk(2) for part in (both.shift, both.attention, both.trust)), strict=True)
        return Flow(*one), Flow(*two)

    def _shares(self, logits: Tensor | None, first: Flow, second: Flow) -> Tensor:
        """Shares of the layers: the decoder's own logits where it has them, moved by FlowNet's attention."""
        attention = self._large(torch.cat([first.attention, second.attention], 1))
        if logits is None:
            return F.pad(attention, (0, 0, 0, 0, 1, 0)).softmax(1)
        return (logits + F.pad(attention, (0, 0, 0, 0, 1, logits.shape[1] - 3))).softmax(1)

    def _small(self, picture: Tensor) -> Tensor:
        return F.avg_pool2d(picture, 2) if self.config.fold == 2 else picture

    def _large(self, x: Tensor) -> Tensor:
        if self.config.fold == 1:
            return x
        return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)

    def _full(self, grid: Tensor) -> Tensor:
        """A grid ``[B, r, r, 2]`` for the pictures' size; what is interpolated is how far it leads."""
        size = self.config.size
        if size == grid.shape[1]:
            return grid
        here = coordinate_grid(*grid.shape[1:3], align_corners=False, device=grid.device)
        return _grid(self._large((grid - here).permute(0, 3, 1, 2)))


def _grid(shift: Tensor) -> Tensor:
    """Sampling grid ``[B, h, w, 2]`` of a shift ``[B, 2, h, w]`` in units of [-1, 1]."""
    return coordinate_grid(*shift.shape[2:], align_corners=False, device=shift.device) + shift.permute(0, 2, 3, 1)


def _unmoved(motion: FaceMotion) -> FaceMotion:
    return FaceMotion(*(torch.zeros_like(part) for part in (motion.shift, motion.inside, motion.seen)))
