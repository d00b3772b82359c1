"""The AVFR-GAN network, to be read next to the paper (section 3 and figure 2).

Names of the paper: ``F_s``, ``F_d`` are the source and driving pictures, ``I_s``, ``I_d`` the same with their
priors, ``Enc_motion`` the source features warped by the dense motion, ``Enc_aud`` and ``Enc_query`` the two
encodings of the sound, ``Enc_attn`` the attention, ``Enc_dec`` their concatenation.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visavis.audio.feature import MEL_WINDOW
from visavis.generators.avfr.candidates import CandidateMotion
from visavis.generators.avfr.config import FOLD, AvfrConfig
from visavis.generators.avfr.decoder import Decoder
from visavis.generators.avfr.encoders import AppearanceEncoder, IdentityEncoder
from visavis.generators.avfr.light import LightDecoder, Narrow
from visavis.generators.avfr.mesh_model import MeshModel
from visavis.generators.avfr.sound import QueryEncoder, SoundEncoder
from visavis.generators.avfr.steps import Moved, Painted, Rendering, Still
from visavis.motion.detector import KeypointDetector
from visavis.motion.keypoints import KeypointMotion
from visavis.nn.attention import AudioVisualAttention
from visavis.nn.blocks import AntiAliasDownsample
from visavis.nn.composite import blend, fill_behind
from visavis.nn.thin_plate import Spline, spline
from visavis.nn.warp import channels_last, resize_grid, sample


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
            scale_factor=1 / FOLD,
            pad=0,
        )
        self.shrink = AntiAliasDownsample(3, 1 / FOLD)
        self.motion = CandidateMotion(config)
        self.appearance = AppearanceEncoder(config)
        enc_dec = config.light_carried[1] if config.light else config.channels
        if config.mesh_motion:
            self.mesh_model = MeshModel(config.mesh_coefficients)
            enc_dec += FOLD**2
        if config.layers:
            enc_dec += 4
        if config.sound:
            self.sound = SoundEncoder(config.channels, config.size // FOLD)
            self.query = QueryEncoder(config.channels)
            self.attend = AudioVisualAttention()
            enc_dec += config.channels + 1
        if config.identity_aware:
            self.identity = IdentityEncoder(config)
        if config.light:
            self.narrow = Narrow(config)
        self.decoder = (LightDecoder if config.light else Decoder)(config, enc_dec)

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
        return self.still(picture, self.look(picture), motion, prior)

    def look(self, picture: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Features of the source's two encoders: of Enc_motion, then of identity, empty without it."""
        return self.appearance(picture), self.identity(picture) if self.config.identity_aware else ()

    def still(
        self,
        picture: Tensor,
        looked: tuple[Tensor, tuple[Tensor, ...]],
        motion: KeypointMotion,
        prior: Tensor | None,
        background: Tensor | None = None,
    ) -> Still:
        """The source, of what :meth:`look` saw in it, and its background where that is known; the rest as before."""
        config = self.config
        person = prior[:, 1:].float() if config.layers and prior is not None else None
        if background is None and person is not None:
            background = fill_behind(picture.float(), person)
        features, identity = self.narrow(*looked) if config.light else looked
        return Still(
            picture=picture,
            small=self.shrink(picture),
            features=features,
            identity=identity,
            motion=motion,
            drawing=F.pixel_unshuffle(prior[:, :1], FOLD) if config.mesh_motion and prior is not None else None,
            person=person,
            small_person=F.avg_pool2d(person, FOLD) if person is not None else None,
            background=background,
            small_background=F.avg_pool2d(background, FOLD) if background is not None else None,
        )

    def render(self, still: Still, driving: KeypointMotion, drawing: Tensor | None, mel: Tensor | None) -> Rendering:
        """Render the driving motion.

        Args:
            still: the source, from :meth:`encode`.
            driving: motion with mesh values if the network has mesh motion.
            drawing: ``[B, 1, S, S]``, drawing of the driving motion's mesh.
            mel: ``[B, 1, *MEL_WINDOW.shape]`` in [0, 1]; None is silence.
        """
        if mel is None and self.config.sound:
            mel = still.small.new_zeros(still.small.shape[0], 1, *MEL_WINDOW.shape)
        folded = None
        if self.config.mesh_motion:
            if drawing is None:
                raise ValueError("this network needs the drawing of the driving mesh")
            folded = F.pixel_unshuffle(drawing, FOLD)
        moved = self.moved(still, driving, folded)
        painted = self.paint(moved, folded, mel, still.background, still.small_background)
        return Rendering(
            painted.picture, moved.warped, moved.grid, moved.mask, painted.attention, painted.layers, painted.shares
        )

    def carry(self, still: Still, driving: KeypointMotion) -> Spline | None:
        """The mesh's candidate motion, a thin-plate warp; None without mesh motion.

        No graph: a system of equations is solved, which other engines do not. A generator has it solved by NumPy.
        """
        if driving.mesh is None or still.motion.mesh is None:
            return None
        source, mesh = self.mesh_model.controls(still.motion.mesh), self.mesh_model.controls(driving.mesh)
        return spline(mesh.points, source.points, stiffness=mesh.stiffness)

    def moved(self, still: Still, driving: KeypointMotion, drawing: Tensor | None) -> Moved:
        """Dense motion, and all that it warps.

        Args:
            still, driving: as for :meth:`render`.
            drawing: of the driving mesh, folded, or None.
        """
        gathered, motions = self.gather(still, driving, self.carry(still, driving), drawing)
        return self.move(still, self.weigh(gathered), motions)

    def gather(
        self, still: Still, driving: KeypointMotion, by_mesh: Spline | None, drawing: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """See :meth:`CandidateMotion.gather`."""
        # Where candidates lead, and what they show there, is never reduced; which of them counts may be.
        with torch.autocast(still.picture.device.type, enabled=False):
            return self.motion.gather(still, driving, by_mesh, drawing)

    def weigh(self, gathered: Tensor) -> Tensor:
        """See :meth:`CandidateMotion.weigh`."""
        return self.motion.weigh(gathered)

    def move(self, still: Still, judged: Tensor, motions: Tensor) -> Moved:
        """The dense motion of what was judged, and all that it warps."""
        with torch.autocast(still.picture.device.type, enabled=False):
            return self.warp(still, *self.motion.choose(judged, motions))

    def warp(self, still: Still, grid: Tensor, occlusion: Tensor, mask: Tensor) -> Moved:
        """Move the source by a dense motion, as :class:`CandidateMotion` gives it."""
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
            parts += [small_background, F.avg_pool2d(moved.person, FOLD)]
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
