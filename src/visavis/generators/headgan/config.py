"""The shape of a HeadGAN generator."""

from __future__ import annotations

from dataclasses import dataclass

from visavis.core.config import check_ranges, check_volume
from visavis.core.errors import ConfigError

_RANGES = {
    "size": (32, 4096),
    "memory": (0, 8),
    "sound": (0, 4096),
    "fold": (1, 2),
    "widths": (1, 2048),
    "hidden": (1, 1024),
    "modulation_kernel": (1, 7),
    "sound_code": (0, 2048),
    "finish": (1, 256),
}


@dataclass(frozen=True)
class HeadganConfig:
    """Shape of a HeadGAN generator; travels inside its checkpoint.

    Attributes:
        size: side of the square pictures.
        memory: k, how many past face pictures the networks see beside the present one.
        sound: numbers of a frame's sound features; 0 for a network that hears nothing.
        fold: 1 as published; 2 lets everything of tables 2 and 3 work at half of the size, with a last stage at the
            full one. Ours.
        flow: F moves the reference; without it R sees the reference where it lies, which the paper's ablation does.
        landmarks: face pictures show the contours of the face alone, which the paper's ablation does.
        mesh_flow: inside the face the vertices of source and driving face give the flow; F adds the rest. Ours.
        irises: draw the irises into face pictures, which have none as published: people would look wherever they look
            in the reference. Ours.
        residual: add a block's input to its output, which figure 7 does not. Ours.
        composite: blend the renderer's picture with the warped source by a predicted mask. Ours.
        layers: blend in a third layer, the source's background without its person, and let the source's segmentation
            move with it; needs `composite`. Ours.
        widths: channels of both encoders and decoders at the three scales, finest first.
        hidden: channels between a condition and SPADE's gamma and beta.
        modulation_kernel: kernel of those convolutions.
        sound_code: the sound is squeezed to so many numbers before it modulates AdaIN; 0 keeps all. Ours.
        finish: channels at the full size where `fold` is 2.
    """

    size: int = 256
    memory: int = 2
    sound: int = 300
    fold: int = 1
    flow: bool = True
    landmarks: bool = False
    mesh_flow: bool = False
    irises: bool = False
    residual: bool = False
    composite: bool = False
    layers: bool = False
    widths: tuple[int, int, int] = (32, 128, 512)
    hidden: int = 128
    modulation_kernel: int = 3
    sound_code: int = 0
    finish: int = 16

    def __post_init__(self) -> None:
        """Refuse shapes and combinations that no network can have, or that would fill the memory."""
        check_ranges(self, _RANGES)
        if self.size % (8 * self.fold):
            raise ConfigError(f"'size' must be a multiple of {8 * self.fold}, not {self.size}")
        if self.modulation_kernel % 2 == 0:
            raise ConfigError(f"'modulation_kernel' must be odd, not {self.modulation_kernel}")
        if self.mesh_flow and (self.landmarks or not self.flow):
            raise ConfigError("'mesh_flow' needs 'flow', and the whole face in place of 'landmarks'")
        if self.layers and not self.composite:
            raise ConfigError("'layers' blends a third layer into the composite: set 'composite' too")
        first, second, third = (max(width, self.hidden) for width in self.widths)
        # What a shuffle spreads over four places was four times as many channels before.
        coarse = {self.fold: first, 2 * self.fold: max(second, 4 * first), 4 * self.fold: max(third, 4 * second)}
        if self.fold == 2:
            coarse = {1: self.finish, 2: max(first, 4 * self.finish), 4: coarse[4], 8: coarse[8]}
        check_volume(self.size, coarse)

    @property
    def raster(self) -> int:
        """Side of the face pictures that the networks see."""
        return self.size // self.fold

    @classmethod
    def paper256(cls) -> HeadganConfig:
        """`headgan-paper-256`: tables 2 and 3."""
        return cls()

    @classmethod
    def compact256(cls) -> HeadganConfig:
        """`headgan-256`: the same method at a size for a CPU, with our additions."""
        return cls(
            fold=2,
            mesh_flow=True,
            irises=True,
            residual=True,
            composite=True,
            layers=True,
            widths=(32, 72, 160),
            hidden=32,
            modulation_kernel=1,
            sound_code=64,
        )

    @classmethod
    def tiny(cls) -> HeadganConfig:
        """A network small enough for tests, with every part switched on."""
        return cls(
            size=64,
            sound=12,
            fold=2,
            mesh_flow=True,
            irises=True,
            residual=True,
            composite=True,
            layers=True,
            widths=(4, 6, 8),
            hidden=4,
            modulation_kernel=1,
            sound_code=4,
            finish=4,
        )


#: Names under which configurations can be asked for without weights.
NAMED = {"headgan-256": HeadganConfig.compact256, "headgan-paper-256": HeadganConfig.paper256}
