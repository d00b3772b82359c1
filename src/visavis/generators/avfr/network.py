"""The AVFR-GAN network, to be read next to the paper (section 3 and figure 2).

Names of the paper: ``F_s``, ``F_d`` are the source and driving pictures, ``I_s``, ``I_d`` the same with their
priors, ``Enc_motion`` the source features warped by the dense motion, ``Enc_aud`` and ``Enc_query`` the two
encodings of the sound, ``Enc_attn`` the attention, ``Enc_dec`` their concatenation.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visavis.audio.feature import MEL_WINDOW
from visavis.generators.avfr.config import AvfrConfig
from visavis.generators.avfr.mesh import MeshModel
from visavis.generators.avfr.sound import QueryEncoder, SoundEncoder
from visavis.motion.keypoints import KeypointDetector, KeypointMotion
from visavis.nn.attention import AudioVisualAttention
from visavis.nn.blocks import AntiAliasDownsample, Hourglass, SameBlock
from visavis.nn.composite import Layers, blend, fill_behind
from visavis.nn.dense_motion import keypoint_heatmaps, no_denormals, sparse_motions
from visavis.nn.norms import SpadeResBlock
from visavis.nn.thin_plate import Spline, spline
from visavis.nn.warp import channels_last, coordinate_grid, resize_grid, sample

_FOLD = 4  # h / 4: the scale of motion and of every Enc_
_VARIANCE = 0.01
_MESH_HEAD_START = 4.0  # initial logit of the mesh among the candidate motions
_COMPOSITE_START = 1.0


@dataclass(frozen=True)
class Still:
    """Everything that depends on the source alone.

    Attributes:
        picture: ``F_s``, ``[B, 3, S, S]`` in [0, 1].
        small: ``F_s`` at S/4.
        features: what the dense motion warps into Enc_motion, ``[B, c, S/4, S/4]``.
        identity: features of the identity encoder at S, S/2 and S/4; empty without it.
        motion: keypoints (and mesh coefficients) of the source.
        mesh: control points of the source's mesh ``[B, N, 2]``, or None.
        drawing: drawing of the source's mesh, folded to ``[B, 16, S/4, S/4]``, or None.
        person: the source's segmentation ``[B, 1, S, S]``, or None without layers.
        small_person: the same at S/4.
        background: the source without its person, ``[B, 3, S, S]``, or None without layers.
        small_background: the same at S/4.
    """

    picture: Tensor
    small: Tensor
    features: Tensor
    identity: tuple[Tensor, ...]
    motion: KeypointMotion
    mesh: Tensor | None
    drawing: Tensor | None
    person: Tensor | None
    small_person: Tensor | None
    background: Tensor | None
    small_background: Tensor | None


@dataclass(frozen=True)
class Moved:
    """The dense motion and what it makes of the source.

    Attributes:
        grid: dense motion ``[B, S/4, S/4, 2]``: for each place of the output, where it samples the source.
        mask: share of each candidate motion ``[B, candidates, S/4, S/4]``.
        enc_motion: Enc_motion ``[B, c, S/4, S/4]``.
        warped: the source moved, ``[B, 3, S, S]``.
        person: the source's segmentation moved, ``[B, 1, S, S]``, or None without layers.
        identity: features of the identity encoder, moved if the network aligns them.
    """

    grid: Tensor
    mask: Tensor
    enc_motion: Tensor
    warped: Tensor
    person: Tensor | None
    identity: tuple[Tensor, ...]


@dataclass(frozen=True)
class Painted:
    """What the decoder makes of a moved source.

    Attributes:
        picture, attention, layers, shares: as in :class:`Rendering`.
    """

    picture: Tensor
    attention: Tensor | None
    layers: tuple[Tensor, ...]
    shares: Tensor | None


@dataclass(frozen=True)
class Rendering:
    """What one forward pass gives.

    Attributes:
        picture: ``F_gen``, ``[B, 3, S, S]`` in [0, 1].
        warped: the source moved by the dense motion alone, same shape.
        grid: dense motion ``[B, S/4, S/4, 2]``: for each place of the output, where it samples the source.
        mask: share of each candidate motion ``[B, candidates, S/4, S/4]``.
        attention: Enc_attn ``[B, 1, S/4, S/4]``, or None without sound.
        layers: the decoder's own picture, ``warped``, and the background if there is one.
        shares: what each layer counts in ``picture``, ``[B, layers, S, S]``; None without a composite.
    """

    picture: Tensor
    warped: Tensor
    grid: Tensor
    mask: Tensor
    attention: Tensor | None
    layers: tuple[Tensor, ...]
    shares: Tensor | None


class CandidateMotion(nn.Module):
    """Dense motion from candidates: background, K keypoint motions and, if wanted, the mesh's thin-plate warp."""

    def __init__(self, config: AvfrConfig) -> None:
        super().__init__()
        self.config = config
        self.candidates = config.keypoints + 1 + config.mesh_motion
        drawings = 2 * _FOLD**2 if config.mesh_motion else 0
        channels = config.keypoints + 1 + (3 + config.layers) * self.candidates + drawings
        self.hourglass = Hourglass(config.motion_width, channels, config.motion_blocks, config.motion_max)
        out = self.hourglass.out_filters
        self.mask = nn.Conv2d(out, self.candidates, 7, padding=3)
        self.occlusion = nn.Conv2d(out, 1, 7, padding=3)
        if config.mesh_motion:
            self.residual = nn.Conv2d(out, 2, 7, padding=3)
            nn.init.zeros_(self.residual.weight)
            nn.init.zeros_(self.residual.bias)  # type: ignore[arg-type]
            with torch.no_grad():
                self.mask.bias[-1] += _MESH_HEAD_START  # type: ignore[index]

    def forward(
        self, still: Still, driving: KeypointMotion, by_mesh: Spline | None, drawing: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return grid ``[B, h, w, 2]``, occlusion ``[B, 1, h, w]`` in [0, 1], and mask ``[B, candidates, h, w]``.

        Args:
            still: the source.
            driving: keypoints.
            by_mesh: the mesh's candidate, or None.
            drawing: of the driving mesh, folded to ``[B, 16, h, w]``, or None.
        """
        height, width = still.small.shape[2:]
        grid = coordinate_grid(height, width, align_corners=False, device=still.small.device)
        source = still.motion
        motions = sparse_motions(source.points, source.jacobians, driving.points, driving.jacobians, grid)
        heat = keypoint_heatmaps(driving.points, grid, _VARIANCE) - keypoint_heatmaps(source.points, grid, _VARIANCE)
        heat = torch.cat([torch.zeros_like(heat[:, :1]), heat], 1)
        parts = [heat]
        if by_mesh is not None:
            motions = torch.cat([motions, by_mesh.grid(grid)[:, None]], 1)
        count = motions.shape[1]
        spread = still.small[:, None].expand(-1, count, -1, -1, -1).flatten(0, 1)
        parts.append(sample(spread, motions.flatten(0, 1)).view(-1, 3 * count, height, width))
        if drawing is not None and still.drawing is not None:
            parts += [drawing, still.drawing]
        if still.small_person is not None:
            person = still.small_person[:, None].expand(-1, count, -1, -1, -1).flatten(0, 1)
            parts.append(sample(person, motions.flatten(0, 1)).view(-1, count, height, width))
        mask, occlusion, residual = self._heads(self.hourglass(channels_last(torch.cat(parts, 1))))
        mask = no_denormals(mask.softmax(1))
        dense = (mask[..., None] * motions).sum(1)
        if residual is not None:
            dense = dense + 0.1 * residual.tanh().permute(0, 2, 3, 1)
        return dense, occlusion.sigmoid(), mask

    def _heads(self, seen: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Logits of mask and occlusion, and the residual before its tanh, by one convolution: it costs as one head."""
        heads = [self.mask, self.occlusion] + ([self.residual] if self.config.mesh_motion else [])
        weight, bias = torch.cat([head.weight for head in heads]), torch.cat([head.bias for head in heads])  # type: ignore[misc]
        made = F.conv2d(seen, weight, bias, padding=3).float()
        count = self.candidates
        return made[:, :count], made[:, count : count + 1], made[:, count + 1 :] if self.config.mesh_motion else None


class AppearanceEncoder(nn.Module):
    """Source features at S/4 that the dense motion warps (the first order model's encoder)."""

    def __init__(self, config: AvfrConfig) -> None:
        super().__init__()
        first, middle, _ = config.widths
        self.first = SameBlock(3, first, kernel_size=7, padding=3)
        self.down = nn.Sequential(_halve(first, middle), _halve(middle, config.channels))

    def forward(self, picture: Tensor) -> Tensor:
        return self.down(self.first(picture))  # type: ignore[no-any-return]


def _halve(inside: int, outside: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inside, outside, 3, stride=2, padding=1), nn.BatchNorm2d(outside), nn.ReLU(inplace=True)
    )


class IdentityEncoder(nn.Module):
    """First half of the identity-aware generator: residual SPADE blocks over F_s, modulated by F_s."""

    def __init__(self, config: AvfrConfig) -> None:
        super().__init__()
        first, middle, last = config.widths
        kernel = config.modulation_kernel
        self.first = nn.Conv2d(3, first, 3, padding=1)
        self.down = nn.ModuleList([nn.Conv2d(first, middle, 3, stride=2, padding=1)])
        self.down.append(nn.Conv2d(middle, last, 3, stride=2, padding=1))
        self.blocks = nn.ModuleList([SpadeResBlock(w, w, 3, modulation_kernel=kernel) for w in config.widths])

    def forward(self, picture: Tensor) -> tuple[Tensor, ...]:
        """Return features at S, S/2 and S/4; the last is the identity code."""
        x = self.blocks[0](self.first(picture), picture)
        features = [x]
        for down, block in zip(self.down, self.blocks[1:], strict=True):
            x = block(down(x), picture)
            features.append(x)
        return tuple(features)


class Decoder(nn.Module):
    """Second half of the identity-aware generator: Enc_dec and the identity code to a picture."""

    def __init__(self, config: AvfrConfig, enc_dec: int) -> None:
        super().__init__()
        self.config = config
        first, middle, last = config.widths
        aware = int(config.identity_aware)
        condition = config.condition_channels or enc_dec
        kernel = config.modulation_kernel
        self.squeeze = nn.Conv2d(enc_dec, condition, 1) if config.condition_channels else nn.Identity()
        self.join = nn.Conv2d(enc_dec + aware * last, last, 3, padding=1)
        self.bottleneck = nn.ModuleList(
            [SpadeResBlock(last, last, condition, modulation_kernel=kernel) for _ in range(config.bottleneck_blocks)]
        )
        self.up_middle = nn.Conv2d(last, middle, 3, padding=1)
        self.middle = SpadeResBlock(middle + aware * middle, middle, condition, modulation_kernel=kernel)
        self.up_first = nn.Conv2d(middle, first, 3, padding=1)
        self.first = SpadeResBlock(first + aware * first, first, condition, modulation_kernel=kernel)
        self.out = nn.Conv2d(first, 3 + config.composite, 3 if config.composite else 7, padding="same")
        if config.layers:
            self.layers = Layers(first)
        if config.composite:
            with torch.no_grad():
                self.out.bias[3] += _COMPOSITE_START  # type: ignore[index]

    def forward(
        self,
        enc_dec: Tensor,
        identity: tuple[Tensor, ...],
        warped: Tensor,
        background: Tensor | None = None,
        person: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Return a picture ``[B, 3, S, S]`` and, with a composite, the shares of it and of the other layers."""
        condition = self.squeeze(enc_dec)
        x = self.join(torch.cat([enc_dec, *identity[2:]], 1))
        for block in self.bottleneck:
            x = block(x, condition)
        x = _double(self.up_middle(x))
        x = self.middle(torch.cat([x, *identity[1:2]], 1), condition)
        x = _double(self.up_first(x))
        features = F.leaky_relu(self.first(torch.cat([x, *identity[:1]], 1), condition), 0.2)
        x = self.out(features)
        picture, keep = x[:, :3].float().sigmoid(), x[:, 3:].float()
        if not self.config.composite:
            return picture, None
        if background is not None and person is not None:
            return picture, self.layers(features, keep, warped, background, person)
        keep = keep.sigmoid()
        return picture, torch.cat([1 - keep, keep], 1)


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


class AvfrNetwork(nn.Module):
    """AVFR-GAN's generator, M_Gen: keypoint detector, dense motion, sound, attention, identity-aware decoder."""

    def __init__(self, config: AvfrConfig) -> None:
        super().__init__()
        self.config = config
        inputs = 5 if config.structural_prior else 3
        self.detector = KeypointDetector(
            in_channels=inputs,
            num_keypoints=config.keypoints,
            block_expansion=config.detector_width,
            num_blocks=config.detector_blocks,
            max_features=config.detector_max,
            temperature=0.1,
            estimate_jacobian=config.jacobians,
            scale_factor=1 / _FOLD,
            pad=0,
        )
        self.shrink = AntiAliasDownsample(3, 1 / _FOLD)
        self.motion = CandidateMotion(config)
        self.appearance = AppearanceEncoder(config)
        enc_dec = config.channels
        if config.mesh_motion:
            self.mesh_model = MeshModel(config.mesh_coefficients)
            enc_dec += _FOLD**2
        if config.layers:
            enc_dec += 4
        if config.sound:
            self.sound = SoundEncoder(config.channels, config.size // _FOLD)
            self.query = QueryEncoder(config.channels)
            self.attend = AudioVisualAttention()
            enc_dec += config.channels + 1
        if config.identity_aware:
            self.identity = IdentityEncoder(config)
        self.decoder = Decoder(config, enc_dec)

    def detect(self, picture: Tensor, prior: Tensor | None, mesh: Tensor | None = None) -> KeypointMotion:
        """Equation 1: keypoints of ``I = [F, mesh drawing, segmentation]``.

        Args:
            picture: ``[B, 3, S, S]`` in [0, 1].
            prior: ``[B, 2, S, S]`` in [0, 1], drawing and segmentation; None without the structural prior.
            mesh: mesh values ``[B, 6 + n]`` to carry along in the motion.
        """
        # Reduced precision moves keypoints by about a pixel (bf16) or several (int8).
        with torch.autocast(picture.device.type, enabled=False):
            observed = picture.float()
            if self.config.structural_prior:
                if prior is None:
                    raise ValueError("this network needs the structural prior: mesh drawing and segmentation")
                observed = torch.cat([observed, prior.float()], 1)
            found: KeypointMotion = self.detector(observed)
        return KeypointMotion(found.points, found.jacobians, mesh if self.config.mesh_motion else None)

    def encode(self, picture: Tensor, motion: KeypointMotion, prior: Tensor | None) -> Still:
        """Compute what depends on the source alone.

        Args:
            picture: ``[B, 3, S, S]`` in [0, 1].
            motion: its motion, from :meth:`detect`.
            prior: ``[B, 2, S, S]`` in [0, 1], drawing of the motion's mesh and segmentation; None if neither counts.
        """
        config = self.config
        person = prior[:, 1:].float() if config.layers and prior is not None else None
        background = fill_behind(picture.float(), person) if person is not None else None
        return Still(
            picture=picture,
            small=self.shrink(picture),
            features=self.appearance(picture),
            identity=self.identity(picture) if config.identity_aware else (),
            motion=motion,
            mesh=self.mesh_model.controls(motion.mesh).points if motion.mesh is not None else None,
            drawing=F.pixel_unshuffle(prior[:, :1], _FOLD) if config.mesh_motion and prior is not None else None,
            person=person,
            small_person=F.avg_pool2d(person, _FOLD) if person is not None else None,
            background=background,
            small_background=F.avg_pool2d(background, _FOLD) if background is not None else None,
        )

    def render(self, still: Still, driving: KeypointMotion, drawing: Tensor | None, mel: Tensor | None) -> Rendering:
        """Render the driving motion.

        Args:
            still: the source, from :meth:`encode`.
            driving: motion with mesh values if the network has mesh motion.
            drawing: ``[B, 1, S, S]``, drawing of the driving motion's mesh.
            mel: ``[B, 1, *MEL_WINDOW.shape]`` in [0, 1]; None is silence.
        """
        moved, folded, mel = self._begin(still, driving, drawing, mel)
        painted = self.paint(moved, folded, mel, still.background, still.small_background)
        return Rendering(
            painted.picture, moved.warped, moved.grid, moved.mask, painted.attention, painted.layers, painted.shares
        )

    def picture(self, still: Still, driving: KeypointMotion, drawing: Tensor | None, mel: Tensor | None) -> Tensor:
        """The picture of :meth:`render` alone: a step on the host, then the graphs :meth:`move` and :meth:`decode`."""
        moved, folded, mel = self._begin(still, driving, drawing, mel)
        return self.decode(moved, folded, mel, still.background, still.small_background)

    def _begin(
        self, still: Still, driving: KeypointMotion, drawing: Tensor | None, mel: Tensor | None
    ) -> tuple[Moved, Tensor | None, Tensor | None]:
        """The source moved, the drawing folded, and a sound."""
        if mel is None and self.config.sound:
            mel = still.small.new_zeros(still.small.shape[0], 1, *MEL_WINDOW.shape)
        folded = None
        if self.config.mesh_motion:
            if drawing is None:
                raise ValueError("this network needs the drawing of the driving mesh")
            folded = F.pixel_unshuffle(drawing, _FOLD)
        return self.move(still, driving, self.carry(still, driving), folded), folded, mel

    def carry(self, still: Still, driving: KeypointMotion) -> Spline | None:
        """The mesh's candidate motion, a thin-plate warp; None without mesh motion.

        No graph: a system of equations is solved, which other engines do not.
        """
        if driving.mesh is None or still.mesh is None:
            return None
        mesh = self.mesh_model.controls(driving.mesh)
        return spline(mesh.points, still.mesh, stiffness=mesh.stiffness)

    def move(self, still: Still, driving: KeypointMotion, by_mesh: Spline | None, drawing: Tensor | None) -> Moved:
        """Dense motion, and all that it warps; the rest is as for :class:`CandidateMotion`."""
        grid, occlusion, mask = self.motion(still, driving, by_mesh, drawing)
        fine = resize_grid(grid, still.picture.shape[2:])
        identity = still.identity
        if self.config.align_identity:
            grids = {fine.shape[1]: fine, grid.shape[1]: grid}
            identity = tuple(
                channels_last(sample(x.float(), grids.get(x.shape[2], resize_grid(grid, x.shape[2:]))))
                for x in identity
            )
        return Moved(
            grid=grid,
            mask=mask,
            enc_motion=sample(still.features.float(), grid) * occlusion,
            warped=sample(still.picture, fine),
            person=None if still.person is None else sample(still.person, fine),
            identity=identity,
        )

    def paint(
        self,
        moved: Moved,
        drawing: Tensor | None,
        mel: Tensor | None,
        background: Tensor | None,
        small_background: Tensor | None,
    ) -> Painted:
        """Sound, attention and decoder over what has been moved.

        Args:
            moved: from :meth:`move`.
            drawing: of the driving mesh, folded, or None.
            mel: as for :meth:`render`, but silence is zeros; None for a network that is deaf.
            background, small_background: of the source.
        """
        parts = [moved.enc_motion]
        attention = None
        if mel is not None and self.config.sound:
            attention = self.attend(self.query(mel), moved.enc_motion)
            parts += [self.sound(mel), attention]
        if drawing is not None:
            parts.append(drawing)
        if moved.person is not None and small_background is not None:
            parts += [small_background, F.avg_pool2d(moved.person, _FOLD)]
        enc_dec = channels_last(torch.cat(parts, 1))
        made, shares = self.decoder(enc_dec, moved.identity, moved.warped, background, moved.person)
        layers = tuple(layer for layer in (made, moved.warped.float(), background) if layer is not None)
        picture = made if shares is None else blend(layers[: shares.shape[1]], shares)
        return Painted(picture, attention, layers, shares)

    def decode(
        self,
        moved: Moved,
        drawing: Tensor | None,
        mel: Tensor | None,
        background: Tensor | None,
        small_background: Tensor | None,
    ) -> Tensor:
        """The picture of :meth:`paint` alone."""
        return self.paint(moved, drawing, mel, background, small_background).picture
