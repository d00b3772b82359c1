"""The shape of an AVFR network."""

from __future__ import annotations

from dataclasses import dataclass, replace

from visavis.core.config import check_ranges, check_volume
from visavis.core.errors import ConfigError

#: The scale of motion and of every Enc_ is 1/4.
FOLD = 4
_WIDTHS = ("channels", "detector_width", "detector_max", "motion_width", "motion_max", "widths")
_RANGES = {
    "size": (32, 4096),
    "keypoints": (1, 256),
    "mesh_coefficients": (1, 1024),
    "detector_blocks": (1, 8),
    "motion_blocks": (1, 8),
    "bottleneck_blocks": (0, 32),
    "condition_channels": (0, 2048),
    "modulation_kernel": (1, 7),
    "light_widths": (1, 2048),
    "light_blocks": (0, 32),
    "light_carried": (1, 2048),
    **dict.fromkeys(_WIDTHS, (1, 2048)),
}


@dataclass(frozen=True)
class AvfrConfig:
    """Shape of an AVFR-GAN generator; travels inside its checkpoint.

    Attributes:
        size: side of the square pictures; h = w in the paper.
        keypoints: K of equation 1.
        jacobians: whether keypoints carry a local 2x2 frame, as in the first order model.
        structural_prior: mesh drawing and segmentation as channels 4 and 5 of the detector's input.
        sound: audio encoder and audio-visual attention (equation 2).
        identity_aware: the identity encoder and its skip connections; without it the decoder sees Enc_dec alone.
        mesh_motion: a thin-plate warp by the face mesh as one more candidate motion, and the mesh's drawing as a
            condition of the decoder. Ours; see docs/adr.
        align_identity: warp the identity encoder's features with the dense motion before they join. Ours.
        composite: blend the decoder's picture with the warped source by a predicted mask. Ours.
        layers: blend in a third layer, the source's background without its person, and let the source's segmentation
            move with it; needs `composite`. Ours.
        mesh_coefficients: shape coefficients n of the linear face model.
        channels: c, depth of Enc_motion, Enc_aud and Enc_query.
        detector_width, detector_blocks, detector_max: hourglass of the keypoint detector, at h/4.
        motion_width, motion_blocks, motion_max: hourglass of the dense motion network, at h/4.
        widths: channels of the identity encoder and the decoder at h, h/2 and h/4.
        bottleneck_blocks: residual SPADE blocks at h/4 in the decoder.
        condition_channels: channels that Enc_dec is squeezed to before it modulates the SPADE blocks; 0 keeps all.
        modulation_kernel: kernel of the convolutions that make gamma and beta.
        coarse_heads: make mask, occlusion and residual by 3x3 convolutions at h/8 and stretch them, in place of 7x7 at
            h/4, which cost 20 times as much. Ours.
        light: a decoder that computes at h/2, h/4 and h/8 alone and unfolds its last features to h, over fewer features
            that are carried along (`generators/avfr/light.py`); needs `layers`, `align_identity` and `identity_aware`.
            Ours.
        light_widths, light_blocks: its channels and residual blocks at h/2, h/4 and h/8.
        light_carried: channels that are carried along at h/2 and h/4.
    """

    size: int = 256
    keypoints: int = 10
    jacobians: bool = True
    structural_prior: bool = True
    sound: bool = True
    identity_aware: bool = True
    mesh_motion: bool = False
    align_identity: bool = False
    composite: bool = False
    layers: bool = False
    mesh_coefficients: int = 40
    channels: int = 256
    detector_width: int = 32
    detector_blocks: int = 5
    detector_max: int = 1024
    motion_width: int = 64
    motion_blocks: int = 5
    motion_max: int = 1024
    widths: tuple[int, int, int] = (64, 128, 256)
    bottleneck_blocks: int = 6
    condition_channels: int = 0
    modulation_kernel: int = 3
    coarse_heads: bool = False
    light: bool = False
    light_widths: tuple[int, int, int] = (16, 48, 64)
    light_blocks: tuple[int, int, int] = (1, 2, 2)
    light_carried: tuple[int, int] = (16, 48)

    def __post_init__(self) -> None:
        """Refuse shapes and combinations that no network can have, or that would fill the memory."""
        check_ranges(self, _RANGES)
        step = 4 * 2 ** max(self.detector_blocks, self.motion_blocks)
        if self.size % step:
            raise ConfigError(f"'size' must be a multiple of {step} for this many blocks, not {self.size}")
        if self.modulation_kernel % 2 == 0:
            raise ConfigError(f"'modulation_kernel' must be odd, not {self.modulation_kernel}")
        if self.layers and not self.composite:
            raise ConfigError("'layers' blends a third layer into the composite: set 'composite' too")
        if self.light and not (self.layers and self.align_identity and self.identity_aware and self.mesh_motion):
            raise ConfigError(
                "'light' needs 'layers', 'align_identity', 'identity_aware' and 'mesh_motion', whose results it reads"
            )
        quarter = max(self.widths[2], self.channels, self.detector_width, self.motion_width, 4 * (self.keypoints + 2))
        check_volume(self.size, {1: self.widths[0], 2: self.widths[1], 4: quarter})

    @classmethod
    def paper256(cls) -> AvfrConfig:
        """`avfr-paper-256`: the method as published, with the first order model's widths."""
        return cls()

    @classmethod
    def compact256(cls) -> AvfrConfig:
        """`avfr-256`: the same method at a size for a CPU, with our additions."""
        return cls(
            mesh_motion=True,
            align_identity=True,
            composite=True,
            layers=True,
            channels=64,
            detector_width=16,
            detector_blocks=4,
            detector_max=128,
            motion_width=24,
            motion_blocks=4,
            motion_max=192,
            widths=(16, 40, 72),
            bottleneck_blocks=4,
            condition_channels=24,
            modulation_kernel=1,
        )

    @classmethod
    def live256(cls) -> AvfrConfig:
        """`avfr-256-live`: keypoints and dense motion of `avfr-256`, a light decoder, and no sound."""
        widths, blocks = (24, 48, 96), (2, 2, 2)
        base = cls.compact256()
        return replace(base, sound=False, coarse_heads=True, light=True, light_widths=widths, light_blocks=blocks)

    @classmethod
    def tiny(cls) -> AvfrConfig:
        """A network small enough for tests, with every part switched on."""
        return cls(
            size=64,
            keypoints=3,
            mesh_motion=True,
            align_identity=True,
            composite=True,
            layers=True,
            mesh_coefficients=4,
            channels=8,
            detector_width=4,
            detector_blocks=2,
            detector_max=16,
            motion_width=4,
            motion_blocks=2,
            motion_max=16,
            widths=(4, 6, 8),
            bottleneck_blocks=1,
            condition_channels=4,
            modulation_kernel=1,
        )


#: Names under which configurations can be asked for without weights.
NAMED = {
    "avfr-256": AvfrConfig.compact256,
    "avfr-256-live": AvfrConfig.live256,
    "avfr-paper-256": AvfrConfig.paper256,
}
