"""The HeadGAN generator, to be read next to the paper (section 3.3, figure 3, tables 2 and 3).

Names of the paper: ``y_ref`` is the reference picture, ``x_ref`` its face picture, ``x_{t-k:t}`` those of the driving
frame and of the k before it, ``h_t^(a)`` the sound, ``h1, h2, h3`` the reference's features, finest first, ``w_t`` the
flow; what the flow has warped carries a bar there and is called ``warped`` here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visavis.face.surface import FaceMotion
from visavis.generators.headgan.config import HeadganConfig
from visavis.generators.headgan.layers import AdaInBlock, Encoder, SpadeBlock, Up
from visavis.nn.composite import Layers, blend, fill_behind
from visavis.nn.warp import channels_last, doubled, grid_of, halved, sample

_FACE = 3  # channels of a face picture
_GATE_START = 4.0  # initial logit of the mesh's flow outside the face
_RESIDUAL_START = 0.1  # of the usual size: what F adds to the mesh's flow begins small
_COMPOSITE_START = 1.0  # initial logit of the warped source


@dataclass(frozen=True)
class Still:
    """Everything that depends on the reference alone.

    Attributes:
        picture: ``y_ref``, ``[B, 3, S, S]`` in [0, 1].
        features: h1, h2, h3 at r, r/2 and r/4, where r is the side of the face pictures.
        person: the reference's segmentation ``[B, 1, S, S]``, or None without layers.
        background: the reference without its person, ``[B, 3, S, S]``, or None without layers.
    """

    picture: Tensor
    features: tuple[Tensor, Tensor, Tensor]
    person: Tensor | None = None
    background: Tensor | None = None

    def first(self, count: int) -> Still:
        """The same of the first rows of the batch."""
        one, two, three = self.features
        person, background = (None if x is None else x[:count] for x in (self.person, self.background))
        return Still(self.picture[:count], (one[:count], two[:count], three[:count]), person, background)


@dataclass(frozen=True)
class Warped:
    """What the flow makes of a reference.

    Attributes:
        flow: ``w_t`` in pixels, ``[B, 2, r, r]``.
        picture: the reference moved, ``[B, 3, S, S]`` in [0, 1].
        small: the same at r.
        features: h1, h2, h3 moved.
        person: the reference's segmentation moved, ``[B, 1, S, S]``, or None.
    """

    flow: Tensor
    picture: Tensor
    small: Tensor
    features: tuple[Tensor, Tensor, Tensor]
    person: Tensor | None


@dataclass(frozen=True)
class Rendering:
    """What one forward pass gives.

    Attributes:
        picture: the frame, ``[B, 3, S, S]`` in [0, 1].
        warped: what R has seen of the reference.
        layers: R's own picture, the warped reference, and the background if there is one.
        shares: what each layer counts in ``picture``, ``[B, layers, S, S]``; None without a composite.
    """

    picture: Tensor
    warped: Warped
    layers: tuple[Tensor, ...]
    shares: Tensor | None


class DenseFlow(nn.Module):
    """F, table 2: a flow from the reference and its face picture, guided by the driving face pictures."""

    def __init__(self, config: HeadganConfig) -> None:
        super().__init__()
        self.moves = config.flow
        first, second, third = config.widths
        self.encoder = Encoder(3 + _FACE + config.layers, config.widths)
        if not config.flow:
            return
        condition = _FACE * (config.memory + 1) + 4 * config.mesh_flow
        make = _spade_maker(config)
        self.blocks = nn.ModuleList([make(third, condition) for _ in range(3)])
        self.up1 = Up(third, second)
        self.block = make(second, condition)
        self.up2 = Up(second, first)
        self.out = nn.Conv2d(first, 2 + config.mesh_flow, 7, padding=3)
        if config.mesh_flow:
            with torch.no_grad():
                assert self.out.bias is not None
                self.out.weight[:2] *= _RESIDUAL_START
                self.out.bias.copy_(torch.tensor([0.0, 0.0, _GATE_START]))

    def forward(self, features: Tensor, faces: Tensor, motion: FaceMotion | None) -> Tensor:
        """Return the flow ``w_t`` in pixels, ``float32 [B, 2, r, r]``.

        Args:
            features: h3 of the reference, ``[B, c, r/4, r/4]``, from the encoder.
            faces: ``x_{t-k:t}``, ``[B, 3 (k + 1), r, r]``, the present one last.
            motion: of the face, with mesh flow.
        """
        if not self.moves:
            return faces.new_zeros(faces.shape[0], 2, *faces.shape[2:], dtype=torch.float32)
        if motion is not None:
            faces = torch.cat([faces, motion.shift, motion.inside, motion.seen], 1)
        half = F.avg_pool2d(faces, 2)
        quarter = F.avg_pool2d(half, 2)
        x = features
        for block in self.blocks:
            x = block(x, quarter)
        x = self.block(self.up1(x), half)
        out = self.out(self.up2(x)).float()
        if motion is None:
            return out
        # In the face its vertices are right; around it they are a guess. Half a side is a distance of 1.
        trust = torch.lerp(out[:, 2:].sigmoid(), torch.ones_like(motion.inside), motion.inside)
        return out[:, :2] + trust * motion.shift * (faces.shape[-1] / 2)


class Renderer(nn.Module):
    """R, table 3: face pictures to a picture, guided by the warped reference (SPADE) and the sound (AdaIN)."""

    def __init__(self, config: HeadganConfig) -> None:
        super().__init__()
        self.config = config
        first, second, third = config.widths
        code = config.sound_code or config.sound
        spade = _spade_maker(config)

        def adain(channels: int) -> nn.Module:
            return AdaInBlock(channels, code, residual=config.residual) if config.sound else _Deaf()

        self.squeeze = nn.Linear(config.sound, code) if config.sound and config.sound_code else nn.Identity()
        self.encoder = Encoder(_FACE * (config.memory + 1) + 2 * config.mesh_flow, config.widths)
        self.spade3, self.adain3 = spade(third, third), adain(third)
        self.up1 = Up(third, second)
        self.spade2, self.adain2 = spade(second, second), adain(second)
        self.up2 = Up(second, first)
        self.spade1, self.adain1 = spade(first, first), adain(first)
        self.spade0 = spade(first, 3)
        if config.fold == 1:
            self.out = nn.Conv2d(first, 3 + config.composite, 7, padding=3)
        else:
            self.up3 = Up(first, config.finish)
            self.join = nn.Conv2d(config.finish + 3, config.finish, 3, padding=1)
            self.out = nn.Conv2d(config.finish, 3 + config.composite, 3, padding=1)
        if config.layers:
            self.layers = Layers(config.finish if config.fold == 2 else first)
        if config.composite:
            with torch.no_grad():
                self.out.bias[3] += _COMPOSITE_START  # type: ignore[index]

    def forward(
        self, faces: Tensor, motion: FaceMotion | None, warped: Warped, background: Tensor | None, sound: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Return R's picture ``[B, 3, S, S]`` in [0, 1] and, with a composite, the shares of it and other layers."""
        if motion is not None:
            faces = torch.cat([faces, motion.inside, motion.seen], 1)
        code = None
        if self.config.sound:
            if sound is None:
                sound = faces.new_zeros(faces.shape[0], self.config.sound)
            code = self.squeeze(sound)
            if self.config.sound_code:
                code = F.leaky_relu(code, 0.2)
        one, two, three = warped.features
        x = self.encoder(faces)[2]
        x = self.adain3(self.spade3(x, three), code)
        x = self.adain2(self.spade2(self.up1(x), two), code)
        x = self.adain1(self.spade1(self.up2(x), one), code)
        x = F.leaky_relu(self.spade0(x, warped.small), 0.2)
        if self.config.fold == 2:
            x = F.leaky_relu(self.join(torch.cat([self.up3(x), warped.picture.to(x.dtype)], 1)), 0.2)
        out = self.out(x).float()
        picture = (out[:, :3].tanh() + 1) / 2
        if not self.config.composite:
            return picture, None
        keep = out[:, 3:]
        if background is not None and warped.person is not None:
            return picture, self.layers(x, keep, warped.picture, background, warped.person)
        keep = keep.sigmoid()
        return picture, torch.cat([1 - keep, keep], 1)


class _Deaf(nn.Module):
    """In place of AdaIN in a network without sound."""

    def forward(self, x: Tensor, code: Tensor | None) -> Tensor:
        return x


def _spade_maker(config: HeadganConfig) -> Callable[[int, int], SpadeBlock]:
    def make(channels: int, condition: int) -> SpadeBlock:
        return SpadeBlock(
            channels,
            condition,
            hidden=config.hidden,
            kernel=config.modulation_kernel,
            residual=config.residual,
        )

    return make


class HeadganNetwork(nn.Module):
    """G of equation 2: F, the warp, and R."""

    def __init__(self, config: HeadganConfig) -> None:
        super().__init__()
        self.config = config
        self.flow = DenseFlow(config)
        self.renderer = Renderer(config)

    def encode(self, picture: Tensor, face: Tensor, person: Tensor | None = None) -> Still:
        """Compute what depends on the reference alone.

        Args:
            picture: ``y_ref``, ``[B, 3, S, S]`` in [0, 1].
            face: ``x_ref``, ``[B, 3, r, r]`` in [0, 1].
            person: segmentation ``[B, 1, S, S]`` in [0, 1]; needed with layers.
        """
        parts = [self._small(picture), face]
        background = None
        if self.config.layers:
            if person is None:
                raise ValueError("this network needs the reference's segmentation")
            parts.append(self._small(person))
            background = fill_behind(picture.float(), person.float())
        features = self.flow.encoder(channels_last(torch.cat(parts, 1)))
        return Still(picture, features, person if self.config.layers else None, background)

    def warp(self, still: Still, faces: Tensor, motion: FaceMotion | None = None) -> Warped:
        """F and what its flow makes of the reference, at all scales.

        Args:
            still: the reference, from :meth:`encode`.
            faces: ``x_{t-k:t}``, ``[B, 3 (k + 1), r, r]`` in [0, 1], the present one last.
            motion: of the face; needed with mesh flow.
        """
        if self.config.mesh_flow and motion is None:
            raise ValueError("this network needs the motion of the face")
        flow = self.find_flow(still.features[2], faces, motion)
        return self.move(still, flow)

    def find_flow(self, features: Tensor, faces: Tensor, motion: FaceMotion | None) -> Tensor:
        """F alone; arguments and result as of :class:`DenseFlow`."""
        return self.flow(features, channels_last(faces), motion if self.config.mesh_flow else None)  # type: ignore[no-any-return]

    def move(self, still: Still, flow: Tensor) -> Warped:
        """What a flow makes of the reference."""
        coarse, features = flow, []
        for level, feature in enumerate(still.features):
            coarse = halved(coarse) if level else coarse
            features.append(channels_last(sample(feature, grid_of(coarse)).to(feature.dtype)))
        grid = grid_of(doubled(flow) if self.config.fold == 2 else flow)
        picture = sample(still.picture, grid)
        person = None if still.person is None else sample(still.person, grid)
        return Warped(flow, picture, self._small(picture), (features[0], features[1], features[2]), person)

    def render(
        self, still: Still, faces: Tensor, motion: FaceMotion | None = None, sound: Tensor | None = None
    ) -> Rendering:
        """Render a driving face.

        Args:
            still, faces, motion: as for :meth:`warp`.
            sound: ``h_t^(a)``, ``[B, n]``, of about unit scale; None, or zeros, where nothing is known of the sound.
        """
        return self.finish(self.warp(still, faces, motion), faces, motion, still.background, sound)

    def picture(
        self, still: Still, faces: Tensor, motion: FaceMotion | None = None, sound: Tensor | None = None
    ) -> Tensor:
        """The picture of :meth:`render` alone, by the graphs :meth:`find_flow`, :meth:`move` and :meth:`decode`."""
        if sound is None and self.config.sound:
            sound = faces.new_zeros(faces.shape[0], self.config.sound)
        return self.decode(self.warp(still, faces, motion), faces, motion, still.background, sound)

    def finish(
        self,
        warped: Warped,
        faces: Tensor,
        motion: FaceMotion | None,
        background: Tensor | None,
        sound: Tensor | None,
    ) -> Rendering:
        """R alone, with what :meth:`warp` gave."""
        motion = motion if self.config.mesh_flow else None
        made, shares = self.renderer(channels_last(faces), motion, warped, background, sound)
        layers = tuple(layer for layer in (made, warped.picture.float(), background) if layer is not None)
        picture = made if shares is None else blend(layers[: shares.shape[1]], shares)
        return Rendering(picture, warped, layers, shares)

    def decode(
        self,
        warped: Warped,
        faces: Tensor,
        motion: FaceMotion | None,
        background: Tensor | None,
        sound: Tensor | None,
    ) -> Tensor:
        """The picture of :meth:`finish` alone."""
        return self.finish(warped, faces, motion, background, sound).picture

    def _small(self, picture: Tensor) -> Tensor:
        return F.avg_pool2d(picture, 2) if self.config.fold == 2 else picture
