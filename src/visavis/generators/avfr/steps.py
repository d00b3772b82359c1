"""What one step of the AVFR-GAN network hands to the next."""

from __future__ import annotations

from dataclasses import dataclass

from visavis.motion.keypoints import KeypointMotion
from visavis.nn.arrays import Tensor


@dataclass(frozen=True)
class Still:
    """Everything that depends on the source alone.

    Attributes:
        picture: ``F_s``, ``[B, 3, S, S]`` in [0, 1].
        small: ``F_s`` at S/4.
        features: what the dense motion warps into Enc_motion, ``[B, c, S/4, S/4]``.
        identity: features of the identity encoder at S, S/2 and S/4; empty without it.
        motion: keypoints (and mesh coefficients) of the source.
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
