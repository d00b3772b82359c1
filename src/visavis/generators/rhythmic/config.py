"""The shape of a 3D-aware generative network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from visavis.core.config import check_ranges, check_volume
from visavis.core.errors import ConfigError

_MOST_REFERENCES = 32
_LEAST_START, _MOST_LAYERS = 4, 6
_RANGES = {
    "size": (32, 4096),
    "references": (1, _MOST_REFERENCES),
    "fold": (1, 2),
    "widths": (1, 2048),
    "embedding": (1, 1024),
    "hidden": (1, 1024),
    "modulation_kernel": (1, 7),
    "grid": (1, 32),
    "mixing": (1, 2048),
    "flow_width": (1, 512),
    "unprojection_width": (1, 512),
    "finish": (1, 256),
}


@dataclass(frozen=True)
class RhythmicConfig:
    """Shape of a 3D-aware generative network; travels inside its checkpoint.

    The defaults are the network as published; its paper gives no widths, so these are ours.

    Attributes:
        size: side of the square pictures.
        references: K, how many pictures of a person are looked at, at most.
        fold: 1 as published; 2 lets landmark images, embedding and decoder work at half of the size, with a last stage
            at the full one. Ours.
        nmfc: landmark images show the coloured surface of the face in place of a gray-scale drawing. Ours.
        irises: draw the irises into landmark images. Ours.
        projection: the 3D-aware module projects the frontal picture; without it the decoder sees that picture where it
            lies, which the paper's ablation does.
        expression: the projected face has the target's expression, not the frontal picture's. Ours.
        unprojection: a network finds the mesh in the frontal picture, as published; otherwise the tracker's is taken.
        surroundings: the projector carries the face's motion on to the edge of the picture; as published it shows the
            face alone.
        warping: FlowNet moves the projected and the matched picture; off in the paper's ablation.
        attention: the embedding weighs references by their likeness to the target; otherwise all count alike, which the
            paper's ablation does.
        gate: ConvGate sees `all` K references at once, as published, or `each` by itself, so that any number of them
            will do. Ours.
        composition: the projected and the matched picture modulate the decoder; without it they are blended into its
            picture by FlowNet's attention alone (image matting), which the paper's ablation does.
        residual: the decoder paints what is to be added to the projected picture. Ours.
        composite: blend the decoder's picture with the projected and the matched one by a predicted mask. Ours.
        layers: blend in one layer more, the matched picture's background without its person; needs `composite`. Ours.
        widths: channels of the decoder, coarsest first: of what goes in, and of what each of its N layers gives.
        embedding: channels of the embedding's feature maps.
        hidden: channels of the features that modulate the decoder.
        modulation_kernel: kernel of the convolutions that make scales and biases.
        grid: side of the grid of places that the fusion network sees of an embedding.
        mixing: width of its perceptrons.
        flow_width: of FlowNet.
        unprojection_width: of the unprojection network.
        finish: channels at the full size where `fold` is 2 or with `composite`.
    """

    size: int = 256
    references: int = 8
    fold: int = 1
    nmfc: bool = False
    irises: bool = False
    projection: bool = True
    expression: bool = False
    unprojection: bool = True
    surroundings: bool = False
    warping: bool = True
    attention: bool = True
    gate: Literal["all", "each"] = "all"
    composition: bool = True
    residual: bool = False
    composite: bool = False
    layers: bool = False
    widths: tuple[int, ...] = (512, 256, 128, 64, 64)
    embedding: int = 128
    hidden: int = 64
    modulation_kernel: int = 3
    grid: int = 8
    mixing: int = 128
    flow_width: int = 32
    unprojection_width: int = 32
    finish: int = 16

    def __post_init__(self) -> None:
        """Refuse shapes and combinations that no network can have, or that would fill the memory."""
        check_ranges(self, _RANGES)
        if not 2 <= self.steps <= _MOST_LAYERS:
            raise ConfigError(f"'widths' must name 3 to {_MOST_LAYERS + 1} widths, not {len(self.widths)}")
        step = max(16, 2**self.steps) * self.fold
        if self.size % step or self.start < _LEAST_START:
            raise ConfigError(f"'size' must be a multiple of {step}, and at least {_LEAST_START * 2**self.steps}")
        if self.modulation_kernel % 2 == 0:
            raise ConfigError(f"'modulation_kernel' must be odd, not {self.modulation_kernel}")
        if self.unprojection and (self.expression or not self.projection):
            raise ConfigError(
                "'unprojection' finds a mesh without coefficients: switch 'expression' off, 'projection' on"
            )
        if self.residual and not self.composite:
            raise ConfigError("'residual' needs the full-size pictures that 'composite' brings: set 'composite' too")
        if self.layers and not self.composite:
            raise ConfigError("'layers' blends one layer more into the composite: set 'composite' too")
        if self.composite and not self.composition:
            raise ConfigError("'composite' is blended in by the decoder: set 'composition' too")
        shares = {2 ** (self.steps - n) * self.fold: width for n, width in enumerate(self.widths)}
        # A shuffle's input is four times as wide as what it gives.
        shares = {share: max(width, 2 * self.hidden, self.embedding) for share, width in shares.items()}
        if self.fold == 2:
            shares = {1: self.finish, **shares}
        check_volume(self.size, shares)

    @property
    def steps(self) -> int:
        """N, the decoder's layers."""
        return len(self.widths) - 1

    @property
    def raster(self) -> int:
        """Side of the landmark images."""
        return self.size // self.fold

    @property
    def start(self) -> int:
        """Side at which the decoder begins."""
        return int(self.raster // 2**self.steps)

    @property
    def drawn(self) -> int:
        """Channels of a landmark image."""
        return 3 if self.nmfc else 1

    @property
    def blends(self) -> bool:
        """Whether the picture is a blend of layers."""
        return self.composite or not self.composition

    @classmethod
    def paper256(cls) -> RhythmicConfig:
        """`rhythmic-paper-256`: sections 4.1 to 4.3."""
        return cls()

    @classmethod
    def compact256(cls) -> RhythmicConfig:
        """`rhythmic-256`: the same method at a size for a CPU, with our additions."""
        return cls(
            fold=2,
            nmfc=True,
            irises=True,
            expression=True,
            unprojection=False,
            surroundings=True,
            gate="each",
            residual=True,
            composite=True,
            layers=True,
            widths=(96, 64, 48, 32),
            embedding=32,
            hidden=32,
            modulation_kernel=1,
            mixing=64,
            flow_width=16,
            finish=12,
        )

    @classmethod
    def tiny(cls) -> RhythmicConfig:
        """A network small enough for tests, with every part switched on but the unprojection network."""
        return cls(
            size=64,
            references=3,
            fold=2,
            nmfc=True,
            irises=True,
            expression=True,
            unprojection=False,
            surroundings=True,
            gate="each",
            residual=True,
            composite=True,
            layers=True,
            widths=(8, 6, 6),
            embedding=4,
            hidden=4,
            modulation_kernel=1,
            grid=2,
            mixing=4,
            flow_width=4,
            unprojection_width=4,
            finish=4,
        )


#: Names under which configurations can be asked for without weights.
NAMED = {"rhythmic-256": RhythmicConfig.compact256, "rhythmic-paper-256": RhythmicConfig.paper256}
