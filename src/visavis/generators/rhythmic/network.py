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
from visavis.generators.rhythmic.composition import Decoder, Features, Flow, FlowNet, Flows
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
class Scene:
    """The references that one frame is made of.

    Attributes:
        front, back: frontal and matched picture, ``[B, 3, S, S]``.
        back_landmark: landmark image of the matched one, ``[B, c, r, r]``.
        person: segmentation of the frontal one, ``[B, 1, S, S]``, or None without layers.
        background: of the matched one, ``[B, 3, S, S]``, or None without layers.
    """

    front: Tensor
    back: Tensor
    back_landmark: Tensor
    person: Tensor | None
    background: Tensor | None


@dataclass(frozen=True)
class Warped:
    """The pictures after FlowNet.

    Attributes:
        projected, matched: ``[B, 3, S, S]`` in [0, 1].
        shown: where the projected picture shows a face, ``[B, 1, S, S]`` in [0, 1]; None where it shows all.
        person: segmentation of the frontal picture, moved with it; None without layers.
    """

    projected: Tensor
    matched: Tensor
    shown: Tensor | None
    person: Tensor | None


@dataclass(frozen=True)
class Rendering:
    """What one forward pass gives.

    Attributes:
        picture: the frame, ``[B, 3, S, S]`` in [0, 1]; beyond it by a little where `residual` paints.
        projected: the projected picture after FlowNet, ``[B, 3, S, S]``.
        matched: the matched picture after FlowNet.
        layers: the decoder's picture, these two, and the background if there is one.
        shares: what each layer counts in ``picture``, ``[B, layers, S, S]``; None where nothing is blended.
        shown: where the projected picture shows a face, ``[B, 1, S, S]`` in [0, 1]; None where it shows all.
        flows: what FlowNet added, ``[B, 2, r, r]`` each, in units of [-1, 1].
        alpha: the references' activation maps.
    """

    picture: Tensor
    projected: Tensor
    matched: Tensor
    layers: tuple[Tensor, ...]
    shares: Tensor | None
    shown: Tensor | None
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
        return self._embed(still.known, landmark)

    def _embed(self, known: Known, landmark: Tensor) -> Embedded:
        appearance, lines, alpha = self.embedding(known, landmark)
        return Embedded(appearance, self.fusion(lines, appearance), alpha)

    def render(self, still: Still, aim: Aim) -> Rendering:
        """Render a frame."""
        scene, motion, flows, shown = self.prepare(still, aim)
        return self.finish(still.known, aim.landmark, scene, flows, self.move(scene, motion, flows, shown))

    def picture(self, still: Still, aim: Aim) -> Tensor:
        """The picture of :meth:`render` alone, by the graphs :meth:`find_flows`, :meth:`move` and :meth:`decode`."""
        scene, motion, flows, shown = self.prepare(still, aim)
        return self.decode(still.known, aim.landmark, scene, flows, self.move(scene, motion, flows, shown))

    def prepare(self, still: Still, aim: Aim) -> tuple[Scene, FaceMotion, Flows, Tensor | None]:
        """Choose what a frame is made of, and find how to move it: arguments of :meth:`move`."""
        persons = None if still.persons is None else chosen(still.persons, aim.frontal).float()
        background = None if still.backgrounds is None else chosen(still.backgrounds, aim.matched)
        front, back = chosen(still.pictures, aim.frontal), chosen(still.pictures, aim.matched)
        scene = Scene(front, back, chosen(still.landmarks, aim.matched), persons, background)
        motion = aim.motion if self.config.projection else _unmoved(aim.motion)
        shown = motion.inside if self.config.projection and not self.config.surroundings else None
        return scene, motion, self.find_flows(scene, aim.landmark, aim.projected, motion, shown), shown

    def find_flows(
        self, scene: Scene, landmark: Tensor, projected: Tensor, motion: FaceMotion, shown: Tensor | None
    ) -> Flows:
        """FlowNet for the projected picture and for the matched one.

        Args:
            scene: pictures.
            landmark: l_t, ``[B, c, r, r]``.
            projected: that of the projected face.
            motion: from the projected face to the frontal picture's.
            shown: where the projected picture shows anything, ``[B, 1, r, r]``; None where it shows all.
        """
        if self.flow is None:
            nothing = torch.zeros_like(motion.shift, dtype=torch.float32)
            plain = Flow(nothing, nothing[:, :1], torch.ones_like(nothing[:, :1]))
            return Flows(plain, plain)
        picture = sample(self._small(scene.front), _grid(motion.shift.float()))
        if shown is not None:
            picture = picture * shown
        surface = torch.cat([motion.inside, motion.seen], 1)
        both = self.flow(
            torch.cat([projected, scene.back_landmark]),
            torch.cat([landmark, landmark]),
            torch.cat([picture, self._small(scene.back)]),
            torch.cat([surface, torch.zeros_like(surface)]),
        )
        one, two = zip(*(part.chunk(2) for part in (both.shift, both.attention, both.trust)), strict=True)
        return Flows(Flow(*one), Flow(*two))

    def move(self, scene: Scene, motion: FaceMotion, flows: Flows, shown: Tensor | None) -> Warped:
        """The projected and the matched picture after FlowNet; arguments as of :meth:`find_flows`."""
        grid, inside = moved(motion.shift.float(), motion.inside, flows.projected.trust, flows.projected.shift)
        front = scene.front if scene.person is None else torch.cat([scene.front.float(), scene.person], 1)
        carried = sample(front, self._full(grid))
        matched = sample(scene.back, self._full(_grid(flows.matched.shift)))
        person = None if scene.person is None else carried[:, 3:]
        if shown is None:
            return Warped(carried[:, :3], matched, None, person)
        seen = self._large(inside)
        return Warped(carried[:, :3] * seen, matched, seen, person)

    def finish(self, known: Known, landmark: Tensor, scene: Scene, flows: Flows, warped: Warped) -> Rendering:
        """Embedding and decoder, with what :meth:`move` gave."""
        embedded = self._embed(known, landmark)
        projected, matched, pictures = warped.projected, warped.matched, []
        if self.config.composition:
            pictures = [
                self.projected_features(self._small(projected), flows.projected.attention),
                self.matched_features(self._small(matched), flows.matched.attention),
            ]
        beside = [part for part in (projected, matched, scene.background, warped.person) if part is not None]
        out, logits = self.decoder(embedded.appearance, embedded.theta, landmark, pictures, torch.cat(beside, 1))
        made = projected + out.tanh() if self.config.residual else (out.tanh() + 1) / 2
        layers = tuple(layer for layer in (made, projected, matched, scene.background) if layer is not None)
        picture, shares = made, None
        if self.config.blends:
            shares = self._shares(logits, flows)
            picture = blend(layers, shares)
        shifts = flows.projected.shift, flows.matched.shift
        return Rendering(picture, projected, matched, layers, shares, warped.shown, shifts, embedded.alpha)

    def decode(self, known: Known, landmark: Tensor, scene: Scene, flows: Flows, warped: Warped) -> Tensor:
        """The picture of :meth:`finish` alone."""
        return self.finish(known, landmark, scene, flows, warped).picture

    def _shares(self, logits: Tensor | None, flows: Flows) -> Tensor:
        """Shares of the layers: the decoder's own logits where it has them, moved by FlowNet's attention."""
        attention = self._large(torch.cat([flows.projected.attention, flows.matched.attention], 1))
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
